/* Turn the code: a linear Gaussian model with turned latents, what stays, and what does not. */
"use strict";

Explorers.rotation = (() => {
  const { det, inverse, sum } = Explorers.network;
  const NOISE_VAR = 0.5;
  const KNOBS = { // of three pixels, what each of two knobs does: the columns
    "not orthogonal": [[1.2, 0.5], [0, 1], [0.3, 0]],
    "orthogonal, equally strong": [[1, 0], [0, 1], [0, 0]],
  };
  const ANSWERS = ["no, like p(x)", "yes, best at 0°", "yes, best elsewhere"];
  const CLOSED = 0.0005; // what three decimals show as 0.000

  const product = (A, B) => A.map((row) => B[0].map((_, j) => sum(row.map((value, k) => value * B[k][j]))));
  const transposed = (A) => A[0].map((_, j) => A.map((row) => row[j]));
  const plus = (A, number) => A.map((row, i) => row.map((value, j) => value + (i === j ? number : 0)));
  const scaled = (A, number) => A.map((row) => row.map((value) => value * number));

  function turn(degrees) {
    const a = (degrees * Math.PI) / 180;
    return [[Math.cos(a), -Math.sin(a)], [Math.sin(a), Math.cos(a)]];
  }

  /** The turned model: its decoder, the covariance of x, and the precision of the posterior, the same for every x. */
  function model(name, degrees) {
    const W = product(KNOBS[name], turn(degrees));
    const precision = plus(scaled(product(transposed(W), W), 1 / NOISE_VAR), 1);
    return { W, precision, covariance: plus(product(W, transposed(W)), NOISE_VAR) };
  }

  /** Means over x, in nats: log p(x), and what the best q with independent latents lacks of it. */
  function bound({ W, precision }) {
    const logDet = Math.log(det(precision)); // of the covariance too, but for the noise
    const logEvidence = -0.5 * (W.length * Math.log(2 * Math.PI * Math.E * NOISE_VAR) + logDet);
    const gap = 0.5 * (Math.log(precision[0][0] * precision[1][1]) - logDet);
    return { logEvidence, gap, elbo: logEvidence - gap };
  }

  /** What each latent, a row, tells of each knob, in nats: x is made by the knobs, z drawn from the best such q. */
  function information(name, { W, precision, covariance }) {
    const gain = scaled(product(inverse(precision), transposed(W)), 1 / NOISE_VAR); // the mean of z is gain · x
    const withKnobs = product(gain, KNOBS[name]);
    const ofMean = product(product(gain, covariance), transposed(gain));
    return withKnobs.map((row, l) => {
      const variance = ofMean[l][l] + 1 / precision[l][l];
      return row.map((both) => -0.5 * Math.log1p(-(both ** 2) / variance));
    });
  }

  /** By how much the best latent tells more of a knob than the second, averaged over the knobs. */
  const informationGap = ([[a, b], [c, d]]) => (Math.abs(a - c) + Math.abs(b - d)) / 2;

  /** Where the columns of the decoder are orthogonal: the principal axes. */
  function principal(name) {
    const [[a, b], [, c]] = product(transposed(KNOBS[name]), KNOBS[name]);
    return (Math.atan2(2 * b, a - c) * 90) / Math.PI;
  }

  /** What is said of an angle, beside the code of one latent for each knob. */
  function verdict(name, degrees, bet) {
    const say = (value) => Explorers.panel.format(value, 2);
    const [here, start] = [degrees, 0].map((angle) => information(name, model(name, angle)));
    const { gap } = bound(model(name, degrees));
    const [most, tells] = [start, here].map((table) => say(informationGap(table)));
    if (bound(model(name, 0)).gap < CLOSED && bound(model(name, 45)).gap < CLOSED)
      return `Every angle is as good for the bound: nothing prefers these knobs. The information gap is ${tells} nats, at 0° ${most}.`;
    if (gap < CLOSED) {
      const won = bet === null ? "" : bet === ANSWERS[2] ? "You were right. " : "Not as you bet. ";
      return `${won}The bound is best near ${say(principal(name)).slice(0, 2)}°, at the principal axes, and there the latents are `
        + `mixtures: the information gap is ${tells} nats, at 0° ${most}.`;
    }
    const lacks = Explorers.panel.format(gap, 3);
    if (degrees % 90 === 0) return `A latent for each knob: the information gap is ${most} nats. The bound lacks ${lacks} nats of log p(x).`;
    const [[own, other]] = here;
    return `log p(x) is as before, and the bound lacks ${lacks} nats. z₁ tells ${say(own)} nats of knob 1, ${say(other)} of knob 2.`;
  }

  return { ANSWERS, KNOBS, bound, information, informationGap, model, principal, verdict };
})();

Explorers.panel.mount("rotation", "Turn the code", [], (live) => {
  const { axes, bet, change, element, named, path, readout, select, sentence, slider, table, through } = Explorers.panel;
  const { ANSWERS, KNOBS, bound, information, informationGap, model, verdict } = Explorers.rotation;
  const { ellipse, inverse } = Explorers.network;
  const square = (spoken, limit, ticks, xLabel, yLabel) => axes(spoken, { x: [-limit, limit], y: [-limit, limit], width: 200,
    height: 200, xLabel, yLabel, xTicks: ticks, yTicks: ticks });
  const seen = square("p(x) in gray, and what each latent does to x", 3.4, [-2, 0, 2], "x₁", "x₂");
  const latent = square("The posterior in gray, and q, whose axes are those of the latents", 1.5, [-1, 0, 1], "z₁", "z₂");
  const areas = [seen, latent].map((on) => [2, 1].map((scale) => ({ on, scale, node: element("path", { class: "area" }) })));
  const q = [2, 1].map((scale) => ({ on: latent, scale, node: element("path", { class: "curve q" }) }));
  const known = [0, 1].map(() => element("path", { class: "curve exact" }));
  const columns = ["q", "all"].map((name) => element("path", { class: `curve ${name}` }));
  const names = ["z₁", "z₂"].map((name) => element("text", { class: "middle note" }, name));
  const knobNames = ["knob 1", "knob 2"].map((name) => element("text", { class: "middle note" }, name));
  seen.inside.append(...areas[0].map(({ node }) => node), ...known, ...columns);
  seen.layer.append(...knobNames, ...names);
  latent.inside.append(...areas[1].map(({ node }) => node), ...q.map(({ node }) => node));

  const graph = (spoken, high, yTicks, yLabel) => axes(spoken, { x: [0, 90], y: [0, high], height: 160, xLabel: "angle, degrees",
    yLabel, xTicks: [0, 30, 60, 90], yTicks });
  const graphs = [graph("The gap of the bound against the angle", 0.08, [0, 0.04, 0.08], "gap of the bound, nats"),
    graph("The information gap against the angle", 0.5, [0, 0.2, 0.4], "information gap, nats")];
  const curves = graphs.map(() => element("path", { class: "curve q" }));
  const dots = graphs.map(() => element("circle", { class: "grip", r: 6 }));
  graphs.forEach((on, i) => on.layer.append(curves[i], element("g", { class: "handle" }, dots[i])));

  const shown = Object.fromEntries(["logEvidence", "gap", "elbo"].map((name) => [name, readout(4)]));
  const told = [0, 1].map(() => [readout(3), readout(3)]);
  const said = sentence();
  const choice = select("Knobs", Object.keys(KNOBS));
  const bets = bet("Turn the code: does the best ELBO change?", ANSWERS, update);
  const angle = slider("α", "Angle in degrees", { low: 0, high: 90, step: 1, start: 0, digits: 0 }, update);
  let seenTo = [0, 0]; // the curves show no angle to which the reader has not been: the bet is on them
  choice.addEventListener("change", () => {
    seenTo = [angle.value, angle.value];
    update();
  });

  function update() {
    const [name, degrees] = [choice.value, angle.value];
    seenTo = [Math.min(seenTo[0], degrees), Math.max(seenTo[1], degrees)];
    const angles = Array.from({ length: seenTo[1] - seenTo[0] + 1 }, (_, i) => seenTo[0] + i);
    const now = model(name, degrees);
    const found = bound(now);
    const informed = information(name, now);
    const spreads = [now.covariance, inverse(now.precision)];
    areas.forEach((pair, i) => pair.forEach(({ on, scale, node }) => change(node, { d: through(on, ellipse(spreads[i], scale)) })));
    const diagonal = now.precision.map((row, l) => row.map((value, m) => (l === m ? 1 / value : 0)));
    q.forEach(({ on, scale, node }) => change(node, { d: through(on, ellipse(diagonal, scale)) }));
    const column = (W, l, ends) => path(seen, ends.map((end) => end * W[0][l]), ends.map((end) => end * W[1][l]));
    known.forEach((node, k) => change(node, { d: column(KNOBS[name], k, [-2, 2]) }));
    knobNames.forEach((node, k) => change(node, { x: seen.x(-2 * KNOBS[name][0][k]), y: seen.y(-2 * KNOBS[name][1][k]) + 17 }));
    columns.forEach((node, l) => change(node, { d: column(now.W, l, [0, 2]) }));
    names.forEach((node, l) => change(node, { x: seen.x(2.35 * now.W[0][l]), y: seen.y(2.35 * now.W[1][l]) + 4 }));
    const values = [(a) => bound(model(name, a)).gap, (a) => informationGap(information(name, model(name, a)))];
    graphs.forEach((on, i) => {
      change(curves[i], { d: path(on, angles, angles.map(values[i])) });
      change(dots[i], { cx: on.x(degrees), cy: on.y(values[i](degrees)) });
    });
    for (const [key, { show }] of Object.entries(shown)) show(found[key]);
    told.forEach((row, l) => row.forEach(({ show }, k) => show(informed[l][k])));
    said.say(verdict(name, degrees, bets.value));
  }

  live.append(
    element("div", { class: "wide" }, element("div", { class: "halves" }, seen.node, latent.node), ...graphs.map(({ node }) => node)),
    element("div", { class: "narrow" }, bets.node,
      named("knobs", choice), angle.node, said.node,
      table("Means, in nats", [], { "log p(x)": [shown.logEvidence.node], "− gap": [shown.gap.node], "= best ELBO": [shown.elbo.node] }),
      table("Told, in nats, of", ["knob 1", "knob 2"], { "z₁": told[0].map(({ node }) => node),
        "z₂": told[1].map(({ node }) => node) })),
  );
  update();
});
