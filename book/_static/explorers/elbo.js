/* The ELBO by hand: two sliders for q, the posterior behind it, and bars that always add up. */
"use strict";

Explorers.elbo = (() => {
  const { LOG_2PI, klStandardNormal, logNormal, reparameterize, sum } = Explorers.network;
  const X = [0.1, 0.8];
  const LOG_NOISE_VAR = Math.log(0.09);
  // Two decoders: the mean of x_d is a polynomial in z, here by the coefficients of z and z².
  const DECODERS = { curved: [[0.5, 0], [0, 0.5]], straight: [[0.5, 0], [1, 0]] };
  const MU = { low: -2, high: 2, step: 0.01, start: 0, digits: 2 };
  const LOG_VAR = { low: -5, high: 1, step: 0.01, start: 0, digits: 2 };
  const CLOSED = 0.0005; // what three decimals show as 0.000
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
  function smallestGap(decoder) {
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
    return logEvidence(decoder) - best.elbo;
  }

  /** What is said of a gap, beside the smallest that a Gaussian q can have. */
  function verdict(kl, smallest) {
    if (kl < CLOSED) return "The gap is closed: q is the posterior.";
    if (kl < smallest + CLOSED) return `${Explorers.panel.format(kl, 3)} nats remain: no Gaussian comes closer.`;
    return "Close the gap.";
  }

  /** The part from low to high that a bar can show. */
  const cut = (low, high) => [Math.max(low, BARS[0]), Math.max(high, BARS[0])];

  return { BARS, LOG_VAR, MU, bound, cut, gap, logEvidence, logJoint, smallestGap, verdict };
})();

Explorers.panel.mount("elbo", "ELBO by hand", [], (live) => {
  const { axes, change, element, path, readout, sentence, slider, table } = Explorers.panel;
  const { BARS, LOG_VAR, MU, bound, cut, gap, logEvidence, logJoint, smallestGap, verdict } = Explorers.elbo;
  const { logNormal } = Explorers.network;

  const curves = axes("The density of q, and the posterior behind it", { x: [-2.5, 2.5], y: [0, 2], height: 260,
    xLabel: "z", yLabel: "density", xTicks: [-2, -1, 0, 1, 2], yTicks: [0, 0.5, 1, 1.5, 2] });
  const posterior = element("path", { class: "area" });
  const q = element("path", { class: "curve q" });
  curves.inside.append(posterior, q);
  curves.layer.append(element("text", { class: "note", x: curves.x(-2.4), y: 50 }, "posterior, gray"),
    element("text", { class: "note q", x: curves.x(-2.4), y: 68 }, "q, blue"));

  const bars = axes("log p(x) and KL, end to end, are as long as the ELBO", { x: BARS, y: [0, 2], height: 130,
    xLabel: "nats", xTicks: [-8, -6, -4, -2, 0] });
  const bar = (name, row) => {
    const rectangle = element("rect", { class: name, y: bars.y(2 - row) + 4, height: 30 });
    bars.layer.append(rectangle);
    return (low, high) => {
      const [left, right] = cut(low, high).map(bars.x);
      change(rectangle, { x: left, width: Math.max(right - left, 0) });
    };
  };
  const evidenceBar = bar("evidence", 0);
  const gapBar = bar("gap", 0);
  const boundBar = bar("bound", 1);
  const named = [["log p(x)", 0], ["ELBO", 1]].map(([name, row]) =>
    element("text", { class: "on-bar end", x: bars.x(0) - 6, y: bars.y(2 - row) + 24 }, name));
  const gapName = element("text", { class: "on-gap end", y: bars.y(2) + 24 }, "KL");
  bars.layer.append(...named, gapName);

  const shown = { bound: readout(3), gap: readout(3), evidence: readout(3), sum: readout(3) };
  const said = sentence();
  const choice = element("select", { "aria-label": "Decoder" },
    element("option", { value: "curved" }, "curved, (z/2, z²/2)"), element("option", { value: "straight" }, "straight, (z/2, z)"));
  const least = {}; // the smallest gap of any Gaussian q

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
    change(gapName, { x: bars.x(evidence) - 6, visibility: kl > 0.7 ? "visible" : "hidden" });
    shown.bound.show(elbo);
    shown.gap.show(kl);
    shown.evidence.show(evidence);
    shown.sum.show(elbo + kl);
    const smallest = (least[decoder] ??= smallestGap(decoder));
    said.say(verdict(kl, smallest));
  }

  const mu = slider("μ", "Mean of q", MU, update);
  const logVar = slider("log σ²", "Log-variance of q", LOG_VAR, update);
  choice.addEventListener("change", update);
  live.append(
    element("div", { class: "wide" }, curves.node, bars.node),
    element("div", { class: "narrow" },
      element("label", { class: "explorer-slider" }, element("span", {}, "decoder"), choice), mu.node, logVar.node,
      table("In nats", [], { "ELBO": [shown.bound.node], "+ KL(q ‖ posterior)": [shown.gap.node], "= sum": [shown.sum.node],
        "log p(x)": [shown.evidence.node] }),
      said.node,
    ),
  );
  update();
});
