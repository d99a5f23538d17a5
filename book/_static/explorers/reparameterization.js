/* Reparameterization: two estimates of a gradient as curves over μ, with the same noise and with fresh noise everywhere. */
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

  const estimate = (name, mu, logVar, noise) => mean(noise.map((eps) => ESTIMATORS[name](mu, logVar, eps)));

  /** The same without noise: the derivative, and both standard deviations of one draw. */
  function exact(mu, logVar) {
    const [m, v] = [mu - C, Math.exp(logVar)];
    return { gradient: 2 * m, pathwise: Math.sqrt(4 * v), score: Math.sqrt(m ** 4 / v + 14 * m ** 2 + 15 * v) };
  }

  const MU = { low: -2, high: 2, step: 0.05, start: 0.7, digits: 2 };
  const LOG_VAR = { low: -4, high: 1, step: 0.1, start: -0.6, digits: 1 };
  const PLACES = Array.from({ length: 81 }, (_, i) => (i - 40) / 20); // of μ

  const place = (mu) => Math.round((mu - MU.low) / MU.step);

  /** The places on the way from one μ to another, the last one last, the first one left out. */
  function passed(from, to) {
    const way = place(to) - place(from);
    return Array.from({ length: Math.abs(way) }, (_, i) => place(from) + Math.sign(way) * (i + 1));
  }

  /** How far the estimates of a trace, one for each place passed, lie from the exact line: the root of the mean square. */
  function straying(trace) {
    const errors = Object.keys(trace).map((i) => trace[i] - exact(PLACES[i], 0).gradient); // one line for every σ
    return Math.sqrt(mean(errors.map((error) => error ** 2)));
  }

  /** Where a slide across leads: to the end on the other side. */
  const across = (mu) => (mu > 0 ? MU.low : MU.high);

  /** Where it is after so many milliseconds, of four seconds in all. */
  const during = (from, to, elapsed) => (elapsed < 4000 ? from + (elapsed / 4000) * (to - from) : to);

  const SPOKEN = { pathwise: "pathwise", score: "score function" };

  /** What the fresh curves show, beside the errors expected here; after the bet, whether it was right. */
  function verdict({ pathwise, score }, n, here, bet) {
    const format = (value) => Explorers.panel.format(value, 2);
    const times = format(here.score / here.pathwise);
    if (n < 41) return `Here one draw of the score function strays ${times} times as far as a pathwise one. Slide μ across: how do the curves differ?`;
    const found = `Fresh noise at ${n} places: the pathwise estimate is ${format(pathwise)} off, the score function ${format(score)} (root mean square).`;
    if (bet === null) return `${found} Here one draw strays ${times} times as far.`;
    const right = bet === SPOKEN[score > pathwise ? "score" : "pathwise"];
    return `${right ? "You were right." : "Not as you bet."} ${found} The score function multiplies by all of f, the pathwise one knows its slope.`;
  }

  return { LOG_VAR, MU, PLACES, SPOKEN, across, during, estimate, exact, passed, place, straying, verdict };
})();

Explorers.panel.mount("reparameterization", "Reparameterization", [], (live) => {
  const { axes, bet, button, change, element, path, readout, sentence, slider, table } = Explorers.panel;
  const { LOG_VAR, MU, PLACES, SPOKEN, across, during, estimate, exact, passed, place, straying, verdict } = Explorers.reparameterization;
  const { logNormal, reparameterize, standardNoise } = Explorers.network;
  const ESTIMATORS = Object.keys(SPOKEN);
  const [GRADIENTS, Z] = [[-8, 12], [-5, 5]];
  let seed = 1;

  /** Above, the draws of z under their density; below, both estimates over μ. */
  function panel(title, noiseAt) {
    const draws = element("path", { class: "draws" });
    const density = element("path", { class: "curve q" });
    const top = axes(`${title}: draws of z under the density of q`, { x: Z, y: [0, 0.6], height: 90, xLabel: "z", xTicks: [-4, -2, 0, 2, 4] });
    top.inside.append(density, draws);
    const on = axes(`${title}: both estimates of the gradient as curves over μ, and the exact line`, { x: [MU.low, MU.high], y: GRADIENTS,
      height: 230, xLabel: "μ", yLabel: "gradient", xTicks: [-2, -1, 0, 1, 2], yTicks: [-5, 0, 5, 10] });
    const curves = ESTIMATORS.map((name) => element("path", { class: `curve ${name}` }));
    const ends = ESTIMATORS.map((name) => element("circle", { class: `end-of ${name}`, r: 4 }));
    on.inside.append(element("path", { class: "mark", d: path(on, PLACES, PLACES.map((mu) => exact(mu, 0).gradient)) }), ...curves, ...ends);
    const self = { node: element("div", {}, element("p", { class: "explorer-title" }, title), top.node, on.node) };
    self.clear = () => (self.traces = ESTIMATORS.map(() => []));
    self.pass = (places) => places.forEach((i) => {
      self.noise = noiseAt();
      ESTIMATORS.forEach((name, e) => (self.traces[e][i] = estimate(name, PLACES[i], logVar.value, self.noise)));
    });
    self.at = (i) => self.traces.map((trace) => trace[i]);
    self.show = (here) => {
      self.traces.forEach((trace, e) => {
        const places = Object.keys(trace).map(Number);
        change(curves[e], { d: path(on, places.map((i) => PLACES[i]), places.map((i) => trace[i])) });
        change(ends[e], { cx: on.x(PLACES[here]), cy: on.y(trace[here]) });
      });
      const q = [PLACES[here], logVar.value];
      const zs = Array.from({ length: 201 }, (_, i) => Z[0] + i / 20);
      const shown = self.noise.slice(0, 40).map((eps) => top.x(reparameterize(...q, eps)).toFixed(2));
      change(draws, { d: shown.map((z) => `M${z} ${top.y(0.1)}h0`).join("") });
      change(density, { d: path(top, zs, zs.map((z) => 0.2 + 0.4 * Math.exp(logNormal(z, ...q)))) });
    };
    return self;
  }

  const count = element("select", { "aria-label": "Draws for each estimate" },
    ...[1, 10, 100, 1000].map((n) => element("option", { value: n, ...(n === 10 ? { selected: "" } : {}) }, n)));
  let same;
  const fresh = () => standardNoise(Number(count.value), ++seed);
  const panels = [panel("The same noise at every μ", () => same), panel("Fresh noise at every μ", fresh)];
  const shown = [0, 1, 2, 3].map(() => ESTIMATORS.map(() => readout(2))); // same, fresh, exact, usual error
  const said = sentence();
  let last = MU.start;

  function show() {
    const here = place(mu.value);
    const truth = exact(mu.value, logVar.value);
    panels.forEach((one) => one.show(here));
    ESTIMATORS.forEach((name, e) => {
      const values = [...panels.map((one) => one.at(here)[e]), truth.gradient, truth[name] / Math.sqrt(Number(count.value))];
      values.forEach((value, row) => shown[row][e].show(value));
    });
    const [pathwise, score] = panels[1].traces.map(straying);
    said.say(verdict({ pathwise, score }, Object.keys(panels[1].traces[0]).length, truth, bets.value));
  }
  function moved() {
    panels.forEach((one) => one.pass(passed(last, mu.value)));
    last = mu.value;
    show();
  }
  /** Other noise, or another σ: every place that was passed anew, or, from the start, this place alone. */
  function renew(places) {
    same = standardNoise(Number(count.value), 1);
    panels.forEach((one) => {
      one.clear();
      one.pass([...places.filter((i) => i !== place(mu.value)), place(mu.value)]); // this one last: its draws are shown
    });
    show();
  }
  const seen = () => Object.keys(panels[1].traces[0]).map(Number);
  const again = () => renew(seen());

  const bets = bet("Bet: with fresh noise, which strays further from the exact line?", Object.values(SPOKEN), show);
  const mu = slider("μ", "Mean", MU, moved);
  const logVar = slider("log σ²", "Log-variance", LOG_VAR, again);
  count.addEventListener("change", again);

  // To the other side in four seconds; or, where motion is not wanted, in one step.

  let moving = 0;
  function sweep() {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const [from, to] = [mu.value, across(mu.value)];
    cancelAnimationFrame(moving);
    if (still) return mu.set(to);
    let began;
    moving = requestAnimationFrame(function step(now) {
      const there = during(from, to, now - (began ??= now));
      mu.set(there);
      if (there !== to) moving = requestAnimationFrame(step);
    });
  }
  mu.input.addEventListener("pointerdown", () => cancelAnimationFrame(moving));
  mu.input.addEventListener("keydown", () => cancelAnimationFrame(moving));

  const key = (name, text) => element("span", { class: `key ${name}` }, text);
  live.append(
    bets.node,
    element("div", { class: "row" }, mu.node, logVar.node,
      element("label", { class: "explorer-slider short" }, element("span", {}, "draws"), count),
      element("div", { class: "explorer-buttons" }, button("Slide μ across", sweep), button("Draw again", again))),
    element("p", { class: "keys" }, key("pathwise", "pathwise"), key("score", "score function"), key("exact", "exact")),
    element("div", { class: "halves" }, ...panels.map((one) => one.node)),
    said.node,
    table("∂/∂μ of E[f(z)], f(z) = (z + ½)²", Object.values(SPOKEN), Object.fromEntries(
      ["same noise", "fresh noise", "exact", "usual error"].map((name, row) => [name, shown[row].map(({ node }) => node)]))),
  );
  renew([]);
});
