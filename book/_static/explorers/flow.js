/* A flow bends a Gaussian: one planar layer in one dimension, beside the posterior with two peaks. */
"use strict";

Explorers.flow = (() => {
  const { LOG_2PI, logNormal, reparameterize, sum } = Explorers.network;
  const X = [0.1, 0.8];
  const LOG_NOISE_VAR = Math.log(0.09);
  // z₀ = μ + σε, z = z₀ + û tanh(v z₀): what the reader sets, in this order.
  const RANGES = [
    { low: -1, high: 1, step: 0.02, start: 0.82, digits: 2 },
    { low: -4, high: 0, step: 0.05, start: -2.1, digits: 2 },
    { low: -0.4, high: 1.2, step: 0.02, start: 0, digits: 2 },
    { low: 0, high: 10, step: 0.1, start: 2, digits: 1 },
  ];
  const SMALL = 0.02; // nats, the bet's

  const logJoint = (z) => logNormal(z, 0, 0) + sum([z / 2, z ** 2 / 2].map((mean, d) => logNormal(X[d], mean, LOG_NOISE_VAR)));

  /** The rule of Simpson. */
  function integral(f, low, high, n = 400) {
    const step = (high - low) / n;
    const weight = (i) => (i % n === 0 ? 1 : i % 2 ? 4 : 2);
    return (sum(Array.from({ length: n + 1 }, (_, i) => weight(i) * f(low + i * step))) * step) / 3;
  }

  const LOG_EVIDENCE = Math.log(integral((z) => Math.exp(logJoint(z)), -3, 3));
  const posterior = (z) => Math.exp(logJoint(z) - LOG_EVIDENCE);
  const normal = (eps) => Math.exp(logNormal(eps, 0, 0));
  const below = (eps) => 0.5 + integral(normal, 0, eps); // the share of the noise

  /** From the noise through the Gaussian and the planar layer to z; the slope is that of both steps. */
  function bend([mu, logVar, uHat, v], eps) {
    const z = reparameterize(mu, logVar, eps);
    const tanh = Math.tanh(v * z);
    return { z: z + uHat * tanh, slope: Math.exp(0.5 * logVar) * (1 + uHat * v * (1 - tanh ** 2)) };
  }

  const folds = ([, , uHat, v]) => uHat * v <= -1;

  const NOISES = Array.from({ length: 321 }, (_, i) => -8 + i / 20).map((eps) => [eps, normal(eps) / 20]);
  const average = (f) => sum(NOISES.map(([eps, weight]) => weight * f(eps)));

  /** E log p(x, z), the entropy of the Gaussian and E log det, in nats; their sum is the bound. Of a fold: nothing. */
  function terms(q) {
    const joint = folds(q) ? NaN : average((eps) => logJoint(bend(q, eps).z));
    const entropy = 0.5 * (LOG_2PI + 1 + q[1]);
    const logDet = average((eps) => Math.log(bend(q, eps).slope)) - 0.5 * q[1];
    const elbo = joint + entropy + logDet;
    return { joint, entropy, logDet, elbo, gap: LOG_EVIDENCE - elbo };
  }

  /** Left of 0, where tanh turns: the shares of q and of the posterior, and the part of the gap that is theirs. */
  const SHARE = integral(posterior, -3, 0);
  function shares([mu, logVar]) {
    const left = below(-mu * Math.exp(-0.5 * logVar));
    const part = (p, q) => (p > 0 ? p * Math.log(p / q) : 0);
    return { left, cost: part(left, SHARE) + part(1 - left, 1 - SHARE) };
  }

  /** The noise below which the posterior's share lies, by halving and then by Newton's steps: the best map there is. */
  function exact(z) {
    const share = integral(posterior, -3, z);
    let [low, high] = [-8, 8];
    while (high - low > 0.1) {
      const half = (low + high) / 2;
      [low, high] = below(half) < share ? [half, high] : [low, half];
    }
    let eps = (low + high) / 2;
    for (let i = 0; i < 4; i += 1) eps -= (below(eps) - share) / normal(eps);
    return { eps, slope: normal(eps) / posterior(z) };
  }

  /** Downhill by notches of one slider, where that does not help of several, to where no notch of the `free` ones does. */
  function search(from, free = [0, 1, 2, 3]) {
    const moves = free.reduce((all, i) => all.flatMap((move) => [-1, 0, 1].map((by) => [...move, [i, by]])), [[]]);
    const notch = (q, move) => q.map((value, i) => {
      const { low, high, step } = RANGES[i];
      const by = move.find(([of]) => of === i)?.[1] ?? 0;
      return Number(Math.min(Math.max(value + by * step, low), high).toFixed(2));
    });
    for (let best = { q: from, gap: terms(from).gap }; ; ) {
      const before = best;
      for (const most of [1, free.length]) {
        if (best !== before) break;
        for (const move of moves.filter((move) => move.filter(([, by]) => by).length <= most)) {
          const q = notch(before.q, move);
          const { gap } = terms(q);
          if (gap < best.gap) best = { q, gap };
        }
      }
      if (best === before) return best;
    }
  }

  /** What is said of a bend, beside the gap of the best Gaussian and the slope of the exact map at 0. */
  function verdict(q, gaussian, bet) {
    const say = Explorers.panel.format;
    const [, , uHat, v] = q;
    const { gap } = terms(q);
    if (folds(q)) return `ûv = ${say(uHat * v, 2)}, not above −1: the line folds, and two noises have one image.`;
    if (gap < SMALL) {
      const won = bet === null ? "" : bet === "under 0.02" ? "You were right. " : "Not as you bet. ";
      return `${won}${say(gap, 3)} nats remain of ${say(gaussian, 3)}: a narrow bell, pulled apart where it is steepest.`;
    }
    if (uHat * v === 0) return `No ${uHat ? "sharpness" : "push"}, no bend: q is a Gaussian, and leaves ${say(gap, 3)} nats. `
      + `The best Gaussian leaves ${say(gaussian, 3)}.`;
    const { left, cost } = shares(q);
    const slope = bend(q, -q[0] * Math.exp(-0.5 * q[1])).slope;
    const costs = `${say(cost, 3)} of the ${say(gap, 3)} nats`;
    return `Left of 0: ${say(100 * left, 0)} % of q, ${say(100 * SHARE, 0)} % of the posterior, which costs ${costs}. `
      + `The slope at z = 0 is ${say(slope, 1)}; of the exact map, ${say(exact(0).slope, 1)}.`;
  }

  return { LOG_EVIDENCE, RANGES, SHARE, below, bend, exact, folds, normal, posterior, search, shares, terms, verdict };
})();

Explorers.panel.mount("flow", "A flow bends a Gaussian", [], (live) => {
  const { axes, bet, button, change, element, path, readout, sentence, slider, table } = Explorers.panel;
  const { LOG_EVIDENCE, RANGES, bend, exact, folds, normal, posterior, below, search, terms, verdict } = Explorers.flow;
  const line = (low, high, n) => Array.from({ length: n + 1 }, (_, i) => low + ((high - low) * i) / n);
  const [WALL, FLOOR] = [3.3, -2.9]; // where the densities stand: of z on the right, of the noise below
  const beside = (density) => WALL + 2 * density;
  const x = [-3.2, 6.2];

  const map = axes("The map from the noise, below, to z: its density at the right, over the posterior", { x,
    y: [FLOOR, 2], height: 330, xLabel: "noise ε", yLabel: "z", xTicks: [-2, 0, 2], yTicks: [-2, -1, 0, 1, 2] });
  const [zs, eps] = [line(-2, 2, 160), line(-3.2, 3.2, 640)];
  const best = line(-1.7, 1.7, 85).map((z) => ({ z, ...exact(z) }));
  const area = (d) => element("path", { class: "area", d });
  const [threads, curve, density, stretch] = ["threads", "q", "q", "q"].map((name) => element("path", { class: `curve ${name}` }));
  const known = (on, f) => element("path", { class: "curve exact", d: path(on, best.map((at) => at.eps), best.map(f)) });
  map.inside.append(
    area(path(map, [WALL, ...zs.map((z) => beside(posterior(z))), WALL], [-2, ...zs, 2])),
    area(path(map, [-3.2, ...eps, 3.2], [FLOOR, ...eps.map((e) => FLOOR + 1.6 * normal(e)), FLOOR])),
    threads, known(map, ({ z }) => z), curve, density);
  map.layer.append(element("text", { class: "note", x: map.x(-3.1), y: 280 }, "noise"),
    element("text", { class: "note q", x: map.x(4.3), y: 24 }, "q, bent"), element("text", { class: "note", x: map.x(4.3), y: 42 }, "posterior"));

  const slopes = axes("The slope of the map, as a logarithm: what the density loses", { x, y: [-3, 3], height: 170,
    xLabel: "noise ε", yLabel: "log slope, nats", xTicks: [-2, 0, 2], yTicks: [-2, 0, 2] });
  slopes.inside.append(known(slopes, ({ slope }) => Math.log(slope)), stretch);
  slopes.layer.append(element("text", { class: "note q", x: slopes.x(3.4), y: 40 }, "this bend"),
    element("text", { class: "note", x: slopes.x(3.4), y: 58 }, "the exact map"));

  // Threads for equal shares of the noise: where they part, the density falls.
  const belows = eps.map(below);
  const quantiles = line(1 / 40, 39 / 40, 19).map((share) => eps[belows.findIndex((value) => value >= share)]);

  const shown = Object.fromEntries(["joint", "entropy", "logDet", "elbo", "evidence", "gap"].map((name) => [name, readout(3)]));
  const said = sentence();
  const gaussian = search(RANGES.map(({ start }) => start), [0, 1]).gap;
  const bets = bet("The least gap of one bend is", ["0.2 nats", "0.1 nats", "under 0.02"], update);
  const names = { "μ": "Mean of the Gaussian", "log σ²": "Log-variance of the Gaussian", "push û": "Push", "sharpness v": "Sharpness" };
  const sliders = Object.entries(names).map(([name, spoken], i) => slider(name, spoken, RANGES[i], update));
  const current = () => sliders.map(({ value }) => value);

  function update() {
    const q = current();
    const points = eps.map((e) => bend(q, e));
    const found = { ...terms(q), evidence: LOG_EVIDENCE };
    change(curve, { d: path(map, eps, points.map(({ z }) => z)) });
    change(threads, { d: quantiles.map((e) => `M${map.x(e)} ${map.y(FLOOR)}V${map.y(bend(q, e).z)}H${map.x(WALL)}`).join("") });
    const height = ({ slope }, i) => beside(normal(eps[i]) / slope);
    change(density, { d: folds(q) ? "" : path(map, points.map(height), points.map(({ z }) => z)) });
    change(stretch, { d: folds(q) ? "" : path(slopes, eps, points.map(({ slope }) => Math.log(slope))) });
    for (const [name, { show }] of Object.entries(shown)) show(found[name]);
    said.say(verdict(q, gaussian, bets.value));
  }

  const go = () => search(current()).q.forEach((value, i) => sliders[i].set(value));

  live.append(
    element("div", { class: "wide" }, map.node, slopes.node),
    element("div", { class: "narrow" },
      bets.node, ...sliders.map(({ node }) => node), element("div", { class: "explorer-buttons" }, button("Search from here", go)),
      said.node,
      table("In nats", [], { "E log p(x, z)": [shown.joint.node], "+ entropy of q₀": [shown.entropy.node],
        "+ E log det": [shown.logDet.node], "= ELBO": [shown.elbo.node], "log p(x)": [shown.evidence.node], "the gap": [shown.gap.node] }),
    ),
  );
  update();
});
