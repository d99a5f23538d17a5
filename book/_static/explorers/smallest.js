/* The smallest VAE, trained in the page, and where a reader bets that its loss will end. */
"use strict";

Explorers.smallest = (() => {
  const STEPS = 2000;
  const ENDS = { floor: "on the floor", between: "between the marks", collapsed: "collapsed" };
  const [NEAR, MISSED, BROKEN] = [0.02, 0.03, 10]; // nats

  function end({ loss, rate }) {
    if (!(loss < BROKEN)) return "broken";
    return rate < NEAR ? "collapsed" : loss - Explorers.smallVae.FLOOR < NEAR ? "floor" : "between";
  }

  /** How much lower the loss, at (step, loss), was in the last quarter than in the third, and its spread in the last. */
  function course(seen) {
    const { mean } = Explorers.network;
    const within = (low, high) => seen.filter(([step]) => step > low && step <= high).map(([, loss]) => loss);
    const [third, last] = [within(STEPS / 2, 0.75 * STEPS), within(0.75 * STEPS, STEPS)];
    return { fall: mean(third) - mean(last), swing: Math.sqrt(mean(last.map((loss) => (loss - mean(last)) ** 2))) };
  }

  /** What is said of a run that is over: where it ended, what linear algebra allows, and why it is not there. */
  function verdict(measured, bet, beta, seen) {
    const { FLOOR, limit } = Explorers.smallVae;
    const { format } = Explorers.panel;
    const found = end(measured);
    if (found === "broken") return "The loss has exploded: lower the learning rate, and start again.";
    const won = found === bet ? "You were right:" : "Not as you bet:";
    const best = format(limit(beta) - FLOOR, 3);
    const place = `${won} ${ENDS[found]}, ${format(measured.loss - FLOOR, 3)} nats above the floor, with a code of ${format(measured.rate, 2)} nats. Linear algebra allows ${best}`;
    const { fall, swing } = course(seen);
    if (measured.loss - limit(beta) < MISSED) return `${place}.`;
    if (found === "collapsed") return `${place}, with a code: from here it has not been found.`;
    if (fall < swing) return `${place}. The loss jumps by ±${format(swing, 3)}: take smaller steps, or more examples.`;
    return `${place}. The loss was still falling: at this learning rate 2000 steps are too few.`;
  }

  return { ENDS, STEPS, course, end, verdict };
})();

Explorers.panel.mount("smallest", "The smallest VAE, trained here", ["gradients", "small_vae"], (live) => {
  const { axes, button, change, element, named, readout, select, sentence, slider, table, through } = Explorers.panel;
  const { ENDS, STEPS, end, verdict } = Explorers.smallest;
  const { CENTER, COLLAPSED, FLOOR, LATENTS, codes, decode, encode, limit, measure, newModel, place, run, source } = Explorers.smallVae;
  const { logNormal } = Explorers.network;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const [EVERY, TOP] = [20, 3.4]; // steps between two drawings; where the curve is cut

  const plane = axes("The truth in gray, and what the decoder makes of z, in blue", { x: [-2.5, 4.5], y: [-3, 4], height: 390,
    xLabel: "x₁", yLabel: "x₂", xTicks: [-2, 0, 2, 4], yTicks: [-2, 0, 2, 4] });
  const turns = Array.from({ length: 65 }, (_, i) => (2 * Math.PI * i) / 64);
  const around = (scale) => turns.map((t) => place([scale * Math.cos(t), scale * Math.sin(t)]));
  const middles = element("path", { class: "curve q" });
  const clouds = [-2, -1, 0, 1, 2].map(() => element("ellipse", { class: "cloud" }));
  const note = (on, name, x, line, text) => element("text", { class: `note ${name}`, x: on.x(x), y: 14 + 17 * line }, text);
  plane.layer.append(...[2, 1].map((scale) => element("path", { class: "area", d: through(plane, around(scale)) })), ...clouds, middles,
    note(plane, "", -2.4, 2, "truth, gray"), note(plane, "q", -2.4, 3, "decoder, blue"));

  const latents = axes("The prior in gray, all codes together in green, q of five examples in vermilion", { x: [-4, 4],
    y: [0, 1.2], height: 200, xLabel: "z", yLabel: "density", xTicks: [-4, -2, 0, 2, 4], yTicks: [0, 0.5, 1] });
  const inside = LATENTS.map((z, i) => [z, i]).filter(([z]) => Math.abs(z) <= 4);
  const density = (of) => through(latents, inside.map(([z, i]) => [z, of(z, i)]));
  const all = element("path", { class: "curve all" });
  const each = [-2, -1, 0, 1, 2].map(() => element("path", { class: "curve each" }));
  latents.layer.append(element("path", { class: "area", d: density((z) => Math.exp(logNormal(z, 0, 0))) }), ...each, all,
    note(latents, "", -3.9, 2, "prior, gray"), note(latents, "all", -3.9, 3, "all codes, green"),
    element("text", { class: "note network end", x: latents.x(3.9), y: 24 }, "q of five examples"));

  const curve = axes("The loss, minus the ELBO, against the steps of training", { x: [0, STEPS], y: [2.6, TOP], height: 220,
    xLabel: "steps", yLabel: "−ELBO, nats", xTicks: [0, 500, 1000, 1500, 2000], yTicks: [2.6, 2.8, 3, 3.2, 3.4] });
  const mark = (value, name, below) => [element("path", { class: "mark", d: `M${curve.x(0)} ${curve.y(value)}H${curve.x(STEPS)}` }),
    element("text", { class: "note end", x: curve.x(STEPS), y: curve.y(value) + below }, name)];
  const aim = element("path", { class: "mark aim" });
  const losses = element("path", { class: "curve q" });
  curve.layer.append(...mark(FLOOR, "floor", 14), ...mark(COLLAPSED, "collapsed", -4), aim, losses);

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
      const radius = (on, at, s) => Math.abs(on(at + Math.exp(0.5 * s)) - on(at)); // one standard deviation
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
      said.say(verdict(measured, bet, value, seen));
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
  const lr = select("Learning rate", ["0.0003", "0.003", "0.03", "3"], "0.003");
  const batch = select("Examples in a step", ["10", "100", "500"], "100");
  const bets = Object.entries(ENDS).map(([name, text]) => button(text, () => start(name), { "data-bet": name }));
  live.append(
    element("div", { class: "wide" }, plane.node, curve.node),
    element("div", { class: "narrow" },
      beta.node, named("learning rate", lr), named("examples in a step", batch), seed.node,
      element("div", { class: "explorer-buttons", role: "group", "aria-label": "My bet: it will end" },
        element("span", { class: "explorer-title" }, "Bet: it will end"), ...bets, button("stop", stop)),
      said.node,
      table("In nats", [], { "floor": [shown.floor.node], "+ lost by the model": [shown.ofModel.node], "+ lost by q": [shown.ofQ.node],
        "= −ELBO": [shown.loss.node], "in it, the KL": [shown.rate.node], "after steps": [shown.step.node] }),
      latents.node,
    ),
  );
  shown.floor.show(FLOOR);
  draw(0);
  stop();
});
