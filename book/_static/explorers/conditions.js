/* What a guess in the place of missing values does to q: its mean, and how sure it is, in nats of the bound. */
"use strict";

Explorers.conditions = (() => {
  const { logNormal } = Explorers.network;
  // x_d = w z + sigma eps with w² = rho and sigma² = 1 - rho: variances 1, correlation rho. One entry is seen, n are missing.
  const RHO = { low: 0, high: 0.9, step: 0.1, start: 0.6, digits: 1 };
  const SEEN = { low: -2.5, high: 2.5, step: 0.5, start: 2, digits: 1 };
  const GUESS = { low: -2.5, high: 2.5, step: 0.05, start: 0, digits: 2 }; // holds every rho · x₁
  const DOUBLINGS = { low: 0, high: 5, step: 1, start: 0, digits: 0, meaning: (power) => 2 ** power };
  const PUZZLE = 32;

  const bestGuess = (rho, seen) => rho * seen;

  /** Mean and variance of p(z | x) for one entry that is seen and n that hold the guess; n = 0: what is true. */
  function posterior(rho, seen, n, guess) {
    const precision = 1 + ((n + 1) * rho) / (1 - rho);
    return { mean: (Math.sqrt(rho) * (seen + n * guess)) / (1 - rho) / precision, variance: 1 / precision };
  }

  /** The bound on log p(x₁) with the q of the filled row, and what its mean and its variance lose. */
  function terms(rho, seen, n, guess) {
    const truth = posterior(rho, seen, 0, 0);
    const q = posterior(rho, seen, n, guess);
    const ratio = q.variance / truth.variance;
    const mean = (q.mean - truth.mean) ** 2 / (2 * truth.variance);
    const variance = 0.5 * (ratio - 1 - Math.log(ratio));
    const logP = logNormal(seen, 0, 0);
    return { logP, mean, variance, bound: logP - mean - variance };
  }

  const ANSWERS = ["nothing", "less than half a nat", "more than half a nat"];
  const isBest = (rho, seen, guess) => Math.abs(guess - bestGuess(rho, seen)) < 1e-9;
  const decided = (rho, seen, n, guess) => n === PUZZLE && isBest(rho, seen, guess);

  /** What is said of a place, and of the bet, which is decided where all 32 missing entries hold the best guess. */
  function verdict(rho, seen, n, guess, bet) {
    const { format } = Explorers.panel;
    const { mean, variance } = terms(rho, seen, n, guess);
    const nats = (value) => `${format(value, 2)} nats`;
    if (rho === 0) return "Here x₁ says nothing of the others, nor of z: no guess can do harm.";
    const right = ANSWERS[variance > 0.5 ? 2 : 1];
    const won = bet && decided(rho, seen, n, guess) ? (bet === right ? "You were right. " : "Not as you bet. ") : "";
    if (isBest(rho, seen, guess)) {
      return `${won}The best guess: the mean of q is right. But q counts guesses as seen: its variance is `
        + `${format(1 + n * rho, 1)} times too small, for ${nats(variance)}.`;
    }
    const off = Math.abs(guess - bestGuess(rho, seen)) / Math.sqrt(1 - rho ** 2);
    const place = `The guess is ${format(off, 1)} standard deviations of p(x₂ | x₁) off.`;
    return mean > variance
      ? `${place} It pulls the mean of q along, for ${nats(mean)}; being too sure costs ${format(variance, 2)}.`
      : `${place} Near enough: the wrong mean costs ${nats(mean)}, being too sure ${format(variance, 2)}.`;
  }

  return { ANSWERS, DOUBLINGS, GUESS, PUZZLE, RHO, SEEN, bestGuess, decided, posterior, terms, verdict };
})();

Explorers.panel.mount("conditions", "Filling in", [], (live) => {
  const { axes, bet, button, change, element, path, readout, sentence, slider, table, through } = Explorers.panel;
  const { ANSWERS, DOUBLINGS, GUESS, PUZZLE, RHO, SEEN, bestGuess, decided, posterior, terms, verdict } = Explorers.conditions;
  const { ellipse } = Explorers.network;
  const ticks = [-3, -2, -1, 0, 1, 2, 3];
  const grid = Array.from({ length: 241 }, (_, i) => -4 + i / 30);

  const plane = axes("Two entries: their density, x₁ as it was seen, what may then be x₂, and the guess for it",
    { x: [-3, 3], y: [-3, 3], height: 300, xLabel: "x₁, seen", yLabel: "x₂, missing", xTicks: ticks, yTicks: ticks });
  const density = element("path", { class: "area" });
  const line = element("path", { class: "curve threads" });
  const given = element("path", { class: "curve all" });
  const guessed = element("circle", { class: "frame", r: 5 });
  plane.inside.append(density, line, given, guessed);
  plane.layer.append(element("text", { class: "note all", x: plane.x(-2.9), y: 44 }, "p(x₂ | x₁)"),
    element("text", { class: "note network", x: plane.x(-2.9), y: 62 }, "the guess"));

  const latent = axes("The true posterior of z, in gray, and q of the filled row, in blue, each with its peak at one",
    { x: [-4, 4], y: [0, 1.3], height: 190, xLabel: "z", yLabel: "density over its peak", xTicks: [-4, -2, 0, 2, 4], yTicks: [0, 1] });
  const [truth, q] = [element("path", { class: "area" }), element("path", { class: "curve q" })];
  latent.inside.append(truth, q);
  latent.layer.append(element("text", { class: "note", x: latent.x(-3.9), y: 44 }, "p(z | x₁)"),
    element("text", { class: "note q", x: latent.x(-3.9), y: 62 }, "q, of the filled row"));

  const shown = { logP: readout(3), mean: readout(3), variance: readout(3), bound: readout(3) };
  const said = sentence();

  function update() {
    const place = [correlation.value, seen.value, missing.value, guess.value];
    const [rho, x1, , x2] = place;
    const sd = Math.sqrt(1 - rho ** 2);
    change(density, { d: `${through(plane, ellipse([[1, rho], [rho, 1]]))}Z` });
    change(line, { d: `M${plane.x(x1)} ${plane.y(-3)}V${plane.y(3)}` });
    change(given, { d: path(plane, [x1, x1], [-2, 2].map((sds) => bestGuess(rho, x1) + sds * sd)) });
    change(guessed, { cx: plane.x(x1), cy: plane.y(x2) });
    const hill = ({ mean, variance }) => path(latent, grid, grid.map((z) => Math.exp(-0.5 * (z - mean) ** 2 / variance)));
    change(truth, { d: `${hill(posterior(rho, x1, 0, 0))}Z` });
    change(q, { d: hill(posterior(...place)) });
    for (const [name, value] of Object.entries(terms(...place))) shown[name].show(value);
    said.say(choice.value || !decided(...place) ? verdict(...place, choice.value) : "Bet first: what does the best guess lose?");
  }

  const fillBest = () => guess.set(bestGuess(correlation.value, seen.value));
  const choice = bet(`With best guesses for ${PUZZLE} entries, the bound loses`, ANSWERS,
    () => { missing.set(Math.log2(PUZZLE)); fillBest(); });
  const correlation = slider("ρ", "Correlation of the entries", RHO, update);
  const seen = slider("x₁", "Entry that is seen", SEEN, update);
  const guess = slider("x₂", "Guess for what is missing", GUESS, update);
  const missing = slider("n", "Number of missing entries", DOUBLINGS, update);
  live.append(
    element("div", { class: "wide" }, plane.node, latent.node),
    element("div", { class: "narrow" },
      choice.node, correlation.node, seen.node, guess.node, missing.node,
      element("div", { class: "explorer-buttons" }, button("Zero", () => guess.set(0)), button("Best guess", fillBest)),
      said.node,
      table("In nats", [], { "log p(x₁)": [shown.logP.node], "− by the mean of q": [shown.mean.node],
        "− by its variance": [shown.variance.node], "= bound": [shown.bound.node] }),
    ),
  );
  update();
});
