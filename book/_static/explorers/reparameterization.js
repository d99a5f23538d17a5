/* Reparameterization: two estimates of a gradient as curves over μ, with the same noise and with fresh noise everywhere. */
"use strict";

Explorers.reparameterization = (() => {
  const { mean, reparameterize } = Explorers.network;
  const C = -0.5; // f(z) = (z - c)², the chapter's

  const [f, slope] = [(z) => (z - C) ** 2, (z) => 2 * (z - C)];

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
  const BETS = [...Object.values(SPOKEN), "neither"];

  /** Below this log-variance the score function's variance m⁴/v + 14 m² + 15 v rises as v falls; at m = 0 it never does. */
  const turning = (mu) => Math.log((mu - C) ** 2 / Math.sqrt(15));

  /** What is said of a place, and of the fresh curves once they are half across. */
  function verdict(strayed, n, mu, logVar, bet) {
    const { format } = Explorers.panel;
    const here = exact(mu, logVar);
    const measured = n < 41 ? "" : ` Over ${n} places: ${format(strayed.score, 2)} off against ${format(strayed.pathwise, 2)}.`;
    if (bet === null) return `The exact gradient here is ${format(here.gradient, 2)}. Bet, slide μ across, then make q narrower: do both curves become calmer?`;
    const times = here.score / here.pathwise;
    const cost = `one draw strays ${format(times, 1)} times as far as a pathwise one, and ${format(times ** 2, 0)} draws are worth one`;
    const place = mu === C ? "Only here, at gradient 0, both gain from a narrower q" : logVar < turning(mu)
      ? "Here a narrower q makes it worse" : `Here both still gain, down to log σ² = ${format(turning(mu), 1)}`;
    const won = bet === SPOKEN.score ? "You were right" : "Not as you bet";
    return `${won}: the score function divides by σ. ${place}: ${cost}.${measured}`;
  }

  return { BETS, LOG_VAR, MU, PLACES, SPOKEN, across, during, estimate, exact, passed, place, straying, turning, verdict };
})();

Explorers.panel.mount("reparameterization", "Reparameterization", [], (live) => {
  const { axes, bet, button, change, element, path, readout, select, sentence, slider, table } = Explorers.panel;
  const { BETS, LOG_VAR, MU, PLACES, SPOKEN, across, during, estimate, exact, passed, place, straying, verdict } = Explorers.reparameterization;
  const { logNormal, reparameterize, standardNoise } = Explorers.network;
  const ESTIMATORS = Object.keys(SPOKEN);
  const [GRADIENTS, Z] = [[-8, 12], [-5, 5]];
  let seed = 1;

  /** Above, the draws of z under their density; below, both estimates over μ. */
  function panel(title, noiseAt) {
    const [draws, density] = ["draws", "curve q"].map((name) => element("path", { class: name }));
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
      const peak = logNormal(q[0], ...q); // every σ is drawn equally high
      change(draws, { d: shown.map((z) => `M${z} ${top.y(0.1)}h0`).join("") });
      change(density, { d: path(top, zs, zs.map((z) => 0.2 + 0.35 * Math.exp(logNormal(z, ...q) - peak))) });
    };
    return self;
  }

  const count = select("Draws for each estimate", [1, 10, 100, 1000], 10);
  const fresh = () => standardNoise(Number(count.value), ++seed);
  const panels = [panel("The same noise at every μ", () => same), panel("Fresh noise at every μ", fresh)];
  const shown = [0, 1, 2, 3].map(() => ESTIMATORS.map(() => readout(2))); // same, fresh, exact, usual error
  const said = sentence();
  let [last, moving, same] = [MU.start, 0];
  const seen = () => Object.keys(panels[1].traces[0]).map(Number);

  function show() {
    const [here, truth] = [place(mu.value), exact(mu.value, logVar.value)];
    panels.forEach((one) => one.show(here));
    ESTIMATORS.forEach((name, e) => {
      const values = [...panels.map((one) => one.at(here)[e]), truth.gradient, truth[name] / Math.sqrt(Number(count.value))];
      values.forEach((value, row) => shown[row][e].show(value));
    });
    const [pathwise, score] = panels[1].traces.map(straying);
    said.say(verdict({ pathwise, score }, seen().length, PLACES[here], logVar.value, bets.value));
  }
  function moved() {
    panels.forEach((one) => one.pass(passed(last, mu.value)));
    show((last = mu.value));
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
  const again = () => renew(seen());

  const bets = bet("As q narrows, which estimate gets worse?", BETS, show);
  const mu = slider("μ", "Mean", MU, moved);
  const logVar = slider("log σ²", "Log-variance", LOG_VAR, again);
  count.addEventListener("change", again);

  const halt = () => cancelAnimationFrame(moving);
  /** To the other side in four seconds; or, where motion is not wanted, in one step. */
  function sweep() {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const [from, to] = [mu.value, across(mu.value)];
    halt();
    if (still) return mu.set(to);
    let began;
    moving = requestAnimationFrame(function step(now) {
      const there = during(from, to, now - (began ??= now));
      mu.set(there);
      if (there !== to) moving = requestAnimationFrame(step);
    });
  }
  for (const kind of ["pointerdown", "keydown"]) mu.input.addEventListener(kind, halt);

  live.append(
    bets.node,
    element("div", { class: "row" }, mu.node, logVar.node,
      element("label", { class: "explorer-slider short" }, element("span", {}, "draws"), count),
      element("div", { class: "explorer-buttons" }, button("Slide μ across", sweep), button("Draw again", again))),
    element("p", { class: "keys" }, 
      ...Object.entries({ ...SPOKEN, exact: "exact" }).map(([name, text]) => element("span", { class: `key ${name}` }, text))),
    element("div", { class: "halves" }, ...panels.map((one) => one.node)),
    said.node,
    table("∂/∂μ of E[f(z)], f(z) = (z + ½)²", Object.values(SPOKEN), Object.fromEntries(
      ["same noise", "fresh noise", "exact", "usual error"].map((name, row) => [name, shown[row].map(({ node }) => node)]))),
  );
  renew([]);
});
