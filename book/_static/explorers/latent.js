/* The latent explorer: a point in the plane, and what the decoder makes of it. */
"use strict";

Explorers.latent = (() => {
  const BETS = ["both at once", "other digits", "nothing"];
  const [FAR, WAY] = [0.5, 0.3]; // from the nearest code; from the straight line, of which the middle counts

  /** Whether z lies on the middle of the straight way between two places. */
  function between(z, from, to) {
    const [along, at] = [to, z].map((end) => end.map((value, i) => value - from[i]));
    const dot = (a, b) => a[0] * b[0] + a[1] * b[1];
    const t = dot(at, along) / dot(along, along);
    return t > 0.2 && t < 0.8 && Math.hypot(at[0] - t * along[0], at[1] - t * along[1]) < WAY;
  }

  /** What is said of z, of the codes around it, and of the bet, which is decided on the way from 1 to 0. */
  function told(z, { distance, nearest, classes }, onTheWay, bet) {
    const { format } = Explorers.panel;
    const [[first, most], ...others] = classes;
    const mixed = others.slice(0, 2).map(([name, count]) => `, ${count} of ${name}s`).join("");
    const rare = Math.exp((z[0] ** 2 + z[1] ** 2) / 2); // of |z|, under the prior
    const here = distance > FAR
      ? `The nearest code, of a ${nearest}, is ${format(distance, 1)} away. The prior comes so far out once in ${Number(rare.toPrecision(2)).toLocaleString("en")} draws; the decoder draws all the same.`
      : others.length ? `Of the 20 nearest codes ${most} are of ${first}s${mixed}: one mean image for them all.`
        : `All of the 20 nearest codes are of ${first}s: the decoder need not hesitate.`;
    if (!bet) return here;
    if (!onTheWay || first < 2) return `${here} Walk from 1 to 0.`;
    return `${bet === BETS[1] ? "You were right" : "Not as you bet"}: other digits, here a ${first}. ${here}`;
  }

  return { BETS, between, told };
})();

Explorers.panel.mount("latent", "Latent explorer", ["examples", "decoder", "handle", "neighbors"], (live) => {
  const { bet, button, change, element, image, plane, readout, sentence, table } = Explorers.panel;
  const { BETS, between, told } = Explorers.latent;
  const { names: [zero, one] } = Explorers.examples;
  const on = plane("The latent plane with the encoded test images, each class gathered around its name");
  const digit = image("");
  const shown = [readout(2), readout(2)];
  const said = sentence();
  const say = (z) => said.say(told(z, Explorers.neighbors.around(z), between(z, one, zero), wager.value));
  const wager = bet("On the way from 1 to 0 it draws", BETS, () => say(at.point));
  const at = Explorers.handle.handle(on, "Point in the latent plane", ["z1", "z2"], (z) => {
    change(digit.node, { "aria-label": `The decoder's image at ${at.node.getAttribute("aria-valuetext")}` });
    digit.show(Explorers.network.decodeMean(z));
    shown.forEach(({ show }, l) => show(z[l]));
    say(z);
  });

  // Some classes alone, for eyes to which the colors are alike.

  const only = new Set();
  const classes = Array.from({ length: 10 }, (_, name) =>
    button(name, () => {
      if (!only.delete(name)) only.add(name);
      on.node.toggleAttribute("data-only", only.size > 0);
      on.codes[name].classList.toggle("only", only.has(name));
      classes[name].setAttribute("aria-pressed", only.has(name));
    }, { class: `swatch class-${name}`, "aria-pressed": false, "aria-label": `Show the codes of ${name} alone` }));

  on.layer.append(at.node);
  live.append(
    element("div", { class: "wide" }, on.node,
      element("div", { class: "explorer-buttons", role: "group", "aria-label": "Classes" }, ...classes), wager.node),
    element("div", { class: "narrow" }, digit.node,
      table("z", [], { "z₁": [shown[0].node], "z₂": [shown[1].node] }), said.node,
      element("p", { class: "explorer-hint" }, "Drag the point",
        element("span", { class: "for-keys" }, ", or select it and use the arrow keys (with Shift: long steps; Home: the origin)"), ".")),
  );
  at.set([-1.2, 0.8]);
});
