/* Reparameterization: the same noise pushed through moving μ and σ, beside fresh draws at every step. */
"use strict";

Explorers.reparameterization = (() => {
  const { reparameterize, sum } = Explorers.network;
  const C = -0.5; // f(z) = (z - c)², the chapter's

  const f = (z) => (z - C) ** 2;
  const slope = (z) => 2 * (z - C);
  const mean = (values) => sum(values) / values.length;

  /** One draw's contribution to the derivative of E[f(z)] with respect to μ, for each noise. */
  const ESTIMATORS = {
    pathwise: (mu, logVar, eps) => slope(reparameterize(mu, logVar, eps)),
    score: (mu, logVar, eps) => f(reparameterize(mu, logVar, eps)) * eps * Math.exp(-0.5 * logVar),
  };

  /** Mean of the draws, and their standard deviation. */
  function estimate(name, mu, logVar, noise) {
    const draws = noise.map((eps) => ESTIMATORS[name](mu, logVar, eps));
    const center = mean(draws);
    return { mean: center, sd: Math.sqrt(sum(draws.map((draw) => (draw - center) ** 2)) / (draws.length - 1)) };
  }

  /** The same without noise: the derivative, and both standard deviations of one draw. */
  function exact(mu, logVar) {
    const [m, v] = [mu - C, Math.exp(logVar)];
    return { gradient: 2 * m, pathwise: Math.sqrt(4 * v), score: Math.sqrt(m ** 4 / v + 14 * m ** 2 + 15 * v) };
  }

  const MU = { low: -2, high: 2, step: 0.01, start: 0.7, digits: 2 };
  const LOG_VAR = { low: -4, high: 1, step: 0.01, start: -0.6, digits: 2 };

  /** Where a slide across leads: to the end on the other side. */
  const across = (mu) => (mu > 0 ? MU.low : MU.high);

  /** Where it is after so many milliseconds, of four seconds in all. */
  const during = (from, to, elapsed) => (elapsed < 4000 ? from + (elapsed / 4000) * (to - from) : to);

  return { LOG_VAR, MU, across, during, estimate, exact };
})();

Explorers.panel.mount("reparameterization", "Reparameterization", [], (live) => {
  const { axes, button, change, element, path, readout, slider, table } = Explorers.panel;
  const { LOG_VAR, MU, across, during, estimate, exact } = Explorers.reparameterization;
  const { logNormal, reparameterize, standardNoise } = Explorers.network;
  const N_DRAWS = 1000;
  const N_SHOWN = 40;
  const RANGE = [-5, 5];

  const same = standardNoise(N_DRAWS, 1);
  let seed = 1;

  /** The noise above, the draws below, and a line from each to each. */
  function panel(title, spoken) {
    const on = axes(spoken, { x: RANGE, y: [0, 1], height: 210, xLabel: "z", xTicks: [-4, -2, 0, 2, 4] });
    const lines = element("path", { class: "threads" });
    const noises = element("path", { class: "draws noise" });
    const draws = element("path", { class: "draws" });
    const density = element("path", { class: "curve q" });
    on.layer.append(lines, density, noises, draws, element("text", { class: "note", x: on.x(RANGE[0]) + 2, y: 22 }, "noise ε"));
    function show(noise) {
      const [top, low] = [on.y(0.93), on.y(0.12)];
      const pairs = noise.slice(0, N_SHOWN).map((eps) => [eps, reparameterize(mu.value, logVar.value, eps)].map((v) => on.x(v).toFixed(2)));
      change(lines, { d: pairs.map(([eps, z]) => `M${eps} ${top}L${z} ${low}`).join("") });
      change(noises, { d: pairs.map(([eps]) => `M${eps} ${top}h0`).join("") });
      change(draws, { d: pairs.map(([, z]) => `M${z} ${low}h0`).join("") });
      const zs = Array.from({ length: 201 }, (_, i) => RANGE[0] + i / 20);
      change(density, { d: path(on, zs, zs.map((z) => 0.12 + 0.16 * Math.exp(logNormal(z, mu.value, logVar.value)))) });
    }
    return { node: element("div", {}, element("p", { class: "explorer-title" }, title), on.node), show };
  }
  const kept = panel("The same noise", "Forty noises, and the draws that they are pushed to");
  const fresh = panel("Fresh noise at every step", "Forty new noises at every step, and their draws");

  const ESTIMATORS = ["pathwise", "score"];
  const numbers = Object.fromEntries(ESTIMATORS.map((name) => [name, [3, 3, 2, 2, 2].map(readout)]));
  const truths = ESTIMATORS.map(() => readout(3)); // the same for both

  function update() {
    const q = [mu.value, logVar.value];
    const drawn = standardNoise(N_DRAWS, ++seed);
    const truth = exact(...q);
    kept.show(same);
    fresh.show(drawn);
    truths.forEach(({ show }) => show(truth.gradient));
    for (const [name, shown] of Object.entries(numbers)) {
      const [held, renewed] = [same, drawn].map((noise) => estimate(name, ...q, noise));
      [held.mean, renewed.mean, held.sd, renewed.sd, truth[name]].forEach((value, i) => shown[i].show(value));
    }
  }

  const row = (i) => ESTIMATORS.map((name) => numbers[name][i].node);
  const mu = slider("μ", "Mean", MU, update);
  const logVar = slider("log σ²", "Log-variance", LOG_VAR, update);

  // To the other side in four seconds; or, where motion is not wanted, in one step.

  let moving = 0;
  function sweep() {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const [from, to] = [mu.value, across(mu.value)];
    cancelAnimationFrame(moving);
    if (still) return mu.set(to);
    let began;
    moving = requestAnimationFrame(function step(now) {
      const place = during(from, to, now - (began ??= now));
      mu.set(place);
      if (place !== to) moving = requestAnimationFrame(step);
    });
  }
  mu.input.addEventListener("pointerdown", () => cancelAnimationFrame(moving));
  mu.input.addEventListener("keydown", () => cancelAnimationFrame(moving));

  live.append(
    element("div", { class: "halves" }, kept.node, fresh.node),
    element("div", { class: "row" }, mu.node, logVar.node,
      element("div", { class: "explorer-buttons" }, button("Slide μ across", sweep), button("Draw again", update))),
    table(`∂/∂μ of E[f(z)], f(z) = (z + ½)²; ${N_DRAWS.toLocaleString("en")} draws`, ["pathwise", "score function"], {
      "mean, same noise": row(0), "mean, fresh noise": row(1), "mean, exact": [truths[0].node, truths[1].node],
      "sd, same noise": row(2), "sd, fresh noise": row(3), "sd, exact": row(4) }),
    element("p", { class: "explorer-hint" }, "sd: the standard deviation of one draw's contribution."),
  );
  update();
});
