/* Who lost the nats? A posterior with correlation, the best q with independent dimensions, and the q that an encoder gives. */
"use strict";

Explorers.gaps = (() => {
  // The posterior is N(0, C) with variances 1 and correlation rho; q is N(mu, v I).
  const RHO = { low: -0.95, high: 0.95, step: 0.05, start: 0.5, digits: 2 };
  const SHIFT = { low: -2, high: 2, step: 0.05, start: 1, digits: 2 }; // of both means
  const ERROR = { low: -2, high: 2, step: 0.05, start: 0.5, digits: 2 }; // of the log-variances
  const CLOSED = 0.005; // what two decimals show as 0.00
  const PUZZLE = 0.9;

  const bestVariance = (rho) => 1 - rho ** 2;

  /** KL of the best q from the posterior, in nats: what the family loses. */
  const approximation = (rho) => -0.5 * Math.log(1 - rho ** 2);

  /** What the encoder's q loses beyond that: shift is the error of both means, error that of both log-variances. */
  const amortization = (rho, shift, error) => shift ** 2 / (1 + rho) + Math.expm1(error) - error;

  const ANSWERS = ["nothing", "0.2 nats", "0.8 nats"];

  /** What is said of a place, and of the bet, which is decided where rho is that of the puzzle. */
  function verdict(rho, shift, error, bet) {
    const { format } = Explorers.panel;
    const [family, network] = [approximation(rho), amortization(rho, shift, error)];
    const right = `${format(approximation(PUZZLE), 1)} nats`;
    const won = bet && Math.abs(rho - PUZZLE) < 1e-9
      ? `${bet === right ? "You were right" : "Not as you bet"}: a perfect encoder would still lack ${format(approximation(PUZZLE), 2)} nats. ` : "";
    if (network < CLOSED && family < CLOSED) return `${won}Nothing is lost: this posterior is in the family, and the encoder has found it.`;
    if (network < CLOSED) return `${won}The encoder is perfect, and ${format(family, 2)} nats are lost: only another family brings them back.`;
    const share = Math.round((100 * network) / (family + network));
    const mean = shift ** 2 / (1 + rho);
    const blame = mean > network - mean ? "most of it by its means" : "most of it by its variances";
    return `${won}The network lost ${share} % of the gap, ${blame}; the family lost ${format(family, 2)} nats.`;
  }

  return { ANSWERS, ERROR, PUZZLE, RHO, SHIFT, amortization, approximation, bestVariance, verdict };
})();

Explorers.panel.mount("gaps", "Two gaps", [], (live) => {
  const { axes, bet, change, element, readout, sentence, slider, table, through } = Explorers.panel;
  const { ANSWERS, ERROR, PUZZLE, RHO, SHIFT, amortization, approximation, bestVariance, verdict } = Explorers.gaps;
  const { ellipse } = Explorers.network;
  const ticks = [-4, -2, 0, 2, 4];

  const plane = axes("The posterior in gray, the best q in blue, the encoder's q in vermilion", { x: [-4.5, 4.5], y: [-4.5, 4.5],
    xLabel: "z₁", yLabel: "z₂", xTicks: ticks, yTicks: ticks });
  const posterior = element("path", { class: "area" });
  const best = element("path", { class: "curve q" });
  const encoders = element("path", { class: "curve each" });
  plane.inside.append(posterior, best, encoders);
  plane.layer.append(element("text", { class: "note q", x: plane.x(-4.3), y: 44 }, "the best q"),
    element("text", { class: "note network", x: plane.x(-4.3), y: 62 }, "the encoder's q"));

  const bars = axes("The gap, end to end: what the family lost, what the network lost", { x: [0, 6], y: [0, 1], height: 90,
    xLabel: "nats below log p(x)", xTicks: [0, 1, 2, 3, 4, 5, 6] });
  const [family, network] = ["bound", "gap"].map((name) => element("rect", { class: name, y: bars.y(1) + 4, height: 30 }));
  bars.inside.append(family, network);
  const onBar = (name) => element("text", { class: name, y: bars.y(1) + 24 });
  const [familyName, networkName] = ["on-bar", "on-gap"].map(onBar);
  bars.layer.append(familyName, networkName);

  const shown = { family: readout(3), network: readout(3), gap: readout(3) };
  const said = sentence();

  function update() {
    const [rho, shift, error] = [correlation.value, mean.value, width.value];
    const lost = [approximation(rho), amortization(rho, shift, error)];
    const draw = (node, points) => change(node, { d: `${through(plane, points)}Z` });
    const round = (variance, at) => ellipse([[variance, 0], [0, variance]], 2, [at, at]);
    draw(posterior, ellipse([[1, rho], [rho, 1]]));
    draw(best, round(bestVariance(rho), 0));
    draw(encoders, round(bestVariance(rho) * Math.exp(error), shift));
    const end = bars.x(lost[0]);
    const visible = Math.min(lost[1], 6 - lost[0]);
    change(familyName, { x: bars.x(0) + 6 }).textContent = lost[0] > 0.9 ? "family" : "";
    change(networkName, { x: end + 6 }).textContent = visible < lost[1] ? "network, and farther →" : visible > 1.1 ? "network" : "";
    change(family, { x: bars.x(0), width: end - bars.x(0) });
    change(network, { x: end, width: bars.x(lost[1]) - bars.x(0) });
    shown.family.show(lost[0]);
    shown.network.show(lost[1]);
    shown.gap.show(lost[0] + lost[1]);
    said.say(choice.value || Math.abs(rho - PUZZLE) > 1e-9 ? verdict(rho, shift, error, choice.value) : "Bet first: what would be left?");
  }

  const choice = bet(`At ρ = ${PUZZLE}, a perfect encoder still lacks`, ANSWERS, () => correlation.set(PUZZLE));
  const correlation = slider("ρ", "Correlation of the posterior", RHO, update);
  const mean = slider("Δμ", "Error of the encoder's means", SHIFT, update);
  const width = slider("Δ log σ²", "Error of the encoder's log-variances", ERROR, update);
  live.append(
    element("div", { class: "wide" }, plane.node, bars.node),
    element("div", { class: "narrow" },
      choice.node, correlation.node, mean.node, width.node, said.node,
      table("In nats", [], { "family (approximation)": [shown.family.node], "+ network (amortization)": [shown.network.node],
        "= gap": [shown.gap.node] }),
    ),
  );
  update();
});
