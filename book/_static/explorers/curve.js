/* Gaussians along the curve: one for each of K values of z; p(x) is the mixture of infinitely many. */
"use strict";

Explorers.curve = (() => {
  const { logMean, logNormal, standardNoise, sum } = Explorers.network;
  const { format } = Explorers.panel;
  const STAR = [0.1, 0.8];
  const COUNT = { low: 1, high: 100, step: 1, start: 3, digits: 0 };
  const NOISE = { low: 0.1, high: 0.6, step: 0.05, start: 0.3, digits: 2 };
  const NEAR = 0.1; // nats
  const BETS = ["about 10", "about 100", "more"];

  const decode = (z) => [z / 2, z ** 2 / 2];
  const logPrior = (z) => logNormal(z, 0, 0);
  const logLikelihood = (x, z, noise) => sum(decode(z).map((mean, d) => logNormal(x[d], mean, 2 * Math.log(noise))));

  // Where the K stand: at quantiles of the prior, or at draws from it.

  /** Φ(z), by its series. */
  function cdf(z) {
    let [term, total] = [z, z];
    for (let n = 3; Math.abs(term) > 1e-17; n += 2) total += term *= z ** 2 / n;
    return 0.5 + total * Math.exp(logPrior(z));
  }

  /** Φ⁻¹(u), by Newton's method: Φ bends away from its tangent at 0, so that no step leads too far. */
  function quantile(u) {
    let z = 0;
    for (let step = 1; Math.abs(step) > 1e-12; z -= step) step = (cdf(z) - u) / Math.exp(logPrior(z));
    return z;
  }

  const cache = {};
  const even = (K) => (cache[K] ??= Array.from({ length: K }, (_, k) => quantile((k + 0.5) / K)));
  const drawn = (K, seed) => standardNoise(COUNT.high, seed).slice(0, K);

  // Densities of x.

  /** log p(x) of K Gaussians of equal weight. */
  const logMixture = (x, zs, noise) => logMean(zs.map((z) => logLikelihood(x, z, noise)));

  /** The same on a lattice, row by row, as a product of two densities for each z. */
  function lattice(x1s, x2s, zs, noise) {
    const along = (values, d) => zs.map((z) => values.map((x) => Math.exp(logNormal(x, decode(z)[d], 2 * Math.log(noise)))));
    const [across, down] = [along(x1s, 0), along(x2s, 1)];
    return x2s.map((_, row) => x1s.map((_, column) => sum(zs.map((_, k) => across[k][column] * down[k][row])) / zs.length));
  }

  // The exact values, by the trapezoidal rule.

  const NODES = Array.from({ length: 1601 }, (_, i) => -8 + i / 100);
  const logIntegral = (f) => logMean(NODES.map(f)) + Math.log(NODES.length / 100);
  const logEvidence = (x, noise) => logIntegral((z) => logPrior(z) + logLikelihood(x, z, noise));

  /** p(z | x) where log p(x) is taken to be logP. */
  const posterior = (x, z, noise, logP) => Math.exp(logPrior(z) + logLikelihood(x, z, noise) - logP);

  /** The share of each z in the mixture's density at x, given its logarithm. */
  const shares = (x, zs, noise, logP) => zs.map((z) => Math.exp(logLikelihood(x, z, noise) - logP) / zs.length);

  /** V: the relative variance of a single random draw. */
  const variance = (x, noise) =>
    Math.expm1(logIntegral((z) => logPrior(z) + 2 * logLikelihood(x, z, noise)) - 2 * logEvidence(x, noise));

  /** From how many on the evenly spread are right to NEAR nats; Infinity where not even all are. */
  function needed(x, noise) {
    const exact = logEvidence(x, noise);
    let K = COUNT.high;
    while (K > 0 && Math.abs(logMixture(x, even(K), noise) - exact) <= NEAR) K--;
    return K === COUNT.high ? Infinity : K + 1;
  }

  const answer = (n) => BETS[n <= 31 ? 0 : n <= COUNT.high ? 1 : 2];

  /** What this position shows: `gap` of the K, `n` that are needed evenly spread, `draws` that are needed at random. */
  function reading({ gap, n, draws, random, bet }) {
    const off = `${format(Math.abs(gap), 2)} nats too ${gap > 0 ? "high, the sticks end below" : "low, the sticks end above"}`;
    const now = Math.abs(gap) <= NEAR ? "Right to 0.1 nats: the sticks end on the gray curve." : `${off} the gray curve.`;
    if (!bet) return `${now} How many does it take? Bet, then add some.`;
    const many = n > COUNT.high ? "more than 100" : n;
    if (random) return `${now} At random it takes about V / 0.1² = ${format(draws, 0)} for 0.1 nats; evenly spread ${many}.`;
    const why = n <= 31 ? "Near x the circles soon overlap." : "Near x the prior sets few, far apart.";
    return `${now} Here it takes ${many}: ${answer(n) === bet ? "you were right" : `not “${bet}”, as you bet`}. ${why}`;
  }

  return { BETS, COUNT, NEAR, NOISE, STAR, cdf, decode, drawn, even, lattice, logEvidence, logMixture, needed, posterior, quantile,
    reading, shares, variance };
})();

Explorers.panel.mount("curve", "Gaussians along the curve", ["handle"], (live) => {
  const { axes, bet, button, change, element, path, readout, sentence, slider, table, through } = Explorers.panel;
  const { BETS, COUNT, NEAR, NOISE, STAR, decode, drawn, even, lattice, logEvidence, logMixture, needed, posterior, reading, shares,
    variance } = Explorers.curve;

  const plane = axes("The mixture's density in gray, its Gaussians as circles along the decoder's curve, and the point x", {
    x: [-2, 2], y: [-1, 3.2], height: 378, xLabel: "x₁", yLabel: "x₂", xTicks: [-2, -1, 0, 1, 2], yTicks: [-1, 0, 1, 2, 3] });
  const line = (low, high, n) => Array.from({ length: n + 1 }, (_, i) => low + (i * (high - low)) / n);
  const [x1s, x2s] = [line(-2, 2, 80), line(-1, 3.2, 84)];
  const canvas = element("canvas", { width: x1s.length, height: x2s.length });
  const [left, top] = [plane.x(-2.025), plane.y(3.225)]; // half a cell beyond the first
  const [width, height] = [plane.x(2.025) - left, plane.y(-1.025) - top];
  const heat = element("image", { x: left, y: top, width, height, preserveAspectRatio: "none" });
  const circles = element("g");
  const arc = line(-2.6, 2.6, 80).map(decode);
  const road = element("path", { class: "mark", fill: "none", d: through(plane, arc) });
  plane.inside.append(heat, road, circles);

  const causes = axes("The exact posterior of z in gray, and a stick for each Gaussian", { x: [-3, 3], y: [0, 1.6], height: 190,
    xLabel: "z", yLabel: "p(z | x), exact peak = 1", xTicks: [-3, -2, -1, 0, 1, 2, 3], yTicks: [0, 0.5, 1, 1.5] });
  const zs = line(-3, 3, 300);
  const [area, sticks] = ["area", "curve stick"].map((name) => element("path", { class: name }));
  causes.inside.append(area, sticks);

  const [shown, said] = [{ mixture: readout(3), exact: readout(3), gap: readout(3) }, sentence()];
  let seed = 0; // of the draws; 0 where they are spread evenly

  /** The density as gray ink, the most of it where it is highest. */
  function paint(rows) {
    const highest = Math.max(...rows.map((row) => Math.max(...row)));
    const image = new ImageData(x1s.length, x2s.length);
    rows.reverse().flat().forEach((value, i) => image.data.set([128, 128, 128, (230 * value) / highest], 4 * i));
    canvas.getContext("2d").putImageData(image, 0, 0);
    change(heat, { href: canvas.toDataURL() });
  }

  function update() {
    const [x, noise] = [at.point, sigma.value];
    const these = seed ? drawn(count.value, seed) : even(count.value);
    const [mixture, exact] = [logMixture(x, these, noise), logEvidence(x, noise)];
    const radius = (on) => Math.abs(on(noise) - on(0));
    const share = shares(x, these, noise, mixture);
    paint(lattice(x1s, x2s, these, noise));
    circles.replaceChildren(...these.map((z, k) => {
      const [cx, cy] = [plane.x(decode(z)[0]), plane.y(decode(z)[1])];
      return element("ellipse", { class: "cause", cx, cy, rx: radius(plane.x), ry: radius(plane.y), "fill-opacity": share[k] });
    }));
    const heights = zs.map((z) => posterior(x, z, noise, exact));
    const peak = Math.max(...heights);
    change(area, { d: path(causes, [-3, ...zs, 3], [0, ...heights.map((height) => height / peak), 0]) });
    change(sticks, { d: these.map((z) => path(causes, [z, z], [0, posterior(x, z, noise, mixture) / peak])).join("") });
    shown.mixture.show(mixture);
    shown.exact.show(exact);
    shown.gap.show(mixture - exact);
    places.forEach((node, i) => change(node, { "aria-pressed": Boolean(seed) === Boolean(i) }));
    const draws = variance(x, noise) / NEAR ** 2;
    said.say(reading({ gap: mixture - exact, n: needed(x, noise), draws, random: seed > 0, bet: wager.value }));
  }

  const count = slider("K", "Number of Gaussians", COUNT, update);
  const sigma = slider("σ", "Standard deviation of the noise", NOISE, update);
  const places = [button("spread evenly", () => update((seed = 0))), button("draw z at random", () => update(seed++))];
  const wager = bet("How many Gaussians give log p(x) to 0.1 nats?", BETS, update);
  const at = Explorers.handle.handle(plane, "The point x", ["x1", "x2"], update);
  plane.layer.append(at.node);
  live.append(
    element("div", { class: "wide" }, plane.node, causes.node),
    element("div", { class: "narrow" }, wager.node, count.node, sigma.node,
      element("div", { class: "explorer-buttons", role: "group", "aria-label": "Where the Gaussians stand" }, ...places), said.node,
      table("log p(x), in nats", [], { "K Gaussians": [shown.mixture.node], "all of them, exact": [shown.exact.node],
        "difference": [shown.gap.node] }),
      element("p", { class: "explorer-hint" }, "Drag the point x, or select it and use the arrow keys. " +
        "Vermilion: the Gaussians, and the z, that may have made it.")),
  );
  at.set(STAR);
});
