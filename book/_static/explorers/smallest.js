/* The smallest VAE, trained in the page: one latent number learns a density in the plane, against exact marks. */
"use strict";

Explorers.smallest = (() => {
  const { LOG_2PI, klStandardNormal, linear, logNormal, reparameterize, sum, uniforms } = Explorers.network;
  // The truth: N(b, S) with b = (1, 0.5), variances 1 and covariance 0.5; of N(0, 1) twice it is made by MIX.
  const CENTER = [1, 0.5];
  const MIX = [[1, 0], [0.5, Math.sqrt(0.75)]];
  const FLOOR = LOG_2PI + 0.5 * Math.log(0.75) + 1; // the entropy of the truth
  const COLLAPSED = LOG_2PI + 1; // the best without z
  const [STEPS, HIDDEN] = [2000, 16];

  const place = (n) => CENTER.map((center, d) => center + MIX[d][0] * n[0] + MIX[d][1] * n[1]);

  /** Where -ELBO ends with β ≥ 1 before the KL: the best linear decoder with learned noise, in closed form. */
  function limit(beta) {
    if (beta >= 1.5) return COLLAPSED; // a code costs more than it saves
    const noise = 0.5 / (2 - beta);
    return Math.log(2 * Math.PI * noise) + 1 + 0.5 * Math.log(1.5 / (beta * noise));
  }

  function newModel(seed) {
    const { network } = Explorers.gradients;
    const uniform = uniforms(seed);
    return { encoder: network([2, HIDDEN, 2], uniform), decoder: network([1, HIDDEN, 4], uniform) };
  }

  const encode = (model, x) => Explorers.gradients.forward(model.encoder, x).at(-1); // mean, log-variance
  const decode = (model, z) => Explorers.gradients.forward(model.decoder, [z]).at(-1); // two means, two log-variances
  const logLikelihood = (x, params) => sum(x.map((value, d) => logNormal(value, params[d], params[2 + d])));

  /** -log p(x | z) + β KL of one x with one noise; adds its gradient to that of encoder and decoder. */
  function loss(model, x, eps, beta, gradient) {
    const { backward, forward } = Explorers.gradients;
    const up = forward(model.encoder, x);
    const [mu, logVar] = up.at(-1);
    const down = forward(model.decoder, [reparameterize(mu, logVar, eps)]);
    const params = down.at(-1);
    const errors = x.map((value, d) => (value - params[d]) * Math.exp(-params[2 + d]));
    const [ofZ] = backward(model.decoder, down,
      [...errors.map((error) => -error), ...x.map((value, d) => 0.5 * (1 - errors[d] * (value - params[d])))], gradient.decoder);
    const ofLogVar = ofZ * 0.5 * Math.exp(0.5 * logVar) * eps + beta * 0.5 * Math.expm1(logVar);
    backward(model.encoder, up, [ofZ + beta * mu, ofLogVar], gradient.encoder);
    return -logLikelihood(x, params) + beta * klStandardNormal(mu, logVar);
  }

  /** A run: `step(xs, eps)` goes down the mean gradient of these examples by Adam, and returns their mean loss. */
  function run(model, { beta, lr }) {
    const { adam, parameters, zeros } = Explorers.gradients;
    const all = ({ encoder, decoder }) => parameters([...encoder, ...decoder]);
    const update = adam(all(model));
    return function step(xs, eps) {
      const gradient = { encoder: zeros(model.encoder), decoder: zeros(model.decoder) };
      const losses = xs.map((x, i) => loss(model, x, eps[i], beta, gradient));
      update(all(gradient).map((list) => list.map((g) => g / xs.length)), lr);
      return sum(losses) / xs.length;
    };
  }

  /** Fresh examples and noises at each call, from a seed. */
  function source(seed, batch) {
    const uniform = uniforms(seed);
    const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    return () => [
      Array.from({ length: batch }, () => place([normal(), normal()])), Array.from({ length: batch }, normal),
    ];
  }

  // Measured without chance: averages over x, noise and z by the trapezoidal rule, which is all but exact for Gaussians.

  const line = (low, high, step) => Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => low + i * step);
  const weighted = (nodes, step) => nodes.map((node) => [node, step * Math.exp(logNormal(node, 0, 0))]);
  const NOISES = weighted(line(-6, 6, 0.5), 0.5);
  const EXAMPLES = NOISES.flatMap(([m, v]) => NOISES.map(([n, w]) => [place([m, n]), v * w])).filter(([, w]) => w > 1e-12);
  const LATENTS = line(-6, 6, 0.125);

  /** Averages over the truth, in nats: loss = -ELBO, rate = KL, and how far model and q are from what they could be. */
  function measure(model) {
    const images = LATENTS.map((z) => [decode(model, z), logNormal(z, 0, 0) + Math.log(0.125)]);
    const totals = { loss: 0, rate: 0, ofModel: -FLOOR, ofQ: 0 };
    for (const [x, weight] of EXAMPLES) {
      const [mu, logVar] = encode(model, x);
      const kl = klStandardNormal(mu, logVar);
      const fit = sum(NOISES.map(([eps, w]) => w * logLikelihood(x, decode(model, reparameterize(mu, logVar, eps)))));
      const logP = Math.log(sum(images.map(([params, logPrior]) => Math.exp(logLikelihood(x, params) + logPrior))));
      totals.loss += weight * (kl - fit);
      totals.rate += weight * kl;
      totals.ofModel -= weight * logP;
      totals.ofQ += weight * (kl - fit + logP);
    }
    return totals;
  }

  /** The density of all codes, q(z) averaged over the truth, at the LATENTS. */
  function codes(model) {
    const all = EXAMPLES.map(([x, weight]) => [...encode(model, x), weight]);
    return LATENTS.map((z) => sum(all.map(([mu, logVar, weight]) => weight * Math.exp(logNormal(z, mu, logVar)))));
  }

  const ENDS = { floor: "on the floor", between: "between the marks", collapsed: "collapsed" };
  const [NEAR, BROKEN] = [0.02, 10]; // nats

  function end({ loss, rate }) {
    if (!(loss < BROKEN)) return "broken";
    return rate < NEAR ? "collapsed" : loss - FLOOR < NEAR ? "floor" : "between";
  }

  /** What is said of a run that is over. */
  function verdict(measured, bet, beta) {
    const { format } = Explorers.panel;
    const found = end(measured);
    if (found === "broken") return "The loss has exploded: lower the learning rate, and start again.";
    const won = found === bet ? "You were right:" : "Not as you bet:";
    const place = `${format(measured.loss - FLOOR, 3)} nats above the floor, with a code of ${format(measured.rate, 2)} nats`;
    return `${won} ${ENDS[found]}, ${place}. Linear algebra says ${format(limit(beta) - FLOOR, 3)} for β = ${format(beta, 1)}.`;
  }

  return {
    CENTER, COLLAPSED, ENDS, FLOOR, LATENTS, STEPS, codes, decode, encode, end, limit, loss, measure, newModel, place, run,
    source, verdict,
  };
})();

Explorers.panel.mount("smallest", "The smallest VAE, trained here", ["gradients"], (live) => {
  const { axes, button, change, element, readout, sentence, slider, table, through } = Explorers.panel;
  const {
    CENTER, COLLAPSED, ENDS, FLOOR, LATENTS, STEPS, codes, decode, encode, end, limit, measure, newModel, place, run, source,
    verdict,
  } = Explorers.smallest;
  const { logNormal } = Explorers.network;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const [EVERY, TOP] = [20, 3.4]; // steps between two drawings; where the curve is cut

  const plane = axes("The truth in gray, and what the decoder makes of z, in blue", { x: [-2.5, 4.5], y: [-3, 4], height: 390,
    xLabel: "x₁", yLabel: "x₂", xTicks: [-2, 0, 2, 4], yTicks: [-2, 0, 2, 4] });
  const turns = Array.from({ length: 65 }, (_, i) => (2 * Math.PI * i) / 64);
  const around = (scale) => turns.map((t) => place([scale * Math.cos(t), scale * Math.sin(t)]));
  const middles = element("path", { class: "curve q" });
  const clouds = [-2, -1, 0, 1, 2].map(() => element("ellipse", { class: "cloud" }));
  plane.layer.append(...[2, 1].map((scale) => element("path", { class: "area", d: through(plane, around(scale)) })), ...clouds, middles);

  const latents = axes("The prior in gray, all codes together in green, q of five examples in vermilion", { x: [-4, 4],
    y: [0, 1.2], height: 200, xLabel: "z", yLabel: "density", xTicks: [-4, -2, 0, 2, 4], yTicks: [0, 0.5, 1] });
  const inside = LATENTS.map((z, i) => [z, i]).filter(([z]) => Math.abs(z) <= 4);
  const density = (of) => through(latents, inside.map(([z, i]) => [z, of(z, i)]));
  const all = element("path", { class: "curve all" });
  const each = [-2, -1, 0, 1, 2].map(() => element("path", { class: "curve each" }));
  latents.layer.append(element("path", { class: "area", d: density((z) => Math.exp(logNormal(z, 0, 0))) }), ...each, all);

  const curve = axes("The loss, minus the ELBO, against the steps of training", { x: [0, STEPS], y: [2.6, TOP], height: 220,
    xLabel: "steps", yLabel: "−ELBO, nats", xTicks: [0, 500, 1000, 1500, 2000], yTicks: [2.6, 2.8, 3, 3.2, 3.4] });
  const mark = (value, name) => [element("path", { class: "mark", d: `M${curve.x(0)} ${curve.y(value)}H${curve.x(STEPS)}` }),
    element("text", { class: "note end", x: curve.x(STEPS), y: curve.y(value) - 4 }, name)];
  const aim = element("path", { class: "mark aim" });
  const losses = element("path", { class: "curve q" });
  curve.layer.append(...mark(FLOOR, "floor"), ...mark(COLLAPSED, "collapsed"), aim, losses);

  const shown = { loss: readout(4), ofModel: readout(4), ofQ: readout(4), floor: readout(4), rate: readout(3), step: readout(0) };
  const said = sentence();
  let [model, seen, frame] = [newModel(1), [], 0];

  function draw(step) {
    const measured = measure(model);
    seen.push([step, Math.min(measured.loss, TOP)]);
    if (seen.length > 1) change(losses, { d: through(curve, seen) });
    change(middles, { d: through(plane, LATENTS.filter((z) => Math.abs(z) <= 3).map((z) => decode(model, z))) });
    clouds.forEach((cloud, i) => {
      const [x1, x2, s1, s2] = decode(model, i - 2);
      const radius = (on, at, s) => Math.abs(on(at + Math.exp(0.5 * s)) - on(at));
      change(cloud, { cx: plane.x(x1), cy: plane.y(x2), rx: radius(plane.x, x1, s1), ry: radius(plane.y, x2, s2) });
    });
    const together = codes(model);
    change(all, { d: density((z, i) => together[i]) });
    each.forEach((one, i) => {
      const [mu, logVar] = encode(model, CENTER.map((center) => center + (i - 2) * Math.sqrt(0.75)));
      change(one, { d: density((z) => Math.exp(logNormal(z, mu, logVar))) });
    });
    for (const name of ["loss", "ofModel", "ofQ", "rate"]) shown[name].show(measured[name]);
    shown.step.show(step);
    return measured;
  }

  /** From the beginning, with what is set now. */
  function start(bet) {
    stop();
    const [value, next] = [beta.value, source(1000 + seed.value, Number(batch.value))];
    [model, seen] = [newModel(seed.value), []];
    const step = run(model, { beta: value, lr: Number(lr.value) });
    let done = 0;
    said.say("It learns …");
    live.dataset.state = "running";
    function on() {
      const pause = still ? 500 : EVERY;
      for (let i = 0; i < pause; i++) step(...next());
      done += pause;
      const measured = draw(done);
      if (done < STEPS && end(measured) !== "broken") return (frame = requestAnimationFrame(on));
      live.dataset.state = "over";
      change(aim, { d: `M${curve.x(0)} ${curve.y(limit(value))}H${curve.x(STEPS)}` }); // not before the end: it would tell
      said.say(verdict(measured, bet, value));
    }
    change(aim, { d: "" });
    draw(0);
    frame = requestAnimationFrame(on);
  }

  function stop() {
    cancelAnimationFrame(frame);
    live.dataset.state = "stopped";
    said.say("Choose, bet where the loss will end, and it starts.");
  }

  const beta = slider("β", "Weight of the KL divergence", { low: 1, high: 2.5, step: 0.1, start: 1, digits: 1 }, stop);
  const seed = slider("seed", "Seed of weights, examples and noise", { low: 1, high: 20, step: 1, start: 1, digits: 0 }, stop);
  const select = (name, values, chosen) => {
    const node = element("select", { "aria-label": name }, ...values.map((value) => element("option", { value }, value)));
    node.value = chosen;
    return node;
  };
  const lr = select("Learning rate", ["0.0003", "0.003", "0.03", "3"], "0.003");
  const batch = select("Examples in a step", ["10", "100", "500"], "100");
  const labelled = (text, node) => element("label", { class: "explorer-slider" }, element("span", {}, text), node);
  const bets = Object.entries(ENDS).map(([name, text]) => button(text, () => start(name), { "data-bet": name }));
  live.append(
    element("div", { class: "wide" }, plane.node, curve.node),
    element("div", { class: "narrow" },
      beta.node, labelled("learning rate", lr), labelled("examples in a step", batch), seed.node,
      element("div", { class: "explorer-buttons", role: "group", "aria-label": "My bet: it will end" },
        element("span", { class: "explorer-title" }, "It will end"), ...bets, button("stop", stop)),
      said.node,
      table("In nats", [], { "floor": [shown.floor.node], "+ of the model": [shown.ofModel.node], "+ of q": [shown.ofQ.node],
        "= −ELBO": [shown.loss.node], "in it, the KL": [shown.rate.node], "after steps": [shown.step.node] }),
      latents.node,
    ),
  );
  shown.floor.show(FLOOR);
  draw(0);
  stop();
});
