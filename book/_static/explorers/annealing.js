/* Annealing on a line: the path from the prior to the posterior, exactly, and the weights of chains that walk it. */
"use strict";

Explorers.annealing = (() => {
  const { logNormal, sum, uniforms } = Explorers.network;
  const [X, LOG_NOISE_VAR] = [2, 2 * Math.log(0.3)]; // the chapter's bent model and its example
  const POWERS = { even: 1, cubed: 3 };
  const STEP = 0.02;
  const NODES = Array.from({ length: 801 }, (_, i) => -8 + i * STEP);

  const logLikelihood = (z) => logNormal(X, z ** 2 + z, LOG_NOISE_VAR);
  const logF = (z, beta) => logNormal(z, 0, 0) + beta * logLikelihood(z);

  /** By quadrature: log Z of f_β, its mass at the nodes, its modes, and mean and variance of log p(x | z). */
  const known = {};
  function tempered(beta) {
    return (known[beta] ??= (() => {
      const heights = NODES.map((z) => Math.exp(logF(z, beta)));
      const Z = sum(heights) * STEP;
      const masses = heights.map((height) => (height * STEP) / Z);
      const mean = sum(NODES.map((z, i) => masses[i] * logLikelihood(z)));
      const variance = sum(NODES.map((z, i) => masses[i] * (logLikelihood(z) - mean) ** 2));
      const modes = heights.filter((height, i) => height > heights[i - 1] && height > heights[i + 1]).length;
      return { logZ: Math.log(Z), masses, mean, modes, variance };
    })());
  }

  const schedule = (T, spacing) => Array.from({ length: T + 1 }, (_, t) => (t / T) ** POWERS[spacing]);

  /** The temperatures with the log-weight so far, when step t pays `price(t, β before it)` for each unit of β. */
  function walk(betas, price) {
    let logW = 0;
    return betas.map((beta, t) => [beta, t ? (logW += (beta - betas[t - 1]) * price(t, betas[t - 1])) : 0]);
  }

  /** The mean of the log-weight at every temperature: each step follows the slope of log Z at its start. */
  const meanWalk = (betas) => walk(betas, (t, before) => tempered(before).mean);

  /** Standard deviation of the whole log-weight, for steps that are independent. */
  const spread = (betas) =>
    Math.sqrt(sum(betas.slice(1).map((beta, t) => (beta - betas[t]) ** 2 * tempered(betas[t]).variance)));

  /** n walks of chains that jump: in each step z is drawn afresh from f_β, by its distribution function. */
  function chains(betas, n, seed) {
    const uniform = uniforms(seed);
    const functions = betas.map((beta) => {
      let total = 0;
      return tempered(beta).masses.map((mass) => (total += mass));
    });
    const jump = (t) => {
      const u = uniform();
      return NODES[Math.max(functions[t].findIndex((below) => below >= u), 0)];
    };
    return Array.from({ length: n }, () => walk(betas, (t) => logLikelihood(jump(t - 1))));
  }

  /** The part of a walk up to β; between two temperatures it is straight. */
  function until(points, beta) {
    const t = points.findIndex(([b]) => b >= beta);
    if (t < 1) return points.slice(0, 1);
    const [[b0, w0], [b1, w1]] = [points[t - 1], points[t]];
    return [...points.slice(0, t), [beta, w0 + ((beta - b0) / (b1 - b0)) * (w1 - w0)]];
  }

  /** What T steps lack on average. */
  const lacks = (T, spacing) => tempered(1).logZ - meanWalk(schedule(T, spacing)).at(-1)[1];

  const BETS = ["0.1", "0.3", "0.5"];
  const HALF = BETS.find((beta) => tempered(Number(beta)).logZ <= 0.5 * tempered(1).logZ);

  /** What is said of a temperature. */
  function told(beta, T, spacing, bet) {
    const { format } = Explorers.panel;
    const here = tempered(beta);
    const start = format(tempered(0).mean, 1);
    const betas = schedule(T, spacing);
    if (beta === 0) {
      const first = `the first step keeps it up to β = ${format(betas[1], betas[1] < 0.01 ? 5 : 3)}`;
      return `The prior. The slope of log Z is the mean of log p(x | z), ${start} nats; ${first}. ${bet ? "Now raise β." : "Bet, then raise β."}`;
    }
    const part = here.logZ / tempered(1).logZ;
    const won = part < 0.5 || !bet ? "" : `${bet === HALF ? "You were right" : "Not as you bet"}, half is done at ${HALF}. `;
    if (beta < 1) {
      const modes = here.modes === 1 ? "still one mode" : "two modes";
      const done = `${format(100 * part, 0)} % of the way to log p(x) is done`;
      const behind = format(here.logZ - until(meanWalk(betas), beta).at(-1)[1], 2);
      return `${won}${done}, and f has ${modes}. The slope was ${start}, is ${format(here.mean, 1)}; log w lacks ${behind} nats so far.`;
    }
    const other = spacing === "even" ? "cubed" : "even";
    const [these, twice, others] = [lacks(T, spacing), lacks(2 * T, spacing), lacks(T, other)].map((nats) => format(nats, 2));
    const instead = `with T = ${2 * T} it would be ${twice}, with T = ${T} ${other} ${others}`;
    return `${won}Here log w lacks ${these} nats on average; ${instead}. A step keeps the slope of its start.`;
  }

  return { BETS, HALF, POWERS, chains, lacks, logF, meanWalk, schedule, spread, tempered, told, until };
})();

Explorers.panel.mount("annealing", "Annealing from the prior to the posterior", [], (live) => {
  const { axes, bet, button, change, element, named, path, readout, select, sentence, slider, table, through } = Explorers.panel;
  const { BETS, POWERS, chains, logF, meanWalk, schedule, spread, tempered, told, until } = Explorers.annealing;
  const { logMean } = Explorers.network;
  const N_CHAINS = 20;

  const lines = axes("The prior and the posterior in gray, and between them, in blue, the density at β", { x: [-3.5, 3], y: [0, 3.5],
    height: 220, xLabel: "z", yLabel: "density", xTicks: [-3, -2, -1, 0, 1, 2, 3], yTicks: [0, 1, 2, 3] });
  const zs = Array.from({ length: 326 }, (_, i) => -3.5 + i / 50);
  const density = (beta) => path(lines, zs, zs.map((z) => Math.exp(logF(z, beta) - tempered(beta).logZ)));
  const now = element("path", { class: "curve q" });
  lines.inside.append(element("path", { class: "area", d: density(1) }), element("path", { class: "mark", d: density(0) }), now);

  const walks = axes("log Z in blue, the mean log-weight in vermilion, and single chains, against β", { x: [0, 1], y: [-8, 0],
    height: 280, xLabel: "β", xTicks: [0, 0.2, 0.4, 0.6, 0.8, 1], yTicks: [-8, -6, -4, -2, 0] });
  const [exact, mean, dots] = ["curve q", "curve mean", "temperatures"].map((name) => element("path", { class: name }));
  const each = Array.from({ length: N_CHAINS }, () => element("path", { class: "curve each" }));
  const goal = walks.y(tempered(1).logZ);
  walks.inside.append(element("path", { class: "mark", d: `M${walks.x(0)} ${goal}H${walks.x(1)}` }), ...each, mean, dots, exact);
  walks.layer.append(element("text", { class: "note end", x: walks.x(1), y: goal + 15 }, "log p(x)"),
    element("text", { class: "note end", x: walks.x(1), y: 26 }, "nats; log Z blue, log w vermilion"));

  const names = ["exact", "mean", "lack", "estimate", "sd"];
  const shown = Object.fromEntries(names.map((name) => [name, readout(name === "sd" ? 2 : 3)]));
  const said = sentence();
  let seed = 1;

  function update() {
    const [at, T, spacing] = [beta.value, steps.value, choice.value];
    const betas = schedule(T, spacing);
    const ahead = Array.from({ length: 101 }, (_, i) => i / 100).filter((b) => b <= at);
    const average = until(meanWalk(betas), at);
    const single = chains(betas, N_CHAINS, seed).map((points) => until(points, at));
    change(now, { d: density(at) });
    change(exact, { d: through(walks, ahead.map((b) => [b, tempered(b).logZ])) });
    change(mean, { d: through(walks, average) });
    const reached = average.filter(([b]) => betas.includes(b));
    change(dots, { d: reached.map(([b, w]) => `M${walks.x(b).toFixed(2)} ${walks.y(w).toFixed(2)}h0`).join("") });
    each.forEach((node, k) => change(node, { d: through(walks, single[k]) }));
    const [logZ, expected] = [tempered(at).logZ, average.at(-1)[1]];
    const estimate = logMean(single.map((points) => points.at(-1)[1]));
    const values = [logZ, expected, logZ - expected, estimate, spread(average.map(([b]) => b))];
    names.forEach((name, i) => shown[name].show(values[i]));
    said.say(told(at, T, spacing, guess.value));
  }

  const beta = slider("β", "Inverse temperature", { low: 0, high: 1, step: 0.01, start: 0, digits: 2 }, update);
  const steps = slider("T", "Number of temperatures above 0", { low: 1, high: 40, step: 1, start: 8, digits: 0 }, update);
  const choice = select("Spacing of the temperatures",
    Object.keys(POWERS).map((name) => [name, name === "even" ? "even, t/T" : "cubed, (t/T)³"]));
  choice.addEventListener("change", update);
  const guess = bet("Half of log p(x) is reached at β =", BETS, update);
  live.append(
    element("div", { class: "wide" }, lines.node, walks.node),
    element("div", { class: "narrow" },
      guess.node, beta.node, steps.node,
      named("spacing", choice),
      said.node,
      table("At β, in nats", [], { "log Z, exact": [shown.exact.node], "mean of log w": [shown.mean.node], "lacks": [shown.lack.node],
        "from 20 chains": [shown.estimate.node], "sd of log w": [shown.sd.node] }),
      element("div", { class: "explorer-buttons" }, button("New chains", () => (seed++, update()))),
    ),
  );
  update();
});
