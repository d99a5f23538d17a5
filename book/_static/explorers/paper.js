/* Paper to draw a digit on, and the image of 28×28 pixels that MNIST would make of it. */
"use strict";

Explorers.paper = (() => {
  const { change, element, ink } = Explorers.panel;
  const SIDE = 280; // of the paper: ten points for each pixel of an image
  const PEN = 22;

  /** From ink to an image, as MNIST was made: fitted into 20×20 pixels, centered in 28×28 by its center of mass. */
  function normalized({ data }) {
    const marks = [];
    for (let i = 0; i < SIDE * SIDE; i++) {
      if (data[4 * i + 3]) marks.push({ x: (i % SIDE) + 0.5, y: Math.floor(i / SIDE) + 0.5, mass: data[4 * i + 3] / 255 });
    }
    const gray = new Float32Array(28 * 28);
    if (!marks.length) return gray;
    const extent = (name) => marks.reduce(([low, high], mark) => [Math.min(low, mark[name]), Math.max(high, mark[name])], [SIDE, 0]);
    const size = Math.max(...[extent("x"), extent("y")].map(([low, high]) => high - low + 1));
    const scale = Math.min(20 / size, 0.25); // a dot stays small, and every pixel gets points enough for its gray value
    const total = marks.reduce((mass, mark) => mass + mark.mass, 0);
    const mean = (name) => marks.reduce((moment, mark) => moment + mark.mass * mark[name], 0) / total;
    const [x, y] = [mean("x"), mean("y")];
    for (const mark of marks) {
      const [column, row] = [Math.floor((mark.x - x) * scale + 14), Math.floor((mark.y - y) * scale + 14)];
      if (Math.min(column, row) >= 0 && Math.max(column, row) < 28) gray[28 * row + column] += mark.mass * scale ** 2;
    }
    return gray.map((value) => Math.min(value, 1));
  }

  const isBlank = (gray) => gray.every((value) => value === 0);

  /** A sheet that begins empty, with an invitation; `changed(image)` is called whenever what stands on it has changed. */
  function sheet(changed) {
    const canvas = element("canvas", { class: "paper", width: SIDE, height: SIDE, role: "img",
      "aria-label": "Paper to draw a digit on with mouse, pen or finger" });
    const invitation = element("span", { class: "invitation", "aria-hidden": true }, "Draw a digit here");
    const context = canvas.getContext("2d", { willReadFrequently: true });
    Object.assign(context, { lineWidth: PEN, lineCap: "round", lineJoin: "round" });
    let strokes = []; // lists of points
    let taken = null; // an image that came as a whole; the first stroke takes its place
    let waiting = false;

    function line([x, y], [toX, toY]) {
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(toX + 0.01, toY); // of no length, it would be no dot
      context.stroke();
    }
    function renew() {
      context.clearRect(0, 0, SIDE, SIDE);
      for (const stroke of strokes) stroke.forEach((point, i) => line(stroke[Math.max(i - 1, 0)], point));
      tell();
    }
    function tell() {
      change(invitation, { style: `visibility: ${taken || strokes.length ? "hidden" : "visible"}` });
      changed(taken ?? normalized(context.getImageData(0, 0, SIDE, SIDE)));
    }

    function pen(event) {
      const box = canvas.getBoundingClientRect();
      const point = [(event.clientX - box.left) * SIDE / box.width, (event.clientY - box.top) * SIDE / box.height];
      const stroke = strokes.at(-1);
      line(stroke.at(-1) ?? point, point);
      stroke.push(point);
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        tell();
      });
    }
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      if (taken) clear();
      strokes.push([]);
      pen(event);
    });
    canvas.addEventListener("pointermove", (event) => canvas.hasPointerCapture(event.pointerId) && pen(event));

    function clear() {
      [strokes, taken] = [[], null];
      renew();
    }
    function undo() {
      taken = null;
      strokes.pop();
      renew();
    }
    function take(gray) {
      const small = element("canvas", { width: 28, height: 28 });
      small.getContext("2d").putImageData(ink(gray), 0, 0);
      [strokes, taken] = [[], gray];
      context.clearRect(0, 0, SIDE, SIDE);
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, SIDE, SIDE);
      tell();
    }
    return { clear, node: element("div", { class: "sheet" }, canvas, invitation), take, undo };
  }

  return { PEN, SIDE, isBlank, normalized, sheet };
})();
