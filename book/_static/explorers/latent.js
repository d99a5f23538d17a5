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
  const { limit, codes, labels } = Explorers.examples;
  const on = plane("The latent plane with the encoded test images, each class gathered around its name");
  change(on.node, { role: "group" }); // not an image: the point in it can be moved
  const digit = image("");
  const shown = [readout(2), readout(2)];
  const said = sentence();
  const range = [-limit, limit];

  const point = Explorers.handle.point(on, "Point in the latent plane", ["z1", "z2"], [range, range], (z) => {
    change(digit.node, { "aria-label": `The decoder's image at ${point.node.getAttribute("aria-valuetext")}` });
    digit.show(Explorers.network.decodeMean(z));
    shown.forEach(({ show }, l) => show(z[l]));
    said.say(`The nearest encoded test image is a ${nearest(z, codes, labels)}.`);
  });

  // Mouse and pen take the point from anywhere; a finger must take hold of it, else it scrolls the page, or taps.

  on.node.addEventListener("pointerdown", (event) => event.pointerType !== "touch" && point.take(event));
  on.node.addEventListener("click", (event) => {
    point.move(point.place(event));
    point.node.focus({ preventScroll: true });
  });

  // One class at a time, for eyes to which the colors are alike.

  let only = null;
  const names = Array.from({ length: 10 }, (_, name) =>
    button(name, () => {
      only = only === name ? null : name;
      on.node.toggleAttribute("data-only", only !== null);
      on.codes.forEach((node, i) => node.classList.toggle("only", i === only));
      names.forEach((node, i) => node.setAttribute("aria-pressed", i === only));
    }, { class: `swatch class-${name}`, "aria-pressed": false, "aria-label": `Show the codes of ${name} alone` }));

  on.layer.append(point.node);
  live.append(
    element("div", { class: "wide" }, on.node,
      element("div", { class: "explorer-buttons", role: "group", "aria-label": "Classes" }, ...names)),
    element("div", { class: "narrow" }, digit.node,
      table("z", [], { "z₁": [shown[0].node], "z₂": [shown[1].node] }), said.node,
      element("p", { class: "explorer-hint" }, "Drag the point, or select it and use the arrow keys (with Shift: long steps; Home: the origin).")),
  );
  point.move([-1.2, 0.8]);
});
