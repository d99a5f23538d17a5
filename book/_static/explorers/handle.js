/* Handles: points on axes, moved by mouse, pen, finger and keys. */
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

  /** One of several handles: `point`; `put(point)`; `set(point)`, which calls `moved` as a hand would; `place` and `take`
      of a pointer. A finger that takes hold of it does not scroll the page. */
  function point(on, spoken, names, ranges, moved) {
    const { change, element, format } = Explorers.panel;
    const node = element("g", { class: "handle", tabindex: 0, role: "slider", "aria-label": spoken,
      "aria-valuemin": ranges[0][0], "aria-valuemax": ranges[0][1], "aria-roledescription": "point in the plane" },
      element("circle", { class: "reach", r: 26 }), element("circle", { class: "grip", r: 8 }),
    );
    change(on.node, { role: "group" }); // not an image: the point in it can be moved
    const said = (value) => format(value, 2).replace("−", "-"); // the sign that every screen reader knows
    const self = { node, point: null, put, set, place, take };

    function put(to) {
      self.point = within(to, ranges);
      const [x, y] = self.point;
      const where = self.point.map((value, i) => `${names[i]} ${said(value)}`).join(", ");
      change(node, { transform: `translate(${on.x(x)} ${on.y(y)})`, "aria-valuenow": said(x), "aria-valuetext": where });
    }

    function set(to) {
      put(to);
      moved(self.point);
    }

    function place(event) {
      const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(on.node.getScreenCTM().inverse());
      const back = (scale, [low, high], value) => low + ((value - scale(low)) / (scale(high) - scale(low))) * (high - low);
      return [back(on.x, ranges[0], x), back(on.y, ranges[1], y)];
    }

    let held = null; // the pointer that moves the point; a finger is captured wherever it was put down
    function take(event) {
      held = event.pointerId;
      node.setPointerCapture(held);
      set(place(event));
    }
    node.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false }); // no scrolling
    node.addEventListener("pointerdown", take);
    node.addEventListener("pointermove", (event) => event.pointerId === held && set(place(event)));
    node.addEventListener("lostpointercapture", () => (held = null));
    node.addEventListener("keydown", (event) => {
      const to = keyed(self.point, event.key, event.shiftKey);
      if (!to) return;
      event.preventDefault();
      set(to);
    });
    return self;
  }

  /** The only handle: mouse and pen take its point from anywhere; a finger must take hold of it, else it scrolls the page,
      or taps. */
  function handle(on, spoken, names, moved) {
    const self = point(on, spoken, names, on.ranges, moved);
    on.node.addEventListener("pointerdown", (event) => event.pointerType !== "touch" && self.take(event));
    on.node.addEventListener("click", (event) => {
      self.set(self.place(event));
      self.node.focus({ preventScroll: true });
    });
    return self;
  }

  return { handle, keyed, point, within };
})();
