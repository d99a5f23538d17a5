/* How noisy is a gradient? The same decoder passes, spent on more draws for each example or on more examples. */
"use strict";

Explorers.training = (() => {
  const N = 1200; // examples
  const doubled = (doublings) => 2 ** doublings;
  const SIZE = { low: 0, high: 6, step: 1, start: 4, digits: 0, meaning: doubled }; // M
  const DRAWS = { low: 0, high: 4, step: 1, start: 0, digits: 0, meaning: doubled }; // K
  const RATIO = { low: -3, high: 3, step: 0.5, start: 1, digits: 2, meaning: doubled }; // V_within / V_between
  const PUZZLE = [16, 16, 1]; // M, K and the ratio of the bet

  /** Both parts of the variance of a gradient, in units of V_between: M of n examples, K draws for each. */
  const parts = (M, K, ratio, n = N) => [(1 - M / n) / M, ratio / (M * K)];
  const variance = (M, K, ratio, n) => Explorers.network.sum(parts(M, K, ratio, n));

  const ANSWERS = ["1/16", "1/4", "a half"];

  /** What is said of a place, and of the bet, which is decided at the puzzle. */
  function verdict(M, K, ratio, bet) {
    const one = variance(M, 1, ratio);
    const percent = (value) => `${((100 * value) / one).toFixed(1)} %`;
    const [between, within] = parts(M, K, ratio);
    if (K === 1) return `One draw each: ${percent(within)} of the variance is from ε. That part alone falls when K rises.`;
    const decided = bet && [M, K, ratio].every((value, i) => value === PUZZLE[i]);
    const won = decided ? `${bet === ANSWERS[2] ? "You were right" : "Not as you bet"}: about a half. ` : "";
    const whose = within > between ? "Most of that is from ε: more draws still help." : "What is left is mostly between examples: no draw lowers it.";
    return `${won}${K} draws leave ${percent(between + within)}, the same passes on ${M * K} examples ${percent(variance(M * K, 1, ratio))}. ${whose}`;
  }

  return { ANSWERS, DRAWS, N, PUZZLE, RATIO, SIZE, parts, variance, verdict };
})();

Explorers.panel.mount("training", "Draws or examples?", [], (live) => {
  const { axes, bet, change, element, path, readout, sentence, slider, table } = Explorers.panel;
  const { ANSWERS, DRAWS, PUZZLE, RATIO, SIZE, parts, variance, verdict } = Explorers.training;
  const STEPS = Array.from({ length: 33 }, (_, i) => i / 8); // doublings of the passes

  const on = axes("The variance against the decoder passes: with more draws it ends at a floor, with more examples it goes on falling", {
    x: [0, 10], y: [-12, 4], xLabel: "log₂ of the decoder passes MK", yLabel: "log₂(variance / V between)",
    xTicks: [0, 2, 4, 6, 8, 10], yTicks: [-12, -8, -4, 0, 4] });
  const floor = element("path", { class: "curve exact" });
  const [byDraws, byExamples] = ["curve", "curve all"].map((name) => element("path", { class: name }));
  const [here, there] = ["bound", "whole"].map((name) => element("circle", { class: name, r: 6 }));
  on.inside.append(floor, byExamples, byDraws);
  on.layer.append(there, here, element("text", { class: "note q", x: on.x(0.3), y: on.y(-9.4) }, "more draws"),
    element("text", { class: "note", x: on.x(0.3), y: on.y(-10.3) }, "their floor"),
    element("text", { class: "note all", x: on.x(0.3), y: on.y(-11.2) }, "more examples"));

  const bars = axes("What is left: above with more draws, below with more examples", { x: [0, 100], y: [0, 1], height: 138,
    xLabel: "% of the variance with K = 1", xTicks: [0, 25, 50, 75, 100] });
  const [between, within, other] = ["bound", "gap", "whole"].map((name, i) =>
    element("rect", { class: name, y: i < 2 ? 32 : 66, height: 26 }));
  bars.inside.append(between, within, other);
  [["q", 0, "between"], ["network", 74, "from ε"], ["all", 140, "more examples instead"]].forEach(([name, x, text]) =>
    bars.layer.append(element("text", { class: `note ${name}`, x: bars.x(0) + x, y: 24 }, text)));

  const shown = { between: [readout(4), readout(4)], within: [readout(4), readout(4)], sum: [readout(4), readout(4)] };
  const said = sentence();

  function update() {
    const [M, K, ratio] = [size.value, draws.value, spread.value];
    const start = Math.log2(M);
    const doublings = STEPS.map((step) => start + step);
    const curve = (values) => path(on, doublings, values.map(Math.log2));
    change(byDraws, { d: curve(STEPS.map((step) => variance(M, 2 ** step, ratio))) });
    change(byExamples, { d: curve(STEPS.map((step) => variance(M * 2 ** step, 1, ratio))) });
    const level = Math.log2(parts(M, K, ratio)[0]);
    change(floor, { d: path(on, [start, 10], [level, level]) });
    const ways = [[M, K], [M * K, 1]].map(([examples, each]) => parts(examples, each, ratio));
    const sums = ways.map(([left, right]) => left + right);
    [here, there].forEach((dot, i) => change(dot, { cx: on.x(Math.log2(M * K)), cy: on.y(Math.log2(sums[i])) }));
    const across = (value) => bars.x((100 * value) / variance(M, 1, ratio));
    const bar = (node, from, to) => change(node, { x: across(from), width: across(to) - across(from) });
    bar(between, 0, ways[0][0]);
    bar(within, ways[0][0], sums[0]);
    bar(other, 0, sums[1]);
    [0, 1].forEach((i) => [shown.between, shown.within, shown.sum].forEach((row, j) => row[i].show([...ways[i], sums[i]][j])));
    said.say(choice.value || K < 16 ? verdict(M, K, ratio, choice.value) : "Bet first: what do sixteen draws leave?");
  }

  function decide() {
    [size, draws, spread].forEach((control, i) => control.set(Math.log2(PUZZLE[i])));
  }

  const choice = bet("Half of the variance is from ε. What do 16 draws for each example leave of the whole?", ANSWERS, decide);
  const size = slider("examples M", "Doublings of the batch size", SIZE, update);
  const draws = slider("draws K", "Doublings of the number of draws", DRAWS, update);
  const spread = slider("within", "Doublings of the variance from ε", RATIO, update);
  const nodes = (readouts) => readouts.map(({ node }) => node);
  live.append(
    element("div", { class: "wide" }, on.node, bars.node),
    element("div", { class: "narrow" },
      choice.node, size.node, draws.node, spread.node, said.node,
      table("Variance / V between", ["M, K", "MK, 1"],
        { between: nodes(shown.between), "+ within": nodes(shown.within), "= sum": nodes(shown.sum) }),
    ),
  );
  update();
});
