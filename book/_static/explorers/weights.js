/* Importance weighting: how much of the gap below log p(x) a number of draws from q closes. */
"use strict";

Explorers.weights = (() => {
  const { klStandardNormal, logNormal, reparameterize, standardNoise, sum } = Explorers.network;
  const [W, LOG_NOISE_VAR, X] = [1.2, Math.log(0.5), 1.5]; // the chapter's model and example
  const MU = { low: -1, high: 3, step: 0.05, start: 0.5, digits: 2 };
  const LOG_VAR = { low: -4, high: 1, step: 0.05, start: -0.5, digits: 2 };
  const DOUBLINGS = 10; // K from 1 to 1,024
  const NEAR = 0.002; // nats: as near as the sliders come to the posterior

  const logEvidence = logNormal(X, 0, Math.log(W ** 2 + Math.exp(LOG_NOISE_VAR)));
  const precision = 1 + W ** 2 / Math.exp(LOG_NOISE_VAR);
  const POSTERIOR = [(W * X) / Math.exp(LOG_NOISE_VAR) / precision, -Math.log(precision)];
  const logPosterior = (z) => logNormal(z, ...POSTERIOR);

  /** The logarithm of a weight, less log p(x): log p(z | x) / q(z). */
  const logRatio = (z, q) => logPosterior(z) - logNormal(z, ...q);

  /** Places that cover q and the posterior, with the mass that q has there. */
  function nodes(q) {
    const [s, t] = [q, POSTERIOR].map(([, logVar]) => Math.exp(0.5 * logVar));
    const [low, high] = [-10, 10].map((k) => [q[0] + k * s, POSTERIOR[0] + k * t]);
    const [from, step] = [Math.min(...low), Math.min(s, t) / 8];
    const zs = Array.from({ length: Math.ceil((Math.max(...high) - from) / step) }, (_, i) => from + i * step);
    return zs.map((z) => [logRatio(z, q), step * Math.exp(logNormal(z, ...q))]);
  }

  /** L_K - log p(x) as a function of K: with ψ(s) = E[exp(-s r)] for a weight r, log r = ∫ (e^-s - e^-sr) ds / s gives
      E[log mean r] = ∫ (e^-Ks - ψ(s)^K) ds / s. On the line of log s both functions die out at either end. */
  function shortfall(q) {
    const all = nodes(q).filter(([, mass]) => mass > 1e-15);
    const top = 4 - Math.min(...all.map(([logR]) => logR));
    const step = Math.log(2) / 3;
    const ratios = all.map(([logR, mass]) => [Math.exp(logR), mass]);
    const total = sum(all.map(([, mass]) => mass));
    const table = Array.from({ length: Math.ceil((top + 40) / step) }, (_, i) => {
      const s = Math.exp(-40 + i * step);
      let psi = 1 - total; // what lies outside counts as weightless
      for (const [r, mass] of ratios) psi += mass * Math.exp(-s * r);
      return [s, psi];
    });
    return (K) => step * sum(table.map(([s, psi]) => Math.exp(-K * s) - psi ** K));
  }

  /** The part of the gap that K draws leave, for K = 1, 2, 4, …, and the gap of one draw. */
  function gaps(q) {
    const below = shortfall(q);
    const all = Array.from({ length: DOUBLINGS + 1 }, (_, i) => -below(2 ** i));
    return { first: all[0], left: all.map((gap) => gap / all[0]) };
  }

  /** Var[w / p(x)] under q, in closed form; infinite where q has no more than half the posterior's variance. */
  function variance([mu, logVar]) {
    const [v, s] = [Math.exp(logVar), Math.exp(POSTERIOR[1])];
    if (2 * v <= s) return Infinity;
    return (v / Math.sqrt(s * (2 * v - s))) * Math.exp((mu - POSTERIOR[0]) ** 2 / (2 * v - s)) - 1;
  }

  /** Draws from q, each with its share of the sum of their weights; the estimate of log p(x); the effective sample size. */
  function drawn(q, K, seed) {
    const zs = standardNoise(K, seed).map((eps) => reparameterize(...q, eps));
    const ratios = zs.map((z) => Math.exp(logRatio(z, q)));
    const total = sum(ratios);
    const shares = ratios.map((ratio) => ratio / total);
    return { zs, shares, estimate: logEvidence + Math.log(total / K), ess: 1 / sum(shares.map((share) => share ** 2)) };
  }

  const BETS = ["2", "4 to 16", "32 or more"];

  /** The bet that is right where so many doublings close half of the gap. */
  const answer = (doublings) => BETS[doublings < 0 || doublings > 4 ? 2 : Number(doublings > 1)];

  /** What is said of q and 2^i draws. */
  function told(q, { first, left }, i, bet) {
    const { format } = Explorers.panel;
    if (first < NEAR) return `q is the posterior but for ${format(first, 3)} nats: all weights are nearly equal, and one draw is enough.`;
    const spread = variance(q);
    if (i === 0) {
      const wide = spread < Infinity ? "" : "q is too narrow: more draws will help little. ";
      return `One draw: this is the ELBO, ${format(first, 3)} nats too low. ${wide}${bet ? "Now raise K." : "Bet, then raise K."}`;
    }
    const half = left.findIndex((part) => part <= 0.5);
    const K = 2 ** i;
    const never = half < 0 && i === DOUBLINGS ? "Half is not closed yet." : "";
    const over = half >= 0 && i >= half ? `Half is closed with ${2 ** half} draws.` : never;
    const won = !over || !bet ? "" : answer(half) === bet ? "You were right. " : "Not as you bet. ";
    const part = left[i] < 0.001 ? "less than 0.1" : format(100 * left[i], 1);
    const gone = `${K} draws leave ${part} % of the gap.`;
    const last = format((100 * left[i]) / left[i - 1], 0);
    const why = spread < Infinity ? `In the long run they are worth ${format(K / (1 + spread), 1)} equal ones.`
      : `q is too narrow: the weights have no variance. The last doubling left ${last} %, where 1/K would leave half.`;
    return `${won}${over} ${gone} ${why}`.trim();
  }

  return { BETS, DOUBLINGS, LOG_VAR, MU, POSTERIOR, answer, drawn, gaps, logEvidence, logPosterior, shortfall, told, variance };
})();

Explorers.panel.mount("weights", "Draws and the importance-weighted bound", [], (live) => {
  const { axes, bet, button, change, element, path, readout, sentence, slider, table } = Explorers.panel;
  const { BETS, DOUBLINGS, LOG_VAR, MU, drawn, gaps, logEvidence, logPosterior, told } = Explorers.weights;
  const { logNormal } = Explorers.network;
  const Z = [-3, 4];
  const zTicks = [-3, -2, -1, 0, 1, 2, 3, 4];

  const curves = axes("The density of q in blue, the posterior in gray", { x: Z, y: [0, 1.2], height: 180,
    xLabel: "z", yLabel: "density", xTicks: zTicks, yTicks: [0, 0.5, 1] });
  const zs = Array.from({ length: 281 }, (_, i) => Z[0] + i / 40);
  const q = element("path", { class: "curve q" });
  curves.inside.append(element("path", { class: "area", d: path(curves, zs, zs.map((z) => Math.exp(logPosterior(z)))) }), q);

  const bars = axes("The draws at their places, each with a bar for its weight; the largest reaches the top", { x: Z, y: [0, 1],
    height: 150, xLabel: "z of a draw", yLabel: "weight, largest = 1", xTicks: zTicks, yTicks: [0, 0.5, 1] });
  const stems = element("path", { class: "stems" });
  bars.inside.append(stems);

  const curve = axes("The part of the gap that is left, against the number of draws", { x: [0, DOUBLINGS], y: [0, 1], height: 200,
    xLabel: "log₂ K, doublings of the draws", xTicks: [0, 2, 4, 6, 8, 10], yTicks: [0, 0.5, 1] });
  const line = element("path", { class: "curve q" });
  const here = element("circle", { class: "here", r: 5 });
  const inverse = Array.from({ length: 101 }, (_, i) => i / 10);
  curve.layer.append(element("path", { class: "mark aim", d: path(curve, inverse, inverse.map((i) => 2 ** -i)) }),
    element("text", { class: "note", x: curve.x(1), y: curve.y(0.5) - 6 }, "1/K"),
    element("text", { class: "note end", x: curve.x(DOUBLINGS), y: 24 }, "part of the gap that is left"), line, here);

  const shown = { elbo: readout(3), bound: readout(3), evidence: readout(3), estimate: readout(3), ess: readout(1) };
  const said = sentence();
  let seed = 1;
  let known = {}; // the gaps, by q

  function update() {
    const [at, K] = [[mu.value, logVar.value], draws.value];
    const i = Math.log2(K);
    const { first, left } = (known[at] ??= gaps(at));
    const { zs: places, shares, estimate, ess } = drawn(at, K, seed);
    const largest = Math.max(...shares);
    change(q, { d: path(curves, zs, zs.map((z) => Math.exp(logNormal(z, ...at)))) });
    const stem = (z, k) => `M${bars.x(z).toFixed(2)} ${bars.y(0)}V${bars.y(shares[k] / largest).toFixed(2)}`;
    change(stems, { d: places.map(stem).join("") });
    const passed = left.slice(0, i + 1); // no more: it would tell
    change(line, { d: path(curve, passed.map((_, n) => n), passed) });
    change(here, { cx: curve.x(i), cy: curve.y(left[i]) });
    const values = { elbo: logEvidence - first, bound: logEvidence - first * left[i], evidence: logEvidence, estimate, ess };
    for (const [name, value] of Object.entries(values)) shown[name].show(value);
    said.say(told(at, { first, left }, i, guess.value));
  }

  const mu = slider("μ", "Mean of q", MU, update);
  const logVar = slider("log σ²", "Log-variance of q", LOG_VAR, update);
  const draws = slider("K", "Number of draws", { low: 0, high: DOUBLINGS, step: 1, start: 0, digits: 0, meaning: (i) => 2 ** i }, update);
  const guess = bet("How many draws K halve the gap to log p(x)?", BETS, update);
  live.append(
    element("div", { class: "wide" }, curves.node, bars.node, curve.node),
    element("div", { class: "narrow" },
      mu.node, logVar.node, guess.node, draws.node,
      element("div", { class: "explorer-buttons" }, button("Draw again", () => (seed++, update()))),
      said.node,
      table("In nats", [], { "ELBO": [shown.elbo.node], "bound of K": [shown.bound.node], "log p(x)": [shown.evidence.node],
        "these draws": [shown.estimate.node] }),
      table("Of K draws", [], { "effective": [shown.ess.node] }),
    ),
  );
  update();
});
