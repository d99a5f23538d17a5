/* β along the rate–distortion curve of a linear VAE: a place, its tangent of slope −β, and the water over its latents. */
"use strict";

Explorers.tradeoff = (() => {
  const { LOG_2PI, sum } = Explorers.network;
  // Gaussian data in six dimensions, with the eigenvalues of the chapter; four latents and a fixed noise variance.
  const EIGENVALUES = [4, 2, 1, 0.5, 0.25, 0.25];
  const NOISE_VAR = 0.25;
  const DATA = { dimension: 6, variance: sum(EIGENVALUES), leading: EIGENVALUES.slice(0, 4) };
  const BETA = { low: -2, high: 4.4, step: 0.1, start: 2, digits: 2, meaning: (place) => 2 ** place };
  const ANSWERS = ["rises twice", "rises, then falls", "falls twice"];

  const ENTROPY = 0.5 * sum(EIGENVALUES.map((value) => LOG_2PI + 1 + Math.log(value)));

  /** The optimum at a price β, and how far its R + D lies above the entropy. */
  function optimum(beta) {
    const found = Explorers.water.frontier(DATA, beta, NOISE_VAR);
    return { ...found, above: found.rate + found.distortion - ENTROPY };
  }

  /** What half the price brings: rate, distortion saved, and ELBO. */
  function halving(beta) {
    const [here, half] = [optimum(beta), optimum(beta / 2)];
    return { rate: half.rate - here.rate, saved: here.distortion - half.distortion, elbo: here.above - half.above };
  }

  function place(beta) {
    const { living } = optimum(beta);
    const price = Explorers.panel.format(beta, 2);
    if (living === 0) return "No latent lives: the code is silent.";
    if (beta === 1) return "R + D is the entropy H: no model has a better ELBO.";
    if (beta < 1) {
      return `All four latents live, and tell too much: the last nat of rate saved only ${price} nats of distortion.`;
    }
    const who = living === 4 ? "All four latents live." :
      `Latent ${living + 1} is dead, from β = ${DATA.leading[living] / NOISE_VAR} on.`;
    return `${who} One more nat of rate would save ${price} nats of distortion.`;
  }

  const change = (elbo) => `${elbo > 0 ? "rises" : "falls"} by ${Explorers.panel.format(Math.abs(elbo), 2)}`;

  function purchase(beta) {
    const number = Explorers.panel.format;
    const { rate, saved, elbo } = halving(beta);
    const [now, then] = [optimum(beta).living, optimum(beta / 2).living];
    if (then === 0) return "Half of this β is still too much.";
    const wakes = then > now ? `wakes latent ${then}, ` : "";
    return `Half the β ${wakes}adds ${number(rate, 2)} nats of rate and saves ${number(saved, 2)} of distortion: ` +
      `the ELBO ${change(elbo)}.`;
  }

  /** Where we are, what half the price would bring, and, once both halvings are done, what came of the bet. */
  function verdict(beta, bet) {
    if (beta > 0.5 || bet === null) return `${place(beta)} ${purchase(beta)}`;
    const [first, second] = [halving(2), halving(1)];
    const won = bet === ANSWERS[1] ? "You bet right" : "Not as you bet";
    return `${won}: from 2 to 1 the ELBO ${change(first.elbo)}, from 1 to ½ it ${change(second.elbo)}. ` +
      `A nat of rate costs the ELBO one nat, and brings it β. ${purchase(beta)}`;
  }

  return { ANSWERS, BETA, DATA, EIGENVALUES, ENTROPY, halving, optimum, verdict };
})();

Explorers.panel.mount("tradeoff", "β along the rate–distortion curve", ["water"], (live) => {
  const { axes, bet, button, change, element, format, path, readout, sentence, slider, table } = Explorers.panel;
  const { ANSWERS, BETA, EIGENVALUES, ENTROPY, optimum, verdict } = Explorers.tradeoff;

  const plane = axes("The rate–distortion curve, the line where rate and distortion add up to the entropy, and a tangent", {
    x: [0, 8], y: [0, 18], height: 300, xLabel: "rate R, nats", yLabel: "distortion D, nats", xTicks: [0, 2, 4, 6, 8],
    yTicks: [0, 3, 6, 9, 12, 15, 18] });
  const optima = Array.from({ length: 151 }, (_, i) => optimum(2 ** (4.4 - i / 20)));
  const curve = path(plane, optima.map(({ rate }) => rate), optima.map(({ distortion }) => distortion));
  const step = element("path", { class: "step" });
  const tangent = element("path", { class: "mark aim" });
  const [here, half] = [6, 4].map((r) => element("circle", { class: "here", r }));
  plane.inside.append(
    element("path", { class: "mark", d: path(plane, [0, 8], [ENTROPY, ENTROPY - 8]) }),
    element("path", { class: "curve q", d: curve }),
    tangent, step, half, here);
  plane.layer.append(element("text", { class: "note end", x: plane.x(5.9), y: plane.y(0.7) }, "R + D = H"));
  const slope = element("text", { class: "note level end", x: plane.x(7.9), y: plane.y(15.4) });
  plane.layer.append(slope);

  const tops = EIGENVALUES.map((value) => 0.5 * Math.log(value));
  const depth = [-1.5, 1.3];
  const latents = axes("Half the logarithm of each eigenvalue as a bar, and the water level across them", {
    x: [0.5, 6.5], y: depth, height: 210, xLabel: "direction l, and its latent", yLabel: "½ log λ; above the level the rate, nats",
    xTicks: [1, 2, 3, 4, 5, 6], yTicks: [-1.5, -1, -0.5, 0, 0.5, 1] });
  const flood = Explorers.water.bars(latents, depth, tops, 4);
  const levelName = element("text", { class: "note level end", x: latents.x(6.5) });
  latents.layer.append(levelName,
    element("text", { class: "middle", x: latents.x(5.5), y: latents.y(depth[0]) - 6 }, "no latent"));

  const rows = { "rate R": "rate", "distortion D": "distortion", "R + D": "sum", "R + D − H": "above" };
  const shown = Object.values(rows).map((name) => [name, readout(2), readout(2)]);
  const cells = Object.keys(rows).map((head, i) => [head, shown[i].slice(1).map(({ node }) => node)]);
  const said = sentence();

  function update() {
    const beta = price.value;
    const both = [beta, beta / 2].map(optimum).map((found) => ({ ...found, sum: found.rate + found.distortion }));
    const [now, then] = both;
    [here, half].forEach((node, i) => change(node, { cx: plane.x(both[i].rate), cy: plane.y(both[i].distortion) }));
    change(step, { d: path(plane, [now.rate, then.rate, then.rate], [now.distortion, now.distortion, then.distortion]) });
    const least = now.distortion + beta * now.rate; // on the tangent D + βR is the same everywhere
    change(tangent, { d: path(plane, [0, 8], [least, least - 8 * beta]) });
    slope.textContent = `slope −${format(beta, 2)}`;
    const y = flood(0.5 * Math.log(now.level), now.rates.map((rate) => format(rate, 2)));
    change(levelName, { y: y < latents.y(0.9) ? y + 15 : Math.min(y - 5, latents.y(-1.1)) }).textContent = `τ = βσ² = ${format(now.level, 2)}`;
    shown.forEach(([name, ...pair]) => pair.forEach((cell, i) => cell.show(both[i][name])));
    said.say(verdict(beta, wager.value));
  }

  const price = slider("β", "Price of the rate", BETA, update);
  const times = (text, places) => button(text, () => price.set(Number(price.input.value) + places));
  const wager = bet("Halve β from 2 to 1, then from 1 to ½. The ELBO", ANSWERS, update);
  live.append(
    element("div", { class: "wide" }, plane.node, latents.node),
    element("div", { class: "narrow" },
      wager.node, price.node, element("div", { class: "explorer-buttons" }, times("halve β", -1), times("double β", 1)),
      table("In nats", ["here", "β halved"], Object.fromEntries(cells)),
      said.node,
    ),
  );
  update();
});
