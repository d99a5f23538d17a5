/* The prior against the codes: whatever it is, the ELBO gains or loses by KL(q(z) ‖ p(z)) alone. */
"use strict";

Explorers.prior = (() => {
  const { logMean, logNormal, sum } = Explorers.network;
  const CODES = [[-1, 0.4], [-0.6, 0.3], [-0.2, 0.35], [1.8, 0.45], [2.4, 0.35]]; // mean and standard deviation of q(z | x_n)
  const MEAN = { low: -2, high: 2, step: 0.05, start: 0, digits: 2 };
  const APART = { low: 0, high: 2, step: 0.05, start: 0, digits: 2 };
  const LOG_VAR = { low: -3, high: 1.5, step: 0.1, start: 0, digits: 2 };
  const ANSWERS = ["all of R", "only its KL", "no limit"];
  const NEAR = 0.01; // nats: as good as the best
  const STEP = 0.02;
  const NODES = Array.from({ length: 801 }, (_, i) => -8 + i * STEP);

  const logCode = (z, [mu, sd]) => logNormal(z, mu, 2 * Math.log(sd));

  /** The aggregated posterior, the average of all q(z | x_n). */
  const logCodes = (z) => logMean(CODES.map((code) => logCode(z, code)));

  /** Two Gaussians of equal weight at m ± d; one where d = 0. */
  const logPrior = (z, { mean, apart, logVar }) =>
    logMean([mean - apart, mean + apart].map((center) => logNormal(z, center, logVar)));

  /** ∫ q (log q − log p) dz, by the trapezoidal rule. */
  const divergence = (logQ, logP) => STEP * sum(NODES.map((z) => Math.exp(logQ(z)) * (logQ(z) - logP(z))));

  const STANDARD = { mean: 0, apart: 0, logVar: 0 };
  const mismatch = (prior) => divergence(logCodes, (z) => logPrior(z, prior));

  /** What a code tells of its example: the mean of KL(q(z | x_n) ‖ q(z)), which no prior changes. */
  const information = () => sum(CODES.map((code) => divergence((z) => logCode(z, code), logCodes))) / CODES.length;

  /** The Gaussian with the mean and the variance of the codes: no other is closer to them. */
  function bestGaussian() {
    const mean = sum(CODES.map(([mu]) => mu)) / CODES.length;
    const variance = sum(CODES.map(([mu, sd]) => sd ** 2 + (mu - mean) ** 2)) / CODES.length;
    return { mean, apart: 0, logVar: Math.log(variance) };
  }

  /** Where the prior costs most: q (log q − log p) at its largest. */
  function worst(prior) {
    const cost = (z) => Math.exp(logCodes(z)) * (logCodes(z) - logPrior(z, prior));
    return NODES.reduce((most, z) => (cost(z) > cost(most) ? z : most));
  }

  /** What this prior gains over N(0, 1), and where it fails the codes; null stands for the codes' own density. */
  function verdict(prior, bet) {
    const number = Explorers.panel.format;
    const most = mismatch(STANDARD);
    if (prior === null) {
      const won = bet === null ? "" : bet === ANSWERS[1] ? "You bet right. " : "Not as you bet. ";
      return `${won}q(z) as the prior gains ${number(most, 2)} nats, its whole KL; and no KL is below 0, so none gains more. ` +
        `Left are ${number(information(), 2)} nats that the codes tell: only the encoder can change them.`;
    }
    const [left, least] = [mismatch(prior), mismatch(bestGaussian())];
    const z = worst(prior);
    const ratio = Math.exp(logCodes(z) - logPrior(z, prior));
    const times = ratio < 99.5 ? number(ratio, 1) : "over 99";
    const where = `It fails the codes most at z = ${number(z, 1)}: there they are ${times} times as dense as it.`;
    if (left === most) {
      return `${bet === null ? "N(0, 1) is what we compare with." : "Now move the prior, or put q(z) itself in its place."} ${where}`;
    }
    if (left > most) return `It loses ${number(left - most, 2)} nats against N(0, 1). ${where}`;
    const gain = `It gains ${number(most - left, 2)} of ${number(most, 2)} nats`;
    if (left < least - NEAR) return `${gain}, more than any single Gaussian. ${where}`;
    if (prior.apart > 0 || left > least + NEAR) return `${gain}. ${where}`;
    return `${gain}, and no single Gaussian gains more: mean and variance are those of the codes. Pull it apart.`;
  }

  return {
    ANSWERS, APART, CODES, LOG_VAR, MEAN, STANDARD, bestGaussian, information, logCode, logCodes, logPrior, mismatch, verdict,
    worst,
  };
})();

Explorers.panel.mount("prior", "The prior against the codes", [], (live) => {
  const { axes, bet, button, change, element, path, readout, sentence, slider, table } = Explorers.panel;
  const {
    ANSWERS, APART, CODES, LOG_VAR, MEAN, STANDARD, information, logCode, logCodes, logPrior, mismatch, verdict,
  } = Explorers.prior;

  const line = axes("The prior in gray, all codes together in green, each of the five in vermilion", {
    x: [-4, 4], y: [0, 0.8], height: 300, xLabel: "z", yLabel: "density", xTicks: [-4, -2, 0, 2, 4], yTicks: [0, 0.2, 0.4, 0.6, 0.8] });
  const zs = Array.from({ length: 201 }, (_, i) => -4 + i / 25);
  const density = (log, share = 1) => path(line, [-4, ...zs, 4], [0, ...zs.map((z) => share * Math.exp(log(z))), 0]);
  const area = element("path", { class: "area" });
  const each = CODES.map((code) => density((z) => logCode(z, code), 1 / CODES.length));
  line.inside.append(area, ...each.map((d) => element("path", { class: "curve each", d })),
    element("path", { class: "curve all", d: density(logCodes) }));
  line.layer.append(element("text", { class: "note", x: line.x(-3.8), y: 50 }, "prior, gray"),
    element("text", { class: "note all", x: line.x(-3.8), y: 68 }, "q(z), green"));

  const told = information();
  const ceiling = 4; // nats: what reaches farther is cut, and has an arrow
  const bars = axes("The rate under N(0, 1) and under this prior, each split into information and KL", {
    x: [0, ceiling], y: [0, 2], height: 130, xLabel: "rate R, nats", xTicks: [0, 1, 2, 3, 4] });
  const bar = (name, row) => {
    const place = (node, low, high) =>
      change(node, { x: bars.x(low), width: bars.x(high) - bars.x(low), y: bars.y(2 - row) + 4, height: 30 });
    const rest = element("rect", { class: "gap" });
    const text = element("text", { class: "on-gap", x: bars.x(told) + 6, y: bars.y(2 - row) + 24 });
    bars.layer.append(place(element("rect", { class: "bound" }), 0, told), rest, text,
      element("text", { class: "on-bar", x: bars.x(0) + 6, y: bars.y(2 - row) + 24 }, name));
    return (kl) => {
      place(rest, told, Math.min(told + kl, ceiling));
      text.textContent = told + kl > ceiling ? "KL, and farther →" : kl > 0.35 ? "KL" : "";
    };
  };
  bar("I, N(0, 1)", 0)(mismatch(STANDARD));
  const mine = bar("I, yours", 1);
  const end = bars.x(told + mismatch(STANDARD));
  bars.layer.append(element("path", { class: "mark aim", d: `M${end} ${bars.y(2)}V${bars.y(0)}` }));

  const rows = { "I": "information", "+ KL": "kl", "= R": "rate", "ELBO gains": "gain" };
  const shown = Object.values(rows).map((name) => [name, readout(3), readout(3)]);
  const cells = Object.keys(rows).map((head, i) => [head, shown[i].slice(1).map(({ node }) => node)]);
  const said = sentence();
  let own = false; // the codes' own density is the prior

  function numbers(kl) {
    return { information: told, kl, rate: told + kl, gain: mismatch(STANDARD) - kl };
  }

  function update() {
    const prior = own ? null : { mean: mean.value, apart: apart.value, logVar: logVar.value };
    const kl = own ? 0 : mismatch(prior);
    change(area, { d: density(own ? logCodes : (z) => logPrior(z, prior)) });
    mine(kl);
    const both = [mismatch(STANDARD), kl].map(numbers);
    shown.forEach(([name, ...pair]) => pair.forEach((cell, i) => cell.show(both[i][name])));
    change(itself, { "aria-pressed": own });
    said.say(verdict(prior, wager.value));
  }

  const choose = (value) => {
    own = value;
    update();
  };
  const itself = button("q(z) itself", () => choose(!own));
  const mean = slider("m", "Mean of the prior", MEAN, () => choose(false));
  const apart = slider("± d", "Distance of its two peaks from the mean", APART, () => choose(false));
  const logVar = slider("log s²", "Log-variance of each peak", LOG_VAR, () => choose(false));
  const wager = bet("Over N(0, 1), how much can a prior gain at most?", ANSWERS, update);
  live.append(
    element("div", { class: "wide" }, line.node, bars.node),
    element("div", { class: "narrow" },
      wager.node, mean.node, apart.node, logVar.node, element("div", { class: "explorer-buttons" }, itself),
      table("In nats", ["N(0, 1)", "yours"], Object.fromEntries(cells)),
      said.node,
    ),
  );
  update();
});
