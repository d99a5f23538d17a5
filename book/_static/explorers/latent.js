/* The latent explorer: a point in the plane, and what the decoder makes of it. */
"use strict";

Explorers.latent = (() => {
  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

  /** The label of the code that lies nearest to z. */
  function nearest(z, codes, labels) {
    const distances = codes.map(([z1, z2]) => Math.hypot(z1 - z[0], z2 - z[1]));
    return labels[distances.indexOf(Math.min(...distances))];
  }

  /** The point of the plane, which ends at ±limit, that lies nearest to z. */
  const within = (z, limit) => z.map((value) => Math.min(Math.max(value, -limit), limit));

  /** Where a key takes the point; null for a key that is none of its keys. */
  function keyed(z, key, long) {
    if (key === "Home") return [0, 0];
    const step = long ? 0.5 : 0.05;
    return key in STEPS ? STEPS[key].map((sign, l) => z[l] + sign * step) : null;
  }

  return { keyed, nearest, within };
})();

Explorers.panel.mount("latent", "Latent explorer", ["examples", "decoder"], (live) => {
  const { button, change, element, format, image, plane, readout, sentence, table } = Explorers.panel;
  const { keyed, nearest, within } = Explorers.latent;
  const { limit, codes, labels } = Explorers.examples;
  const on = plane("The latent plane with the encoded test images, each class gathered around its name");
  change(on.node, { role: "group" }); // not an image: the point in it can be moved
  const digit = image("");
  const shown = [readout(2), readout(2)];
  const said = sentence();
  const handle = element("g", { class: "handle", tabindex: 0, role: "slider", "aria-label": "Point in the latent plane",
    "aria-valuemin": -limit, "aria-valuemax": limit, "aria-roledescription": "point in the plane" },
    element("circle", { class: "reach", r: 26 }), element("circle", { class: "grip", r: 8 }),
  );
  let z;

  const spoken = (value) => format(value, 2).replace("−", "-"); // the sign that every screen reader knows

  function move(to) {
    z = within(to, limit);
    const place = `z1 ${spoken(z[0])}, z2 ${spoken(z[1])}`;
    change(handle, { transform: `translate(${on.x(z[0])} ${on.y(z[1])})`, "aria-valuenow": spoken(z[0]), "aria-valuetext": place });
    change(digit.node, { "aria-label": `The decoder's image at ${place}` });
    digit.show(Explorers.network.decodeMean(z));
    shown.forEach(({ show }, l) => show(z[l]));
    said.say(`The nearest encoded test image is a ${nearest(z, codes, labels)}.`);
  }

  // Mouse and pen take the point from anywhere; a finger must take hold of it, else it scrolls the page, or taps.

  const place = (event) => {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(on.node.getScreenCTM().inverse());
    const along = (scale, value) => ((value - scale(-limit)) / (scale(limit) - scale(-limit)) * 2 - 1) * limit;
    return [along(on.x, x), along(on.y, y)];
  };
  handle.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false }); // no scrolling
  let held = null; // the pointer that moves the point; a finger is captured wherever it was put down
  on.node.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch" && !handle.contains(event.target)) return;
    held = event.pointerId;
    on.node.setPointerCapture(held);
    move(place(event));
  });
  on.node.addEventListener("pointermove", (event) => {
    if (event.pointerId === held) move(place(event));
  });
  on.node.addEventListener("lostpointercapture", () => (held = null));
  on.node.addEventListener("click", (event) => {
    move(place(event));
    handle.focus({ preventScroll: true });
  });

  handle.addEventListener("keydown", (event) => {
    const to = keyed(z, event.key, event.shiftKey);
    if (!to) return;
    event.preventDefault();
    move(to);
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

  on.layer.append(handle);
  live.append(
    element("div", { class: "wide" }, on.node,
      element("div", { class: "explorer-buttons", role: "group", "aria-label": "Classes" }, ...names)),
    element("div", { class: "narrow" }, digit.node,
      table("z", [], { "z₁": [shown[0].node], "z₂": [shown[1].node] }), said.node,
      element("p", { class: "explorer-hint" }, "Drag the point",
        element("span", { class: "for-keys" }, ", or select it and use the arrow keys (with Shift: long steps; Home: the origin)"), ".")),
  );
  move([-1.2, 0.8]);
});
