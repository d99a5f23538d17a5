/* Noise and denoising of two peaks on a line: where a noisy point may come from, the best guess, and the flow. */
"use strict";

Explorers.noise = (() => {
  const { logNormal, sum } = Explorers.network;
  const { format } = Explorers.panel;
  // Mixtures of two Gaussians: narrow peaks from the chapter on diffusion, wide ones from that on denoising.
  const DATA = {
    narrow: [{ weight: 0.35, mean: -1.2, sd: 0.2 }, { weight: 0.65, mean: 0.8, sd: 0.3 }],
    wide: [{ weight: 0.6, mean: -1, sd: 0.5 }, { weight: 0.4, mean: 1.3, sd: 0.7 }],
  };
  const LOG_TAU = { low: -3, high: 1, step: 0.05, start: -1.5, digits: 2 };
  const POINT = { low: -2.5, high: 2.5, step: 0.05, start: 1.2, digits: 2 };
  const XS = Array.from({ length: 321 }, (_, i) => -4 + i / 40);

  const noisyVar = ({ sd }, tau) => sd ** 2 + tau ** 2;
  const mass = (peak, x, tau) => peak.weight * Math.exp(logNormal(x, peak.mean, Math.log(noisyVar(peak, tau))));

  /** p_τ: the density of x + τ ε. */
  const density = (peaks, x, tau) => sum(peaks.map((peak) => mass(peak, x, tau)));

  /** The slope of log p_τ. */
  const score = (peaks, x, tau) =>
    sum(peaks.map((peak) => (mass(peak, x, tau) * (peak.mean - x)) / noisyVar(peak, tau))) / density(peaks, x, tau);

  /** p(x | x̃): two peaks again, weighed by how probably the point comes from each. */
  function origins(peaks, noisy, tau) {
    const total = density(peaks, noisy, tau);
    return peaks.map((peak) => ({
      weight: mass(peak, noisy, tau) / total,
      mean: (peak.sd ** 2 * noisy + tau ** 2 * peak.mean) / noisyVar(peak, tau),
      sd: (peak.sd * tau) / Math.sqrt(noisyVar(peak, tau)),
    }));
  }

  /** E[x | x̃] as the mean of the origins; Tweedie's formula says x̃ + τ² score. */
  const guess = (peaks, noisy, tau) => sum(origins(peaks, noisy, tau).map(({ weight, mean }) => weight * mean));

  /** The path dx / d log τ = x - E[x | x], by Runge and Kutta: x at `from` and after each step of log τ to `to`. */
  function flow(peaks, x, from, to) {
    const n = Math.ceil(Math.abs(to - from) / 0.02 - 1e-9);
    const step = (to - from) / n;
    const away = (at, logTau) => -Math.exp(2 * logTau) * score(peaks, at, Math.exp(logTau));
    const path = [[from, x]];
    for (let i = 0; i < n; i++) {
      const s = from + i * step;
      const k1 = away(x, s);
      const k2 = away(x + (step / 2) * k1, s + step / 2);
      const k3 = away(x + (step / 2) * k2, s + step / 2);
      const k4 = away(x + step * k3, s + step);
      x += (step / 6) * (k1 + 2 * k2 + 2 * k3 + k4);
      path.push([s + step, x]);
    }
    return path;
  }

  /** How many tops p_τ has. */
  function tops(peaks, tau) {
    const slopes = XS.map((x) => score(peaks, x, tau));
    return slopes.filter((slope, i) => slope <= 0 && slopes[i - 1] > 0).length;
  }

  /** Halfway between the peaks, where the slider can stand. */
  const halfway = ([left, right]) => Math.round(10 * (left.mean + right.mean)) / 20;

  /** How dense the data are at x, as a share of their highest density. */
  const likeness = (peaks, x) => density(peaks, x, 0) / Math.max(...XS.map((at) => density(peaks, at, 0)));

  const ANSWERS = ["in the left peak", "in the right peak", "between them"];
  const place = (peaks, x) => ANSWERS[(peaks.findIndex(({ mean, sd }) => Math.abs(x - mean) < 1.5 * sd) + 3) % 3];
  const percent = (share) => `${format(100 * share, 0)} %`;

  const dense = (peaks, x) => `data have ${percent(likeness(peaks, x))} of their highest density`;

  /** What this position shows. */
  function reading(peaks, noisy, tau, end) {
    const [left, right] = origins(peaks, noisy, tau).map(({ weight }) => weight);
    const best = guess(peaks, noisy, tau);
    const flows = `The flow ends at ${format(end, 2)}, on the ${end < halfway(peaks) ? "left" : "right"}.`;
    if (Math.max(left, right) > 0.95) {
      const origin = left > right ? "left" : "right";
      const share = format(100 * Math.max(left, right), 1);
      return `Of such points ${share} % come from the ${origin} peak: the guess is the point moved by ${format(best - noisy, 2)}. ${flows}`;
    }
    const odds = `${percent(left)} come from the left peak (of all data ${percent(peaks[0].weight)})`;
    return `Of such points ${odds}. The guess averages both origins; where it lies, ${dense(peaks, best)}. ${flows}`;
  }

  /** What is said of the bet, at the halfway point and τ = 1. */
  function verdict(peaks, bet) {
    const best = guess(peaks, halfway(peaks), 1);
    const won = bet === place(peaks, best) ? "You were right" : "Not as you bet";
    return `${won}: at ${format(best, 2)}, ${place(peaks, best)}, where ${dense(peaks, best)}. \
The mean of all origins has the least squared error; no datum need lie there. Follow the flow instead.`;
  }

  return { ANSWERS, DATA, LOG_TAU, POINT, XS, density, flow, guess, halfway, likeness, origins, place, reading, score, tops, verdict };
})();

Explorers.panel.mount("noise", "Noise and denoising of two peaks", [], (live) => {
  const { axes, bet, change, element, named, path, readout, select, sentence, slider, table } = Explorers.panel;
  const { ANSWERS, DATA, LOG_TAU, POINT, XS, density, flow, guess, halfway, origins, reading, score, tops, verdict } =
    Explorers.noise;
  function through(on, points) {
    const seen = points.filter(([, x]) => Math.abs(x) <= 4);
    return path(on, seen.map(([, x]) => x), seen.map(([logTau]) => logTau));
  }

  const above = axes("The data in gray, the noisy data in blue, where the point may come from in vermilion", { x: [-4, 4],
    y: [0, 2], height: 230, xLabel: "x", yLabel: "density", xTicks: [-4, -2, 0, 2, 4], yTicks: [0, 0.5, 1, 1.5, 2] });
  const paths = (...names) => names.map((name) => element("path", { class: name }));
  const [data, noised, origin, stem] = paths("area", "curve q", "posterior", "mark aim");
  const dot = element("circle", { class: "dot", r: 5 });
  above.inside.append(data, origin, noised, stem, dot);
  above.layer.append(...[["data, gray", ""], ["noisy, blue", "q"], ["origins of x̃, vermilion", "v"]].map(([text, name], i) =>
    element("text", { class: `note ${name}`, x: above.x(-3.9), y: 44 + 18 * i }, text)));

  const below = axes("Paths of the flow, from much noise above to little below", { x: [-4, 4], y: [LOG_TAU.low, LOG_TAU.high],
    height: 370, xLabel: "x", yLabel: "log τ", xTicks: [-4, -2, 0, 2, 4], yTicks: [-3, -2, -1, 0, 1] });
  const [streams, level, mine, leap] = paths("threads", "mark", "curve q", "curve each leap");
  const here = element("circle", { class: "dot", r: 5 });
  const there = element("circle", { class: "dot guess", r: 5 });
  below.inside.append(streams, level, mine, leap);
  below.layer.append(here, there);

  const shown = { tau: readout(3), snr: readout(2), tops: readout(0), guess: readout(3), tweedie: readout(3), end: readout(3) };
  const said = sentence();
  const choice = select("Data", [["narrow", "narrow peaks"], ["wide", "wide peaks"]]);

  function update() {
    const [peaks, x, tau] = [DATA[choice.value], point.value, Math.exp(logTau.value)];
    const area = (f) => path(above, [-4, ...XS, 4], [0, ...XS.map(f), 0]);
    const [best, down] = [guess(peaks, x, tau), flow(peaks, x, logTau.value, LOG_TAU.low)];
    const [end, from] = [down.at(-1)[1], origins(peaks, x, tau)];
    change(data, { d: area((at) => density(peaks, at, 0)) });
    change(origin, { d: area((at) => density(from, at, 0)) });
    change(noised, { d: path(above, XS, XS.map((at) => density(peaks, at, tau))) });
    change(stem, { d: `M${above.x(best)} ${above.y(0)}V${above.y(2)}` });
    change(dot, { cx: above.x(x), cy: above.y(density(peaks, x, tau)) });
    change(level, { d: `M${below.x(-4)} ${below.y(logTau.value)}H${below.x(4)}` });
    change(mine, { d: through(below, [...flow(peaks, x, logTau.value, LOG_TAU.high).reverse(), ...down]) });
    change(leap, { d: `M${below.x(x)} ${below.y(logTau.value)}H${below.x(best)}` });
    change(here, { cx: below.x(x), cy: below.y(logTau.value) });
    change(there, { cx: below.x(best), cy: below.y(logTau.value) });
    const values = { tau, snr: -2 * logTau.value, tops: tops(peaks, tau), guess: best, tweedie: x + tau ** 2 * score(peaks, x, tau), end };
    for (const [name, value] of Object.entries(values)) shown[name].show(value);
    said.say(reading(peaks, x, tau, end));
  }

  function restart() {
    const peaks = DATA[choice.value];
    const starts = Array.from({ length: 9 }, (_, i) => -7 + 1.75 * i);
    change(streams, { d: starts.map((x) => through(below, flow(peaks, x, LOG_TAU.high, LOG_TAU.low))).join("") });
    update();
  }

  const logTau = slider("log τ", "Logarithm of the noise τ", LOG_TAU, update);
  const point = slider("x̃", "The noisy point", POINT, update);
  const betting = bet("A point halfway between the peaks, noise τ = 1: the best guess of where it was lies", ANSWERS, () => {
    logTau.set(0);
    point.set(halfway(DATA[choice.value]));
    said.say(verdict(DATA[choice.value], betting.value));
  });
  choice.addEventListener("change", restart);
  live.append(
    element("div", { class: "wide" }, above.node, below.node),
    element("div", { class: "narrow" },
      betting.node, named("data", choice), logTau.node, point.node,
      said.node,
      table("At this point", [], { "noise τ": [shown.tau.node], "log-SNR −2 log τ": [shown.snr.node],
        "tops of the blue curve": [shown.tops.node], "best guess E[x | x̃]": [shown.guess.node],
        "x̃ + τ² score": [shown.tweedie.node], "flow ends at": [shown.end.node] }),
    ),
  );
  restart();
});
