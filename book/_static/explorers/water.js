/* Reverse water-filling: the best linear VAE in closed form, and its picture, bars of variance under a level of water. */
"use strict";

Explorers.water = (() => {
  const { LOG_2PI, sum } = Explorers.network;

  /** The least distortion + β rate of linear VAEs with the noise variance σ². Of the data it takes their dimension, their
      whole variance, and the leading eigenvalues of their covariance, one for each latent. */
  function frontier({ dimension, variance, leading }, beta, noiseVar) {
    const level = beta * noiseVar;
    const rates = leading.map((value) => 0.5 * Math.log(Math.max(value / level, 1)));
    const error = variance - sum(leading.map((value) => Math.max(value - level, 0))); // what no code tells
    const distortion = 0.5 * (dimension * (LOG_2PI + Math.log(noiseVar)) + error / noiseVar);
    return { level, rates, rate: sum(rates), distortion, living: rates.filter((rate) => rate > 0).length };
  }

  /** One bar for each top, numbered from 1, the first ones with a latent: `show(level, texts)` puts them under water up to
      the level, colors what a latent tells, and writes above it; a latent that tells nothing is called dead. */
  function bars(on, [floor, ceiling], tops, latents) {
    const { change, element } = Explorers.panel;
    const place = (node, i, low, high) => change(node,
      { x: on.x(i + 0.6), width: on.x(i + 1.4) - on.x(i + 0.6), y: on.y(high), height: on.y(low) - on.y(high) });
    const all = tops.map((top, i) => place(element("rect", { class: "area" }), i, floor, top));
    const told = tops.slice(0, latents).map(() => element("rect", { class: "bound" }));
    const texts = told.map((_, i) => element("text", { class: "middle", x: on.x(i + 1) }));
    const surface = element("path", { class: "mark aim" });
    on.layer.append(...all, ...told, surface, ...texts);
    return (level, written) => {
      told.forEach((node, i) => place(node, i, Math.min(Math.max(level, floor), tops[i]), tops[i]));
      texts.forEach((node, i) => {
        const above = level < tops[i];
        change(node, { y: on.y(above ? tops[i] : floor) - 6 }).textContent = above ? written[i] : "dead";
      });
      const y = on.y(Math.min(level, ceiling));
      change(surface, { d: `M${on.x(0.5)} ${y}H${on.x(tops.length + 0.5)}` });
      return y;
    };
  }

  return { bars, frontier };
})();
