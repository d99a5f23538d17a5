/* Handles: points in axes that mouse, pen, finger and keys move. */
"use strict";

Explorers.handle = (() => {
  const { change, element, format } = Explorers.panel;
  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

  /** The point of the plane, which ends at low and high of both ranges, that lies nearest. */
  const within = (at, ranges) => at.map((value, d) => Math.min(Math.max(value, ranges[d][0]), ranges[d][1]));

  /** Where a key takes a point; null for a key that is none of its keys. */
  function keyed(at, key, long) {
    if (key === "Home") return [0, 0];
    const step = long ? 0.5 : 0.05;
    return key in STEPS ? STEPS[key].map((sign, d) => at[d] + sign * step) : null;
  }

  /** A handle: `at`; `put(to)`; `move(to)`, which calls `changed` as a hand would; `place` and `take` of a pointer. */
  function point(on, spoken, names, ranges, changed) {
    const node = element("g", { class: "handle", tabindex: 0, role: "slider", "aria-label": spoken,
      "aria-valuemin": ranges[0][0], "aria-valuemax": ranges[0][1], "aria-roledescription": "point in the plane" },
      element("circle", { class: "reach", r: 26 }), element("circle", { class: "grip", r: 8 }),
    );
    const self = { node };
    self.put = (to) => {
      self.at = within(to, ranges);
      const shown = self.at.map((value) => format(value, 2).replace("−", "-")); // the sign that every screen reader knows
      change(node, { transform: `translate(${on.x(self.at[0])} ${on.y(self.at[1])})`, "aria-valuenow": shown[0],
        "aria-valuetext": names.map((name, d) => `${name} ${shown[d]}`).join(", ") });
    };
    self.move = (to) => {
      self.put(to);
      changed(self.at);
    };
    self.place = (event) => {
      const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(on.node.getScreenCTM().inverse());
      const along = (scale, [low, high], value) => low + ((value - scale(low)) / (scale(high) - scale(low))) * (high - low);
      return [along(on.x, ranges[0], x), along(on.y, ranges[1], y)];
    };
    let held = null; // the pointer that moves the point; a finger is captured wherever it was put down
    self.take = (event) => {
      held = event.pointerId;
      node.setPointerCapture(held);
      self.move(self.place(event));
    };
    node.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false }); // no scrolling
    node.addEventListener("pointerdown", self.take);
    node.addEventListener("pointermove", (event) => event.pointerId === held && self.move(self.place(event)));
    node.addEventListener("lostpointercapture", () => (held = null));
    node.addEventListener("keydown", (event) => {
      const to = keyed(self.at, event.key, event.shiftKey);
      if (!to) return;
      event.preventDefault();
      self.move(to);
    });
    return self;
  }

  return { keyed, point, within };
})();
