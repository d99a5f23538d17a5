/* The ELBO by hand: two sliders for q, the posterior behind it, and bars that always add up. */
"use strict";

Explorers.elbo = (() => {
  const { LOG_2PI, klStandardNormal, logNormal, reparameterize, sum } = Explorers.network;
  const X = [0.1, 0.8];
  const LOG_NOISE_VAR = Math.log(0.09);
  // Two decoders: the mean of x_d is a polynomial in z, here by the coefficients of z and z².
  const DECODERS = { curved: [[0.5, 0], [0, 0.5]], straight: [[0.5, 0], [1, 0]] };
  const MU = { low: -2, high: 2, step: 0.05, start: 0, digits: 2 };
  const LOG_VAR = { low: -5, high: 1, step: 0.1, start: 0, digits: 1 };
  const NEAR = 0.01; // nats: as near to the best Gaussian as the steps of the sliders allow
  const BARS = [-8, 0]; // nats: what reaches farther is cut

  const logPrior = (z) => logNormal(z, 0, 0);

  function logJoint(decoder, z) {
    const means = DECODERS[decoder].map(([a, b]) => a * z + b * z * z);
    return logPrior(z) + sum(means.map((mean, d) => logNormal(X[d], mean, LOG_NOISE_VAR)));
  }

  /** E_q[log p(x | z)] - KL(q ‖ prior) in closed form, from the first four moments of q. */
  function bound(decoder, mu, logVar) {
    const v = Math.exp(logVar);
    const moments = [1, mu, mu ** 2 + v, mu ** 3 + 3 * mu * v, mu ** 4 + 6 * mu ** 2 * v + 3 * v ** 2];
    const errors = DECODERS[decoder].map(([a, b], d) => {
      const x = X[d]; // (x - az - bz²)², power by power
      const powers = [x ** 2, -2 * a * x, a ** 2 - 2 * b * x, 2 * a * b, b ** 2];
      return sum(powers.map((coefficient, n) => coefficient * moments[n]));
    });
    const logLikelihoods = errors.map((error) => -0.5 * (LOG_2PI + LOG_NOISE_VAR + error / Math.exp(LOG_NOISE_VAR)));
    return sum(logLikelihoods) - klStandardNormal(mu, logVar);
  }

  /** The trapezoidal rule, for functions that have died out at both ends. */
  function integral(f, low, high, step) {
    const n = Math.round((high - low) / step);
    return sum(Array.from({ length: n + 1 }, (_, i) => f(low + i * step))) * step;
  }

  const logEvidence = (decoder) => Math.log(integral((z) => Math.exp(logJoint(decoder, z)), -6, 6, 0.01));

  /** KL(q ‖ posterior): log q - log p(z | x) averaged over the noise eps that makes z. */
  function gap(decoder, mu, logVar) {
    const evidence = logEvidence(decoder);
    return integral((eps) => {
      const z = reparameterize(mu, logVar, eps);
      return Math.exp(logPrior(eps)) * (logNormal(z, mu, logVar) - (logJoint(decoder, z) - evidence));
    }, -12, 12, 0.05);
  }

  /** From the best q on a coarse lattice uphill, in ever smaller steps. */
  const found = {};
  const nearest = (decoder) => (found[decoder] ??= search(decoder));
  function search(decoder) {
    let best = { elbo: -Infinity };
    const consider = (m, v) => {
      const elbo = bound(decoder, m, v);
      if (elbo > best.elbo) best = { m, v, elbo };
    };
    for (let m = MU.low; m <= MU.high; m += 0.1) for (let v = LOG_VAR.low; v <= LOG_VAR.high; v += 0.1) consider(m, v);
    for (let step = 0.1; step > 0.001; ) {
      const before = best;
      [[step, 0], [-step, 0], [0, step], [0, -step]].forEach(([m, v]) => consider(before.m + m, before.v + v));
      if (best === before) step /= 2;
    }
    return { ...best, gap: logEvidence(decoder) - best.elbo };
  }

  const settings = ({ low, high, step }) => Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => low + i * step);

  /** The setting of one slider at which the ELBO is largest while the other stays, and what it gains. */
  function alone(decoder, mu, logVar) {
    const now = bound(decoder, mu, logVar);
    const best = (values, elbo) => values.reduce((a, b) => (elbo(b) > elbo(a) ? b : a));
    const m = best(settings(MU), (value) => bound(decoder, value, logVar));
    const v = best(settings(LOG_VAR), (value) => bound(decoder, mu, value));
    return { mu: { to: m, gain: bound(decoder, m, logVar) - now }, logVar: { to: v, gain: bound(decoder, mu, v) - now } };
  }

  /** What is said of q: how far it is from the best Gaussian, what is wrong with it, and what mending that would gain. */
  function verdict(decoder, mu, logVar, bet = null) {
    const { format } = Explorers.panel;
    const [kl, best] = [gap(decoder, mu, logVar), nearest(decoder).gap];
    if (kl < best + NEAR) {
      const why = { straight: "this posterior is a Gaussian, and q is it, up to the steps of the sliders",
        curved: `no Gaussian leaves less than ${format(best, 3)}, for the posterior has two peaks` };
      const won = decoder === "straight" || !bet ? "" : bet === "no" ? "You were right. " : "Not as you bet. ";
      return `${won}${format(kl, 3)} nats remain, and ${why[decoder]}.`;
    }
    const one = alone(decoder, mu, logVar);
    const way = one.mu.gain > one.logVar.gain ? (one.mu.to > mu ? "lies too far left" : "lies too far right")
      : one.logVar.to > logVar ? "is too narrow" : "is too wide";
    const gain = Math.max(one.mu.gain, one.logVar.gain);
    const more = gain > NEAR / 2 ? `q ${way}: mending that alone gains ${format(gain, 2)}.` : "Neither slider gains anything alone: try both, or the other peak.";
    return `${format(kl - best, 2)} nats worse than the best Gaussian. ${more}`;
  }

  /** The part from low to high that a bar can show. */
  const cut = (low, high) => [Math.max(low, BARS[0]), Math.max(high, BARS[0])];

  return { BARS, LOG_VAR, MU, alone, bound, cut, gap, logEvidence, logJoint, nearest, verdict };
})();

Explorers.panel.mount("elbo", "ELBO by hand", [], (live) => {
  const { axes, bet, change, element, format, named, path, readout, select, sentence, slider, table } = Explorers.panel;
  const { BARS, LOG_VAR, MU, bound, cut, gap, logEvidence, logJoint, verdict } = Explorers.elbo;
  const { logNormal } = Explorers.network;

  const curves = axes("The density of q, and the posterior behind it", { x: [-2.5, 2.5], y: [0, 2], height: 260,
    xLabel: "z", yLabel: "density", xTicks: [-2, -1, 0, 1, 2], yTicks: [0, 0.5, 1, 1.5, 2] });
  const posterior = element("path", { class: "area" });
  const q = element("path", { class: "curve q" });
  curves.inside.append(posterior, q);
  curves.layer.append(element("text", { class: "note", x: curves.x(-2.4), y: 50 }, "posterior, gray"),
    element("text", { class: "note q", x: curves.x(-2.4), y: 68 }, "q, blue"));

  const bars = axes("log p(x) and KL, end to end, are as long as the ELBO", { x: BARS, y: [0, 2], height: 160,
    xLabel: "nats: the ELBO's bar is the longer one, by the KL", xTicks: [-8, -6, -4, -2, 0] });
  const bar = (name, row) => {
    const rectangle = element("rect", { class: name, y: bars.y(2 - row) + 22, height: 28 });
    bars.layer.append(rectangle);
    return (low, high) => {
      const [left, right] = cut(low, high).map(bars.x);
      change(rectangle, { x: left, width: Math.max(right - left, 0) });
    };
  };
  const evidenceBar = bar("evidence", 0);
  const gapBar = bar("gap", 0);
  const boundBar = bar("bound", 1);
  const rowName = (row, x, text) => element("text", { class: "end", x, y: bars.y(2 - row) + 16 }, text);
  const farther = element("text", { x: bars.x(BARS[0]), y: bars.y(1) + 16 });
  const gapName = rowName(0, 0, "KL");
  bars.layer.append(rowName(0, bars.x(0), "log p(x)"), rowName(1, bars.x(0), "ELBO"), gapName, farther);

  const shown = { bound: readout(3), gap: readout(3), evidence: readout(3), sum: readout(3) };
  const said = sentence();
  const choice = select("Decoder", [["curved", "curved, (z/2, z²/2)"], ["straight", "straight, (z/2, z)"]]);
  function update() {
    const decoder = choice.value;
    const q_ = [mu.value, logVar.value];
    const [elbo, kl, evidence] = [bound(decoder, ...q_), gap(decoder, ...q_), logEvidence(decoder)];
    const zs = Array.from({ length: 401 }, (_, i) => -2.5 + i / 80);
    change(posterior, { d: path(curves, [-2.5, ...zs, 2.5], [0, ...zs.map((z) => Math.exp(logJoint(decoder, z) - evidence)), 0]) });
    change(q, { d: path(curves, zs, zs.map((z) => Math.exp(logNormal(z, ...q_)))) });
    evidenceBar(evidence, 0);
    gapBar(evidence - kl, evidence);
    boundBar(elbo, 0);
    change(gapName, { x: Math.min(bars.x(evidence), bars.x(0) - 60) }); // beside the name of log p(x), which may be short
    farther.textContent = elbo < BARS[0] ? `◂ to ${format(elbo, 1)}` : "";
    shown.bound.show(elbo);
    shown.gap.show(kl);
    shown.evidence.show(evidence);
    shown.sum.show(elbo + kl);
    said.say(verdict(decoder, ...q_, bets.value));
  }

  const mu = slider("μ", "Mean of q", MU, update);
  const logVar = slider("log σ²", "Log-variance of q", LOG_VAR, update);
  const bets = bet("With the curved decoder, can a Gaussian q bring the KL to 0?", ["yes", "no"], update);
  choice.addEventListener("change", update);
  live.append(
    element("div", { class: "wide" }, curves.node, bars.node),
    element("div", { class: "narrow" }, bets.node,
      named("decoder", choice), mu.node, logVar.node,
      table("In nats", [], { "ELBO": [shown.bound.node], "+ KL(q ‖ posterior)": [shown.gap.node], "= sum": [shown.sum.node],
        "log p(x)": [shown.evidence.node] }),
      said.node,
    ),
  );
  update();
});
