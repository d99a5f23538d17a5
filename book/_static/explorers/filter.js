/* What the frames to come are worth: a chain of eight numbers behind noise, filtered and smoothed, and what two q lose. */
"use strict";

Explorers.filter = (() => {
  const { standardNoise, sum } = Explorers.network;
  const T = 8;
  const MEMORY = { low: 0, high: 0.98, step: 0.02, start: 0.94, digits: 2 };
  const LOG_NOISE = { low: -1.7, high: 1, step: 0.05, start: -0.3, digits: 2, meaning: (place) => 10 ** place }; // of r
  const SHARP = -1.3; // where the bet is decided, r = 0.05
  const ALMOST = 0.02; // nats: less is a draw

  const range = (n) => Array.from({ length: n }, (_, i) => i);
  const dot = (u, v) => sum(u.map((value, i) => value * v[i]));
  const times = (A, v) => A.map((row) => dot(row, v));
  const priorCov = (a) => range(T).map((s) => range(T).map((t) => a ** Math.abs(s - t)));
  const plus = (A, value) => A.map((row, i) => row.map((entry, j) => entry + (i === j ? value : 0)));

  /** Lower triangle L of a positive matrix, A = L Lᵀ. */
  function cholesky(A) {
    const L = A.map((row) => row.map(() => 0));
    A.forEach((row, i) => {
      for (let j = 0; j <= i; j++) {
        const rest = row[j] - dot(L[i].slice(0, j), L[j].slice(0, j));
        L[i][j] = i === j ? Math.sqrt(rest) : rest / L[j][j];
      }
    });
    return L;
  }

  /** A⁻¹ b of a positive matrix A. */
  function solve(A, b) {
    const L = cholesky(A);
    const n = b.length;
    const y = [];
    for (let i = 0; i < n; i++) y.push((b[i] - dot(L[i].slice(0, i), y)) / L[i][i]);
    const x = Array(n).fill(0);
    for (let i = n - 1; i >= 0; i--) x[i] = (y[i] - sum(range(n).slice(i + 1).map((j) => L[j][i] * x[j]))) / L[i][i];
    return x;
  }

  const logDet = (A) => 2 * sum(cholesky(A).map((row, i) => Math.log(row[i])));

  /** Mean and variance of z_t given the first n of the frames x. */
  function known(x, a, r, t, n) {
    const cov = priorCov(a);
    const seen = plus(cov.slice(0, n).map((row) => row.slice(0, n)), r);
    const cross = cov[t].slice(0, n);
    return { mean: dot(cross, solve(seen, x.slice(0, n))), variance: 1 - dot(cross, solve(seen, cross)) };
  }

  /** What the best q with independent steps loses, in nats: ½ (Σ log Λ_tt - log det Λ) of the posterior's precision Λ. */
  function factorizedLoss(a, r) {
    const cov = priorCov(a);
    const unit = range(T).map((i) => range(T).map((j) => Number(i === j)));
    const precision = plus(unit.map((column) => solve(cov, column)), 1 / r);
    return 0.5 * (sum(precision.map((row, t) => Math.log(row[t]))) - logDet(precision));
  }

  /** What the best q loses that goes along the chain and sees no frame to come: ½ Σ s_t Var[h_t | x_1 … x_t]. */
  function filteringLoss(a, r) {
    const Q = 1 - a ** 2;
    const covX = plus(priorCov(a), r);
    let [J, weights, loss] = [0, Array(T).fill(0), 0]; // of the message from the future, h = weights · x
    for (let t = T - 1; t >= 0; t--) {
      const shrunk = a / (1 + Q * J);
      J = 1 / r + (a * shrunk) * J;
      weights = weights.map((w) => shrunk * w);
      weights[t] = 1 / r;
      const ahead = weights.map((w, k) => (k > t ? w : 0));
      const covered = times(covX, ahead);
      const past = covered.slice(0, t + 1);
      const unknown = dot(ahead, covered) - dot(past, solve(covX.slice(0, t + 1).map((row) => row.slice(0, t + 1)), past));
      loss += (0.5 * unknown) / (J + (t ? 1 / Q : 1));
    }
    return loss;
  }

  /** Eight numbers that wander and what the camera shows of them, from a seed. */
  function film(seed, a, r) {
    const noise = standardNoise(2 * T, seed);
    const z = [noise[0]];
    for (let t = 1; t < T; t++) z.push(a * z[t - 1] + Math.sqrt(1 - a ** 2) * noise[t]);
    return { z, x: z.map((value, t) => value + Math.sqrt(r) * noise[T + t]) };
  }

  const ANSWERS = ["blind to the future", "blind to the chain"];

  /** What is said of a place, and of the bet, which is decided where the camera is sharp. */
  function verdict(a, r, bet) {
    const { format } = Explorers.panel;
    const losses = [filteringLoss(a, r), factorizedLoss(a, r)];
    const dearer = Math.abs(losses[0] - losses[1]) < ALMOST ? null : ANSWERS[Number(losses[1] > losses[0])];
    const prices = `Blind to the future, q loses ${format(losses[0], 2)} nats; blind to the chain, ${format(losses[1], 2)}.`;
    const why = {
      [ANSWERS[0]]: " Sharp frames leave little for the chain to tie, and the q that is blind to it may look at all of them.",
      [ANSWERS[1]]: " Through so much noise only the chain holds the numbers together.",
      null: a < 0.1 ? " Without memory there is nothing to lose." : " Here both cost the same.",
    }[dearer];
    const won = bet && dearer && Math.abs(Math.log10(r) - SHARP) < 1e-9 ? (bet === dearer ? "You were right. " : "Not as you bet. ") : "";
    return won + prices + why;
  }

  return { ANSWERS, LOG_NOISE, MEMORY, SHARP, T, factorizedLoss, film, filteringLoss, known, logDet, solve, verdict };
})();

Explorers.panel.mount("filter", "Filter and smoother", [], (live) => {
  const { axes, bet, button, change, element, path, readout, sentence, slider, table } = Explorers.panel;
  const { ANSWERS, LOG_NOISE, MEMORY, SHARP, T, factorizedLoss, film, filteringLoss, known, verdict } = Explorers.filter;
  const frames = Array.from({ length: T }, (_, t) => t);

  const time = axes("Frames as dots; in blue what is known of each number when its frame has come, in gray when all have",
    { x: [0.5, T + 0.5], y: [-4, 4], height: 280, xLabel: "frame t", yLabel: "number z", xTicks: [1, 2, 3, 4, 5, 6, 7, 8],
      yTicks: [-4, -2, 0, 2, 4] });
  const smooth = element("path", { class: "area" });
  const dots = frames.map(() => element("circle", { class: "frame", r: 3.5 }));
  const bands = frames.map(() => element("path", { class: "curve q" }));
  time.inside.append(smooth, ...bands, ...dots);

  const noises = Array.from({ length: 28 }, (_, i) => -1.7 + i / 10);
  const price = axes("The losses of both q against the camera's noise", { x: [-1.7, 1], y: [0, 4], height: 220,
    xLabel: "log₁₀ r", yLabel: "loss, nats", xTicks: [-1.5, -1, -0.5, 0, 0.5, 1], yTicks: [0, 1, 2, 3, 4] });
  const curves = [element("path", { class: "curve q" }), element("path", { class: "curve mean" })];
  const here = element("path", { class: "mark" });
  price.inside.append(...curves, here);
  price.layer.append(element("text", { class: "note q", x: price.x(-1.6), y: 44 }, "blind to the future"),
    element("text", { class: "note network", x: price.x(-1.6), y: 62 }, "blind to the chain"));

  const shown = { filtering: readout(3), factorized: readout(3), before: readout(2), after: readout(2) };
  const said = sentence();
  let seed = 3;

  function update() {
    const [a, r] = [memory.value, noise.value];
    const place = Math.log10(r);
    const seen = noises.filter((at) => choice.value || at > place - 1e-9); // the rest would tell
    const { x } = film(seed, a, r);
    const all = frames.map((t) => known(x, a, r, t, T));
    const soFar = frames.map((t) => known(x, a, r, t, t + 1));
    const edge = (sign) => all.map(({ mean, variance }) => mean + sign * 2 * Math.sqrt(variance));
    const steps = frames.map((t) => t + 1);
    change(smooth, { d: `${path(time, [...steps, ...steps.toReversed()], [...edge(1), ...edge(-1).toReversed()])}Z` });
    soFar.forEach(({ mean, variance }, t) => {
      const reach = 2 * Math.sqrt(variance);
      change(bands[t], { d: path(time, [t + 1, t + 1], [mean - reach, mean + reach]) });
      change(dots[t], { cx: time.x(t + 1), cy: time.y(x[t]) });
    });
    [filteringLoss, factorizedLoss].forEach((loss, i) => {
      change(curves[i], { d: path(price, seen, seen.map((at) => loss(a, 10 ** at))) });
    });
    change(here, { d: `M${price.x(place)} ${price.y(0)}V${price.y(4)}` });
    shown.filtering.show(filteringLoss(a, r));
    shown.factorized.show(factorizedLoss(a, r));
    shown.before.show(Math.sqrt(soFar[3].variance));
    shown.after.show(Math.sqrt(all[3].variance));
    said.say(choice.value || place > SHARP + 1e-9 ? verdict(a, r, choice.value) : "Bet first: which of the two loses more here?");
  }

  function another() {
    seed++;
    update();
    said.say("Other dots and other means. The widths and both losses stay: they do not depend on what is seen.");
  }

  const choice = bet("A sharp camera, r = 0.05: which q loses more?", ANSWERS, () => noise.set(SHARP));
  const memory = slider("a", "Memory of the chain", MEMORY, update);
  const noise = slider("r", "Variance of the camera's noise", LOG_NOISE, update);
  live.append(
    element("div", { class: "wide" }, time.node, price.node),
    element("div", { class: "narrow" },
      choice.node, memory.node, noise.node, said.node,
      table("In nats, against the posterior", [], { "blind to the future": [shown.filtering.node], "blind to the chain": [shown.factorized.node] }),
      table("Standard deviation of z₄", [], { "after 4 frames": [shown.before.node], "after all 8": [shown.after.node] }),
      element("div", { class: "explorer-buttons" }, button("Another film", another)),
    ),
  );
  update();
});
