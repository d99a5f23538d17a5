/* One gray pixel: a cross-entropy that is taken for a density, beside the density that it forgot to be. */
"use strict";

Explorers.likelihoods = (() => {
  const { logSigmoid, sigmoid } = Explorers.network;
  const { format } = Explorers.panel;
  const LOGIT = { low: -8, high: 8, step: 0.2, start: -0.4, digits: 1 };
  const GRAY = { low: 0, high: 1, step: 1 / 16, start: 7 / 16, digits: 4 };
  const BETS = ["always 1", "the same, but not 1", "it depends on ℓ"];
  const NAMES = { raw: "cross-entropy", whole: "density" };
  const NEAR = 0.101; // half a step of ℓ

  // Losses in nats, of the gray value x where the decoder says ℓ.

  const crossEntropy = (x, logit) => -(x * logSigmoid(logit) + (1 - x) * logSigmoid(-logit));

  /** The integral of e^(−cross-entropy) over all gray values. */
  const mass = (logit) => (logit === 0 ? 0.5 : Math.tanh(logit / 2) / logit);

  /** Minus the logarithm of the continuous Bernoulli: the cross-entropy, divided by its mass. */
  const wholeLoss = (x, logit) => crossEntropy(x, logit) + Math.log(mass(logit));

  // Which ℓ is the cheapest for x.

  const cheapestRaw = (x) => Math.log(x / (1 - x));

  /** The mean of the continuous Bernoulli; near 0 by its series. */
  const mean = (logit) =>
    Math.abs(logit) < 0.01 ? 0.5 + logit / 12 - logit ** 3 / 720 : 1 / -Math.expm1(-logit) - 1 / logit;

  /** Where that mean is x, by bisection; at black and white there is no end. */
  function cheapest(x) {
    if (x === 0 || x === 1) return x === 0 ? -Infinity : Infinity;
    let [low, high] = [-1000, 1000];
    while (high - low > 1e-12 * (1 + Math.abs(low))) {
      const middle = (low + high) / 2;
      if (mean(middle) < x) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  /** What this position shows. */
  function reading(x, logit, bet) {
    if (!bet) return `For the decoder white has the probability ${format(sigmoid(logit), 2)}. A density’s area is 1: is that of the vermilion curve? Bet.`;
    const won = bet === BETS[2] ? "As you bet, the area depends on ℓ" : `Not “${bet}”: the area depends on ℓ`;
    const excess = `${format(-Math.log(mass(logit)), 2)} nats too much, at every gray value alike`;
    const here = `${won}. Here it is ${format(mass(logit), 2)}: the cross-entropy charges ${excess}.`;
    if (Math.abs(logit) < NEAR) return `${here} The area is never more than one half.`;
    if (x === 0 || x === 1) return `${here} For ${x ? "white" : "black"} both losses want ℓ without end.`;
    if (x === 0.5) return `${here} For this x both have their best ℓ at 0.`;
    return `${here} For this x its best ℓ is ${format(cheapestRaw(x), 1)}, the density’s ${format(cheapest(x), 1)}: it keeps a decoder timid.`;
  }

  return { BETS, GRAY, LOGIT, NAMES, cheapest, cheapestRaw, crossEntropy, mass, mean, reading, wholeLoss };
})();

Explorers.panel.mount("likelihoods", "One gray pixel", [], (live) => {
  const { axes, bet, change, element, path, readout, sentence, slider, table } = Explorers.panel;
  const { BETS, GRAY, LOGIT, NAMES, cheapest, cheapestRaw, crossEntropy, mass, reading, wholeLoss } = Explorers.likelihoods;
  const LOSSES = { raw: crossEntropy, whole: wholeLoss };
  const kinds = Object.keys(LOSSES);
  const xs = Array.from({ length: 101 }, (_, i) => i / 100);

  const on = axes("e to the minus loss against the gray value: the cross-entropy in vermilion, the density in green", {
    x: [0, 1], y: [0, 3], height: 280, xLabel: "gray value x", yLabel: "e^(−loss)", xTicks: [0, 0.25, 0.5, 0.75, 1],
    yTicks: [0, 1, 2, 3] });
  const curves = { raw: element("path", { class: "posterior" }), whole: element("path", { class: "curve all" }) };
  const dot = (name) => element("circle", { class: name, r: 5 });
  const dots = { raw: dot("posterior center"), whole: dot("whole") };
  const line = element("path", { class: "mark" });
  on.inside.append(curves.raw, curves.whole, line, dots.raw, dots.whole);
  on.layer.append(...[["network", "cross-entropy, vermilion"], ["all", "density, green"]].map(([name, text], i) =>
    element("text", { class: `note middle ${name}`, x: on.x(0.5), y: 28 + 18 * i }, text)));

  const bars = axes("Areas under both curves", { x: [0, 1.4], y: [0, 2], height: 130, xLabel: "area over [0, 1]",
    xTicks: [0, 0.5, 1] });
  bars.layer.append(element("path", { class: "mark", d: `M${bars.x(1)} ${bars.y(0)}V${bars.y(2)}` }));
  const areas = Object.fromEntries(kinds.map((kind, row) => {
    const y = bars.y(2 - row);
    const rectangle = element("rect", { class: kind === "raw" ? "gap" : "whole", x: bars.x(0), y: y + 4, height: 30 });
    const name = element("text", { class: "note", y: y + 24 }, NAMES[kind]);
    bars.layer.append(rectangle, name);
    return [kind, (width, more = "") => {
      change(rectangle, { width: bars.x(width) - bars.x(0) });
      change(name, { x: bars.x(width) + 6 }).textContent = `${NAMES[kind]}${more}`;
    }];
  }));

  const cells = (digits) => kinds.map(() => readout(digits));
  const shown = { area: cells(3), charged: cells(3), cheapest: cells(1) };
  const said = sentence();

  function update() {
    const [x, l] = [gray.value, logit.value];
    const area = wager.value ? mass(l) : NaN; // not before the bet: it would tell
    for (const kind of kinds) {
      const heights = xs.map((at) => Math.exp(-LOSSES[kind](at, l)));
      const ground = kind === "raw" ? [[0, ...xs, 1], [0, ...heights, 0]] : [xs, heights];
      change(curves[kind], { d: path(on, ...ground) });
      change(dots[kind], { cx: on.x(x), cy: on.y(Math.exp(-LOSSES[kind](x, l))) });
    }
    change(line, { d: `M${on.x(x)} ${on.y(0)}V${on.y(3)}` });
    areas.raw(wager.value ? area : 0, wager.value ? "" : ": ?");
    areas.whole(1);
    const numbers = { area: [area, 1], charged: [crossEntropy(x, l), wager.value ? wholeLoss(x, l) : NaN],
      cheapest: wager.value ? [cheapestRaw(x), cheapest(x)] : [NaN, NaN] };
    for (const [name, both] of Object.entries(numbers)) both.forEach((value, i) => shown[name][i].show(value));
    said.say(reading(x, l, wager.value));
  }

  const logit = slider("ℓ", "Logit that the decoder says", LOGIT, update);
  const gray = slider("x", "Gray value of the pixel", GRAY, update);
  const wager = bet("The area under the vermilion curve is", BETS, update);
  const both = (name) => shown[name].map(({ node }) => node);
  live.append(
    element("div", { class: "wide" }, on.node, bars.node),
    element("div", { class: "narrow" }, wager.node, logit.node, gray.node, said.node,
      table("Areas and losses", kinds.map((kind) => NAMES[kind]), { "area": both("area"), "nats at x": both("charged"),
        "best ℓ for x": both("cheapest") })),
  );
  update();
});
