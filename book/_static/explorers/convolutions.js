/* Every number of a line is 1, and a transposed convolution spreads them over pixels. Does each pixel get the same? */
"use strict";

Explorers.convolutions = (() => {
  const SIZE = { low: 2, high: 8, step: 1, start: 3, digits: 0 }; // m
  const STRIDE = { low: 1, high: 4, step: 1, start: 1, digits: 0 }; // a
  const TENT = { low: 0, high: 1, step: 0.1, start: 0, digits: 1 }; // from equal weights to a tent
  const LINE = 16; // pixels drawn
  const ROUNDING = 1e-9;
  const { sum } = Explorers.network;

  /** The m weights w_u, which add up to the stride: then the mean pixel gets 1. */
  function kernel(m, a, tent) {
    const slopes = Array.from({ length: m }, (_, u) => Math.min(u + 1, m - u));
    return slopes.map((height) => a * ((1 - tent) / m + (tent * height) / sum(slopes)));
  }

  /** The matrix C of the convolution of n pixels, with padding m - 1, so that no window is missing at the border. */
  function matrix(weights, a, n) {
    const r = weights.length - 1;
    const windows = Math.floor((n + 2 * r - weights.length) / a) + 1;
    return Array.from({ length: windows }, (_, i) => Array.from({ length: n }, (_, j) => weights[j - a * i + r] ?? 0));
  }

  /** C^T 1, and how many weights reach each pixel. */
  const column = (C, value) => C[0].map((_, j) => sum(C.map((row) => value(row[j]))));
  const output = (C) => column(C, (weight) => weight);
  const counts = (C) => column(C, (weight) => Number(weight > 0));

  const ends = (values) => [Math.min(...values), Math.max(...values)];

  const ANSWERS = ["all", "odd ones", "even ones"];

  /** What is said of a kernel, and of the bet, which is decided at stride 2 with equal weights. */
  function verdict(m, a, tent, bet) {
    const { format } = Explorers.panel;
    const C = matrix(kernel(m, a, tent), a, LINE);
    const [least, most] = ends(output(C));
    const [few, many] = ends(counts(C));
    const won = bet && a === 2 && tent === 0
      ? `${bet === ANSWERS[2] ? "You were right" : "Not as you bet"}: even ones, with m/2 windows over each pixel. ` : "";
    const windows = few === many ? `every pixel lies under ${many} window${many > 1 ? "s" : ""}` : `pixels lie under ${few} or ${many} windows`;
    const range = `${format(least, 2)} to ${format(most, 2)}`;
    if (a === 1) return "Uniform: at stride 1 every pixel meets all of the weights, whatever they are.";
    if (few === 0) return `${won}Gaps: the window is shorter than the stride, and ${a - m} of ${a} pixels lie under none.`;
    if (most - least > ROUNDING && few === many) return `${won}Striped, ${range}, though ${windows}: what it gets depends on which weights meet there.`;
    if (most - least > ROUNDING) return `${won}Striped, ${range}: ${windows}, in turns that repeat after ${a} pixels.`;
    if (few === many) return `${won}Uniform: ${windows}${tent > 0 ? ", and its weights add up to 1" : ""}.`;
    return `${won}Uniform, though ${windows}: a strong weight alone is worth as much as ${many} weak ones together.`;
  }

  return { ANSWERS, LINE, SIZE, STRIDE, TENT, counts, ends, kernel, matrix, output, verdict };
})();

Explorers.panel.mount("convolutions", "A uniform image?", [], (live) => {
  const { axes, bet, change, element, image, path, readout, sentence, slider, table } = Explorers.panel;
  const { ANSWERS, LINE, SIZE, STRIDE, TENT, counts, ends, kernel, matrix, output, verdict } = Explorers.convolutions;
  const [LOW, HIGH] = [2.8, 6.2]; // between them the windows are drawn, above the bars

  const on = axes("Above, the windows as rows of dots, a dot for each weight; below, a bar for what each pixel gets", {
    x: [-0.5, LINE - 0.5], y: [0, 6.7], xLabel: "pixel j", xTicks: [0, 4, 8, 12], yTicks: [0, 1, 2] });
  const windows = element("g");
  const bars = Array.from({ length: LINE }, (_, j) => element("rect", { class: "bound", x: on.x(j) - 8, width: 16 }));
  on.inside.append(windows, ...bars, element("path", { class: "curve exact", d: path(on, [-0.5, LINE - 0.5], [1, 1]) }));
  on.layer.append(element("text", { class: "note", x: on.x(-0.3), y: on.y(6.35) }, "windows: the rows of C"),
    element("text", { class: "note q", x: on.x(-0.3), y: on.y(2.35) }, "each pixel's sum: Cᵀ1, and its mean"));
  const picture = image("An image of 28 by 28 pixels that the same layer makes in the plane");

  const shown = { count: [readout(0), readout(0)], sum: [readout(2), readout(2)] };
  const said = sentence();

  function drawWindow(row, i, C) {
    const y = HIGH - ((i + 0.5) / C.length) * (HIGH - LOW);
    const reached = [...row.keys()].filter((j) => row[j] > 0);
    const strongest = Math.max(...C.flat());
    return [element("path", { class: "threads", d: path(on, reached, reached.map(() => y)) }),
      ...reached.map((j) => element("circle", { class: "frame", cx: on.x(j), cy: on.y(y), r: 3.9 * Math.sqrt(row[j] / strongest) }))];
  }

  function update() {
    const [m, a, t] = [size.value, stride.value, tent.value];
    const weights = kernel(m, a, t);
    const C = matrix(weights, a, LINE);
    windows.replaceChildren(...C.flatMap(drawWindow));
    output(C).forEach((value, j) => change(bars[j], { y: on.y(value), height: on.y(0) - on.y(value) }));
    const line = output(matrix(weights, a, 28));
    picture.show(line.flatMap((down) => line.map((across) => Math.min((down * across) / 2, 1)))); // a mean pixel is half ink
    for (const [name, values] of [["count", counts(C)], ["sum", output(C)]]) {
      ends(values).forEach((value, i) => shown[name][i].show(value));
    }
    said.say(choice.value || a !== 2 || t > 0 ? verdict(m, a, t, choice.value) : "Bet first: which kernels give a uniform image?");
  }

  function decide() {
    tent.set(0);
    stride.set(2);
  }

  const choice = bet("Which kernel sizes m give a uniform image at stride 2, with equal weights?", ANSWERS, decide);
  const size = slider("size m", "Kernel size", SIZE, update);
  const stride = slider("stride a", "Stride", STRIDE, update);
  const tent = slider("tent", "From equal weights to a tent", TENT, update);
  const nodes = (readouts) => readouts.map(({ node }) => node);
  live.append(
    element("div", { class: "wide" }, on.node,
      element("div", { class: "pair" },
        element("div", { class: "explorer-labelled" }, picture.node, element("span", {}, "in both directions")),
        table("Per pixel", ["least", "most"], { windows: nodes(shown.count), sum: nodes(shown.sum) })),
    ),
    element("div", { class: "narrow" }, choice.node, size.node, stride.node, tent.node, said.node),
  );
  update();
});
