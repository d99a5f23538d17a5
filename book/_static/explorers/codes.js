/* Codes and dead codes: a codebook in the plane, moved by hand or by moving averages of what chose it. */
"use strict";

Explorers.codes = (() => {
  const { standardNoise, sum } = Explorers.network;
  const CENTERS = [[0, 0], [4, 1], [1, 4], [5, 5], [8, 2]]; // of the points: sixty around each
  const START = [[-1, 1.5], [4.4, 3.2], [0.5, 5.6], [6.6, 0.2], [11, 8]];
  const POINTS = standardNoise(600, 1).reduce((all, n, i) => (i % 2 ? all.at(-1).push(n) : all.push([n]), all), [])
    .map((noise, i) => CENTERS[i % 5].map((center, d) => center + 0.6 * noise[d]));
  const [SMALLEST, SETTLED, EQUAL] = [1e-150, 0.005, 0.01];

  const square = (a, b) => (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2;

  /** The index of the code vector nearest to z; of equal ones the first. */
  function nearest(z, codebook) {
    const distances = codebook.map((e) => square(z, e));
    return distances.indexOf(Math.min(...distances));
  }

  // The averages: of each code how many points chose it, and what these add up to.

  const averagesOf = (codebook) => codebook.map((e) => ({ count: 1, sums: [...e] }));
  const vector = ({ count, sums }) => sums.map((value) => value / count);

  /** One step of moving averages over all points; with γ = 0 it is k-means. What nobody chooses stays where it is. */
  function step(averages, points, gamma) {
    const codebook = averages.map(vector);
    const choices = points.map((z) => nearest(z, codebook));
    return averages.map(({ count, sums }, c) => {
      const chosen = points.filter((_, i) => choices[i] === c);
      const kept = gamma * count + (1 - gamma) * chosen.length;
      if (kept < SMALLEST) return { count: SMALLEST, sums: codebook[c].map((value) => SMALLEST * value) };
      return { count: kept, sums: sums.map((value, d) => gamma * value + (1 - gamma) * sum(chosen.map((z) => z[d]))) };
    });
  }

  /** What a codebook is worth: each point's choice, the mean squared distance, and the bits of the choices. */
  function measure(codebook, points) {
    const choices = points.map((z) => nearest(z, codebook));
    const used = codebook.map((_, c) => choices.filter((choice) => choice === c).length);
    return {
      choices, used,
      distortion: sum(points.map((z, i) => square(z, codebook[choices[i]]))) / points.length,
      bits: -sum(used.filter(Boolean).map((n) => (n / points.length) * Math.log2(n / points.length))),
    };
  }

  /** Each dead code onto a point that `uniform` draws. */
  function restart(averages, points, uniform) {
    const { used } = measure(averages.map(vector), points);
    return averages.map((old, c) => (used[c] ? old : averagesOf([points[Math.floor(uniform() * points.length)]])[0]));
  }

  /** From the centers by k-means to where it settles: the least distortion that we know. */
  function best(points) {
    let averages = averagesOf(CENTERS);
    for (let i = 0; i < 50; i++) averages = step(averages, points, 0);
    return measure(averages.map(vector), points).distortion;
  }

  /** The corners of the part of a box that lies nearer to code c than to any other: half-planes, cut one by one. */
  function cell(codebook, c, [[left, right], [low, high]]) {
    const cut = (corners, e) => {
      const inside = (p) => square(p, e) - square(p, codebook[c]);
      return corners.flatMap((p, i) => {
        const q = corners[(i + 1) % corners.length];
        const [a, b] = [inside(p), inside(q)];
        const crossing = p.map((value, d) => value + (a / (a - b)) * (q[d] - value));
        return [...(a >= 0 ? [p] : []), ...(a * b < 0 ? [crossing] : [])];
      });
    };
    return codebook.filter((_, other) => other !== c).reduce(cut, [[left, low], [right, low], [right, high], [left, high]]);
  }

  /** What is said after a step that moved some code by `moved`, or, with null, where the codes were put by hand. */
  function verdict({ used, distortion, bits }, moved, least, bet) {
    const say = Explorers.panel.format;
    const dead = used.flatMap((n, c) => (n ? [] : [c + 1]));
    const [who, are] = dead.length > 1 ? [`Codes ${dead.join(", ")}`, "are"] : [`Code ${dead}`, "is"];
    const marks = `The mean squared distance is ${say(distortion, 2)}; ${say(least, 2)} is possible.`;
    const next = bet ? "Take steps, or drag it." : "Bet, then take steps.";
    if (moved === null && dead.length) return `${who} ${are} dead: no point lies nearest. ${marks} ${next}`;
    if (moved === null) return `No code is dead; their choice takes ${say(bits, 2)} bits. ${marks} Take steps until they settle.`;
    if (moved >= SETTLED) return `The longest move was ${say(moved, 2)}. ${dead.length ? `${who} stayed: no point pulls. ` : ""}${marks}`;
    if (dead.length) {
      const won = bet === null ? "" : bet === "no" ? "You were right: no. " : "Not as you bet: it stays. ";
      return `${won}The others have settled; the mean of no points moves nothing. ${marks}`;
    }
    if (distortion > least + EQUAL) return `Settled, all alive, and not the best: each code is the mean of its points. ${marks}`;
    return `Settled at the best that we know: ${say(distortion, 2)}, with ${say(bits, 2)} bits, all five alive.`;
  }

  return { CENTERS, POINTS, START, averagesOf, best, cell, measure, nearest, restart, step, vector, verdict };
})();

Explorers.panel.mount("codes", "Codes and dead codes", ["handle"], (live) => {
  const { axes, bet, button, change, element, readout, sentence, slider, table, through } = Explorers.panel;
  const { POINTS, START, averagesOf, best, cell, measure, restart, step, vector, verdict } = Explorers.codes;
  const box = [[-2, 12], [-2, 9]];
  const reach = [[-1.2, 11.2], [-1.2, 8.2]]; // of the codes: their handles stay in the card

  const on = axes("Points, five codes, and the cell of the plane in which each of them is the nearest", { x: box[0], y: box[1],
    height: 300, xLabel: "first number", yLabel: "second number", xTicks: [0, 4, 8, 12], yTicks: [0, 4, 8] });
  const cells = START.map((_, c) => element("path", { class: `cell class-${c}` }));
  const dots = START.map((_, c) => element("path", { class: `codes class-${c}` }));
  on.inside.append(...cells, ...dots);

  const shown = { distortion: readout(3), least: readout(3), bits: readout(3), most: readout(3), perplexity: readout(2) };
  const said = sentence();
  const least = best(POINTS);
  const uniform = Explorers.network.uniforms(5);
  const bets = bet("Will code 5 ever come back?", ["yes, in the end", "no"], () => update());
  const gamma = slider("γ", "Share of the old averages", { low: 0, high: 0.95, step: 0.05, start: 0, digits: 2 }, () => update());
  const handles = START.map((_, c) => Explorers.handle.point(on, `Code ${c + 1}`, ["first", "second"], reach, (at) => {
    begin(averages.map((old, i) => (i === c ? { ...old, sums: at.map((value) => old.count * value) } : old)));
  }));
  const counts = handles.map(() => element("text", { class: "middle note", y: 26 }));
  handles.forEach(({ node }, c) => node.append(element("text", { class: "middle", y: 4.5 }, c + 1), counts[c]));
  on.layer.append(...handles.map(({ node }) => node));
  let [averages, moved] = [averagesOf(START), null];

  function update() {
    const codebook = averages.map(vector);
    const found = measure(codebook, POINTS);
    codebook.forEach((e, c) => {
      const corners = cell(codebook, c, box);
      const mine = POINTS.filter((_, i) => found.choices[i] === c);
      change(cells[c], { d: corners.length ? `${through(on, corners)}Z` : "" });
      change(dots[c], { d: mine.map(([x, y]) => `M${on.x(x).toFixed(1)} ${on.y(y).toFixed(1)}h0`).join("") });
      handles[c].put(e);
      handles[c].node.classList.toggle("dead", !found.used[c]);
      counts[c].textContent = found.used[c];
    });
    for (const name of ["distortion", "bits"]) shown[name].show(found[name]);
    shown.perplexity.show(2 ** found.bits);
    said.say(verdict(found, moved, least, bets.value));
  }

  /** Other averages, by hand. */
  function begin(next) {
    [averages, moved] = [next, null];
    update();
  }

  /** One step, and how far the code went that went farthest. */
  function go() {
    const next = step(averages, POINTS, gamma.value);
    const lengths = next.map((average, c) => Math.hypot(...vector(average).map((value, d) => value - vector(averages[c])[d])));
    [averages, moved] = [next, Math.max(...lengths)];
    update();
  }

  const buttons = [
    button("One step", go),
    button("Restart the dead", () => begin(restart(averages, POINTS, uniform))),
    button("Begin anew", () => begin(averagesOf(START))),
  ];
  shown.least.show(least);
  shown.most.show(Math.log2(START.length));
  live.append(
    element("div", { class: "wide" }, on.node,
      element("p", { class: "explorer-hint" }, "Below each code, how many points chose it. Drag a code, or select it and use the arrow keys (with Shift: long steps).")),
    element("div", { class: "narrow" }, bets.node, gamma.node,
      element("div", { class: "explorer-buttons" }, ...buttons), said.node,
      table("Five codes", [], { "mean squared distance": [shown.distortion.node], "best known": [shown.least.node], "bits used": [shown.bits.node],
        "of log₂ 5": [shown.most.node], "perplexity": [shown.perplexity.node] })),
  );
  update();
});
