/* One gradient from many ranks: what uneven shares do to the plain mean, and one seed for all to its noise. */
"use strict";

Explorers.ranks = (() => {
  const { mean, sum } = Explorers.network;
  // Twelve examples, by row. The decoder has mean z + b and variance 1, and q(z | x) is N(0, 1): the gradient of an example's
  // loss ½(x − z − b)² in b is z − x at b = 0, so −x in the mean, with a noise of variance 1.
  const X = [-0.4, -1.5, 0.6, -0.9, -0.2, -1.8, 0.3, -1.1, 0.5, -1.2, -0.1, 2.2];
  const M = X.length;
  const GRADIENTS = X.map((x) => -x);
  const P = { low: 2, high: 4, step: 1, start: 4, digits: 0 };
  const LAST = { low: 1, high: 9, step: 1, start: 3, digits: 0 };
  const [PLAIN, WEIGHTED] = ["plain", "each times P m / M"];
  const [ROWS, SEED] = ["its rows of one noise", "drawn from one seed"];
  const ENGINES = [PLAIN, WEIGHTED];
  const NOISES = [ROWS, SEED];
  const PUZZLE = [2, 1]; // ranks, and the last one's share

  /** The shares: the last rank's as given, the others even. */
  function shares(ranks, last) {
    const [rest, others] = [M - last, ranks - 1];
    const start = (r) => Math.floor((rest * r) / others);
    return [...Array.from({ length: others }, (_, r) => start(r + 1) - start(r)), last];
  }

  /** What an example counts in the whole, by rank. */
  const counts = (sizes, engine) => sizes.map((m) => (engine === PLAIN ? 1 / (sizes.length * m) : 1 / M));

  const starts = (sizes) => sizes.map((_, r) => sum(sizes.slice(0, r)));

  /** The gradients of the ranks, each of the mean over its share. */
  const gradients = (sizes) => starts(sizes).map((from, r) => mean(GRADIENTS.slice(from, from + sizes[r])));

  /** Mean and variance of the gradient that all get. With one seed the rows j of all ranks have the same noise. */
  function estimate(sizes, engine, noise) {
    const each = counts(sizes, engine);
    const together = (j) => sum(each.filter((_, r) => j < sizes[r]));
    return {
      mean: sum(gradients(sizes).map((gradient, r) => each[r] * sizes[r] * gradient)),
      variance: noise === SEED ? sum(X.map((_, j) => together(j) ** 2)) : sum(sizes.map((m, r) => m * each[r] ** 2)),
    };
  }

  const WHOLE = { mean: mean(GRADIENTS), variance: 1 / M };

  const ANSWERS = ["1/12", "1/11", "1/2"];
  const isPuzzle = (sizes, engine) => engine === PLAIN && sizes.length === PUZZLE[0] && sizes.at(-1) === PUZZLE[1];

  /** What is said of shares, engine and noise. */
  function verdict(sizes, engine, noise, bet) {
    const { format } = Explorers.panel;
    const [ranks, last] = [sizes.length, sizes.at(-1)];
    const { mean: found, variance } = estimate(sizes, engine, noise);
    const won = bet && isPuzzle(sizes, engine) ? (bet === ANSWERS[2] ? "You were right: one half. " : "Not as you bet: one half. ") : "";
    const even = sizes.every((m) => m === last);
    const times = M / (ranks * last);
    const due = times > 1 ? `${format(times, 1)} times` : `only ${format(times, 2)} of`;
    const wrong = Math.sign(found) === Math.sign(WHOLE.mean) ? "" : ": the step goes the wrong way";
    const bias = {
      [PLAIN]: even ? `All shares are ${last}: the plain mean is the gradient.`
        : `An example of rank ${ranks - 1} counts ${due} its due. Mean ${format(found, 2)} for ${format(WHOLE.mean, 2)}${wrong}.`,
      [WEIGHTED]: `Rank ${ranks - 1} is weighted by ${format((ranks * last) / M, 2)}: every example counts 1/12, and the mean is right.`,
    }[engine];
    const worth = format(1 / variance, 1);
    const spread = variance < WHOLE.variance + 1e-12 ? "The noise is that of one process."
      : noise === SEED ? `Rows of equal number share their noise: as noisy as a batch of ${worth}.`
        : `The noise, too, is that of a batch of ${worth}.`;
    return `${won}${bias} ${spread}`;
  }

  return { ANSWERS, ENGINES, GRADIENTS, LAST, M, NOISES, P, PUZZLE, WHOLE, counts, estimate, gradients, isPuzzle, shares, starts, verdict };
})();

Explorers.panel.mount("ranks", "One gradient from many", [], (live) => {
  const { axes, bet, change, element, path, readout, sentence, slider, table } = Explorers.panel;
  const { ANSWERS, ENGINES, GRADIENTS, LAST, M, NOISES, P, PUZZLE, WHOLE, counts, estimate, gradients, isPuzzle, shares, starts, verdict } = Explorers.ranks;
  const { logNormal } = Explorers.network;
  const ticks = [-3, -2, -1, 0, 1, 2, 3];

  const rows = axes("The gradients of twelve examples, larger where they count more, by ranks, each with its mean", { x: [-3, 3],
    y: [M + 0.7, 0.3], height: 290, xLabel: "gradient of an example", yLabel: "row", xTicks: ticks, yTicks: [1, 4, 8, 12] });
  const dots = GRADIENTS.map((at, i) => element("circle", { class: "dot", cx: rows.x(at), cy: rows.y(i + 1) }));
  const cuts = element("path", { class: "mark" });
  const means = element("path", { class: "curve leap each" });
  const names = [0, 1, 2, 3].map((r) => [r, element("text", { class: "note end", x: rows.x(2.9) })]);
  rows.inside.append(cuts, means, ...dots, ...names.map(([, node]) => node));

  const hills = axes("The gradient that all get, as a density: in gray of one process, in vermilion of the ranks", { x: [-3, 3], y: [0, 1.5],
    height: 180, xLabel: "gradient of the minibatch", yLabel: "density", xTicks: ticks, yTicks: [0, 0.5, 1, 1.5] });
  const xs = Array.from({ length: 241 }, (_, i) => -3 + i / 40);
  const hill = ({ mean, variance }) => path(hills, xs, xs.map((x) => Math.exp(logNormal(x, mean, Math.log(variance)))));
  const theirs = element("path", { class: "curve mean" });
  hills.inside.append(element("path", { class: "area", d: hill(WHOLE) }), theirs);

  const shown = [3, 3, 1].map((digits) => [readout(digits), readout(digits)]);
  const said = sentence();

  function update() {
    const sizes = shares(ranks.value, last.value);
    const open = guess.value || !isPuzzle(sizes, engine.value); // else it would tell
    const each = open ? counts(sizes, engine.value) : sizes.map(() => 1 / M);
    const [from, own] = [starts(sizes), gradients(sizes)];
    const all = estimate(sizes, engine.value, noise.value);
    const rank = (i) => from.filter((start) => start <= i).length - 1;
    dots.forEach((dot, i) => change(dot, { r: 4.5 * Math.sqrt(M * each[rank(i)]) }));
    change(cuts, { d: from.slice(1).map((start) => `M${rows.x(-3)} ${rows.y(start + 0.5)}H${rows.x(3)}`).join("") });
    change(means, { d: own.map((at, r) => path(rows, [at, at], [from[r] + 0.6, from[r] + sizes[r] + 0.4])).join("") });
    for (const [r, node] of names) {
      node.textContent = r < sizes.length ? `rank ${r}` : "";
      if (r < sizes.length) change(node, { y: rows.y(from[r] + (sizes[r] + 1) / 2) + 4 });
    }
    change(theirs, { d: open ? hill(all) : "" });
    [WHOLE, open ? all : { mean: NaN, variance: NaN }].forEach(({ mean, variance }, i) =>
      [mean, Math.sqrt(variance), 1 / variance].forEach((value, row) => shown[row][i].show(value)));
    said.say(open ? verdict(sizes, engine.value, noise.value, guess.value) : "Bet first: how much of the plain mean is the one example's?");
  }

  function decide() {
    ranks.set(PUZZLE[0]);
    last.set(PUZZLE[1]);
    engine.choose(ENGINES[0]);
  }

  const guess = bet("Two ranks, with 11 and 1. Of the plain mean, the one example makes", ANSWERS, decide);
  const ranks = slider("P", "Number of ranks", P, update);
  const last = slider("m", "Share of the last rank", LAST, update);
  const engine = bet("Mean of the ranks' gradients", ENGINES, update);
  const noise = bet("Noise of a rank", NOISES, update);
  const nodes = (readouts) => readouts.map(({ node }) => node);
  live.append(
    element("div", { class: "wide" }, rows.node, hills.node,
      table("Gradient of the minibatch", ["alone", "ranks"],
        { mean: nodes(shown[0]), "std. deviation": nodes(shown[1]), "worth examples": nodes(shown[2]) })),
    element("div", { class: "narrow" },
      guess.node, ranks.node, last.node, engine.node, noise.node, said.node),
  );
  noise.choose(NOISES[0]);
  engine.choose(ENGINES[0]);
});
