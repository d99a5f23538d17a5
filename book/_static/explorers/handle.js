/* A point on axes, moved by mouse, pen, finger and keys. */
"use strict";

Explorers.handle = (() => {
  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

  /** The point inside the ranges that lies nearest. */
  const within = (point, ranges) => point.map((value, i) => Math.min(Math.max(value, ranges[i][0]), ranges[i][1]));

  /** Where a key takes the point; null for a key that is none of its keys. */
  function keyed(point, key, long) {
    if (key === "Home") return [0, 0];
    const step = long ? 0.5 : 0.05;
    return key in STEPS ? STEPS[key].map((sign, i) => point[i] + sign * step) : null;
  }

  /** The handle of a point, to be put on these axes: `point`, and `set(point)`, which calls `moved` as a hand would. */
  function handle(on, spoken, names, moved) {
    const { change, element, format } = Explorers.panel;
    const node = element("g", { class: "handle", tabindex: 0, role: "slider", "aria-label": spoken,
      "aria-valuemin": on.ranges[0][0], "aria-valuemax": on.ranges[0][1], "aria-roledescription": "point in the plane" },
      element("circle", { class: "reach", r: 26 }), element("circle", { class: "grip", r: 8 }),
    );
    change(on.node, { role: "group" }); // not an image: the point in it can be moved
    const said = (value) => format(value, 2).replace("−", "-"); // the sign that every screen reader knows
    const self = { node, point: null, set };

    function set(to) {
      self.point = within(to, on.ranges);
      const [x, y] = self.point;
      const place = self.point.map((value, i) => `${names[i]} ${said(value)}`).join(", ");
      change(node, { transform: `translate(${on.x(x)} ${on.y(y)})`, "aria-valuenow": said(x), "aria-valuetext": place });
      moved(self.point);
    }

    // Mouse and pen take the point from anywhere; a finger must take hold of it, else it scrolls the page, or taps.

    function place(event) {
      const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(on.node.getScreenCTM().inverse());
      const back = (scale, [low, high], value) => low + ((value - scale(low)) / (scale(high) - scale(low))) * (high - low);
      return [back(on.x, on.ranges[0], x), back(on.y, on.ranges[1], y)];
    }
    node.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false }); // no scrolling
    let held = null; // the pointer that moves the point; a finger is captured wherever it was put down
    on.node.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "touch" && !node.contains(event.target)) return;
      held = event.pointerId;
      on.node.setPointerCapture(held);
      set(place(event));
    });
    on.node.addEventListener("pointermove", (event) => {
      if (event.pointerId === held) set(place(event));
    });
    on.node.addEventListener("lostpointercapture", () => (held = null));
    on.node.addEventListener("click", (event) => {
      set(place(event));
      node.focus({ preventScroll: true });
    });
    node.addEventListener("keydown", (event) => {
      const to = keyed(self.point, event.key, event.shiftKey);
      if (!to) return;
      event.preventDefault();
      set(to);
    });
    return self;
  }

  return { handle, keyed, within };
})();
