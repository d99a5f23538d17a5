/* The latent explorer: a point in the plane, and what the decoder makes of it. */
"use strict";

Explorers.latent = (() => {
  /** The label of the code that lies nearest to z. */
  function nearest(z, codes, labels) {
    const distances = codes.map(([z1, z2]) => Math.hypot(z1 - z[0], z2 - z[1]));
    return labels[distances.indexOf(Math.min(...distances))];
  }

  return { nearest };
})();

Explorers.panel.mount("latent", "Latent explorer", ["examples", "decoder", "handle"], (live) => {
  const { button, change, element, image, plane, readout, sentence, table } = Explorers.panel;
  const { nearest } = Explorers.latent;
  const { codes, labels } = Explorers.examples;
  const on = plane("The latent plane with the encoded test images, each class gathered around its name");
  const digit = image("");
  const shown = [readout(2), readout(2)];
  const said = sentence();
  const at = Explorers.handle.handle(on, "Point in the latent plane", ["z1", "z2"], (z) => {
    change(digit.node, { "aria-label": `The decoder's image at ${at.node.getAttribute("aria-valuetext")}` });
    digit.show(Explorers.network.decodeMean(z));
    shown.forEach(({ show }, l) => show(z[l]));
    said.say(`The nearest encoded test image is a ${nearest(z, codes, labels)}.`);
  });

  // Some classes alone, for eyes to which the colors are alike.

  const only = new Set();
  const names = Array.from({ length: 10 }, (_, name) =>
    button(name, () => {
      if (!only.delete(name)) only.add(name);
      on.node.toggleAttribute("data-only", only.size > 0);
      on.codes[name].classList.toggle("only", only.has(name));
      names[name].setAttribute("aria-pressed", only.has(name));
    }, { class: `swatch class-${name}`, "aria-pressed": false, "aria-label": `Show the codes of ${name} alone` }));

  on.layer.append(at.node);
  live.append(
    element("div", { class: "wide" }, on.node,
      element("div", { class: "explorer-buttons", role: "group", "aria-label": "Classes" }, ...names)),
    element("div", { class: "narrow" }, digit.node,
      table("z", [], { "z₁": [shown[0].node], "z₂": [shown[1].node] }), said.node,
      element("p", { class: "explorer-hint" }, "Drag the point",
        element("span", { class: "for-keys" }, ", or select it and use the arrow keys (with Shift: long steps; Home: the origin)"), ".")),
  );
  at.set([-1.2, 0.8]);
});
