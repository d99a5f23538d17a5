/* The noise that a decoder expects against the variance of the data: which latents live, and what that costs. */
"use strict";

Explorers.eigenvalues = (() => {
  const { sum } = Explorers.network;
  // The small digits: the largest eigenvalues of their covariance, and the sum of all 64.
  const EIGENVALUES = [0.690991, 0.632721, 0.554069, 0.407475, 0.276376, 0.232287, 0.200756, 0.170623];
  const DIGITS = { dimension: 64, variance: 4.689069, leading: EIGENVALUES.slice(0, 6) };
  const NOISE = { low: -5.3, high: 0, step: 0.1, start: -2.3, digits: 3, meaning: Math.exp };
  const ANSWERS = ["all six", "three", "one", "none"];
  const NEAR = 0.01; // nats: as good as the best

  const { dimension, variance, leading } = DIGITS;
  const LATENTS = leading.length;

  /** The σ² of maximum likelihood: the mean of what the latents leave, direction by direction. */
  const BEST = (variance - sum(leading)) / (dimension - LATENTS);

  const solved = (noiseVar, beta) => Explorers.water.frontier(DIGITS, beta, noiseVar);

  /** The mean ELBO of the best linear VAE at this β; at β = 1 it is log p(x). */
  function elbo(noiseVar, beta) {
    const { rate, distortion } = solved(noiseVar, beta);
    return -(rate + distortion);
  }

  /** What each latent tells at the best σ². */
  const told = () => solved(BEST, 1).rates;

  const NUMBERS = ["none", "one", "two", "three", "four", "five", "six"];

  /** What has happened here, and what it costs. */
  function verdict(noiseVar, beta, bet) {
    const number = Explorers.panel.format;
    const { level, living, rates } = solved(noiseVar, beta);
    const lost = elbo(BEST, 1) - elbo(noiseVar, beta);
    const cost = `${number(lost, 1)} nats below the best ELBO`;
    const name = beta === 1 ? "σ²" : `${beta} σ²`;
    if (living === 0) {
      const first = `All six are dead: ${name} is above every eigenvalue, and the mean image is all that is left, ${cost}.`;
      if (beta > 1) return `${first} With the sum, ${NUMBERS[solved(noiseVar, 1).living]} of six would live.`;
      if (bet === null) return `${first} No linear decoder does better at this σ².`;
      return `${first} ${bet === "none" ? "As you bet:" : `Not ${bet}, as you bet:`} it is no accident of training.`;
    }
    if (living < LATENTS) {
      const [dead, value] = [living + 1, number(leading[living], 3)];
      return `Latent ${dead} is dead: ${name} is above its eigenvalue, ${value}. At the best σ² it tells ` +
        `${number(told()[living], 2)} nats. With ${NUMBERS[living]} of six alive we are ${cost}.`;
    }
    if (lost < NEAR) {
      return `Here maximum likelihood puts σ²: ${number(BEST, 3)} is the mean variance of the 58 directions without a latent.`;
    }
    if (noiseVar < BEST) {
      return `All six live, but the 58 directions without a latent vary by ${number(BEST, 3)} on average, ` +
        `more than σ²: ${cost}.`;
    }
    return `All six live, ${cost}. The next to die is latent 6, where ${name} passes ${number(leading[5], 3)}; here it tells ` +
      `${number(rates[5], 2)} nats.`;
  }

  return { ANSWERS, BEST, DIGITS, EIGENVALUES, NOISE, elbo, solved, verdict };
})();

Explorers.panel.mount("eigenvalues", "The decoder's noise against the eigenvalues", ["water"], (live) => {
  const { axes, bet, change, element, format, named, path, readout, select, sentence, slider, table } = Explorers.panel;
  const { ANSWERS, BEST, DIGITS, EIGENVALUES, NOISE, elbo, solved, verdict } = Explorers.eigenvalues;

  const ceiling = 1.1;
  const spectrum = axes("Eigenvalues of the digits as bars, and the noise variance as a level across them", { x: [0.5, 8.5],
    y: [0, ceiling], height: 250, xLabel: "direction l, and its latent", yLabel: "eigenvalue, and the KL in nats above it",
    xTicks: [1, 2, 3, 4, 5, 6, 7, 8], yTicks: [0, 0.25, 0.5, 0.75, 1] });
  const flood = Explorers.water.bars(spectrum, [0, ceiling], EIGENVALUES, 6);
  const levelName = element("text", { class: "note level end", x: spectrum.x(8.5), y: spectrum.y(0.9) });
  spectrum.layer.append(levelName,
    element("text", { class: "note middle", x: spectrum.x(7.5), y: spectrum.y(EIGENVALUES[6]) - 6 }, "no latent"));

  const grid = Array.from({ length: 107 }, (_, i) => -5.3 + i / 20);
  const plane = axes("The ELBO against the logarithm of the noise variance", { x: [-5.5, 0.2], y: [-100, 20], height: 220,
    xLabel: "log σ²", yLabel: "ELBO, nats", xTicks: [-5, -4, -3, -2, -1, 0], yTicks: [-100, -75, -50, -25, 0] });
  const curve = (beta) => path(plane, grid, grid.map((place) => elbo(Math.exp(place), beta)));
  const averaged = element("path", { class: "curve each" });
  const here = element("circle", { class: "here", r: 6 });
  plane.inside.append(element("path", { class: "curve q", d: curve(1) }), averaged, here);
  const deaths = element("path", { class: "mark" }); // from left to right latent 6 to latent 1
  const ends = [6, 1].map((number) => element("text", { class: "note middle", y: plane.y(-100) - 14 }, number));
  const averagedName = element("text", { class: "note level", x: plane.x(-2.6), y: plane.y(-30) }, "averaged");
  const dying = element("text", { class: "note", y: plane.y(-100) - 30 }, "here latents die");
  plane.inside.append(deaths, ...ends, dying);
  plane.layer.append(averagedName);

  const shown = { rate: readout(2), elbo: readout(2), best: readout(2), lost: readout(2) };
  const said = sentence();
  const loss = select("Squared error", [[1, "summed over 64 pixels"], [64, "averaged over 64 pixels"]]);

  function update() {
    const [noiseVar, beta] = [noise.value, Number(loss.value)];
    const { level, rate, rates } = solved(noiseVar, beta);
    flood(level, rates.map((value) => (value > 0 ? format(value, 2) : "dead")));
    const name = `dashes: ${beta > 1 ? `${beta} ` : ""}σ² = ${format(level, level < 1 ? 3 : 2)}`;
    levelName.textContent = level > ceiling ? `${name}, far above` : name;
    change(averaged, { d: beta > 1 ? curve(beta) : "" });
    change(averagedName, { visibility: beta > 1 ? "visible" : "hidden" });
    const places = DIGITS.leading.map((value) => plane.x(Math.log(value / beta)));
    change(deaths, { d: places.map((x) => `M${x} ${plane.y(-100)}v-10`).join("") });
    [5, 0].forEach((i, n) => change(ends[n], { x: places[i] }));
    change(dying, beta > 1 ? { x: plane.x(-5.4), class: "note" } : { x: plane.x(0.1), class: "note end" });
    const value = elbo(noiseVar, beta);
    change(here, { cx: plane.x(Math.log(noiseVar)), cy: plane.y(value) });
    shown.rate.show(rate);
    shown.elbo.show(value);
    shown.best.show(elbo(BEST, 1));
    shown.lost.show(elbo(BEST, 1) - value);
    said.say(verdict(noiseVar, beta, wager.value));
  }

  const noise = slider("σ²", "Noise variance of the decoder", NOISE, update);
  const wager = bet("At σ² = 1, how many of six latents still tell anything?", ANSWERS, update);
  loss.addEventListener("change", update);
  live.append(
    element("div", { class: "wide" }, spectrum.node, plane.node),
    element("div", { class: "narrow" },
      wager.node, noise.node,
      named("error", loss),
      table("In nats", [], { "KL of six latents": [shown.rate.node], "ELBO": [shown.elbo.node],
        [`best, at σ² = ${format(BEST, 3)}`]: [shown.best.node], "below it": [shown.lost.node] }),
      said.node,
    ),
  );
  update();
});
