/* Two layers of latents: in which order should q draw them? The losses of three orders, exact in a linear model. */
"use strict";

Explorers.layers = (() => {
  const { det, sum } = Explorers.network;
  // The chapter's model: z₂ of one number, z₁ = G z₂ + noise of variances S, x = W z₁ + noise of variance σ².
  const W = [[1.0, 0.3, 0.5], [0.4, 1.0, 0.8]]; // columns
  const G = [1.5, -1.0];
  const S = [0.4, 0.3];
  const TURN = { low: 0, high: 1, step: 0.05, start: 0, digits: 2 }; // how far the second column is turned off the first
  const PULL = { low: 0, high: 1.5, step: 0.05, start: 1, digits: 2 }; // factor of G
  const NOISE = { low: 0.1, high: 2, step: 0.05, start: 0.5, digits: 2 };
  const CLOSED = 0.0005; // what three decimals show as 0.000

  const dot = (u, v) => sum(u.map((value, i) => value * v[i]));

  /** The columns of W; with turn 1 they are orthogonal. */
  function columns(turn) {
    const share = (turn * dot(W[0], W[1])) / dot(W[0], W[0]);
    return [W[0], W[1].map((value, d) => value - share * W[0][d])];
  }

  const correlation = (P) => -P[0][1] / Math.sqrt(P[0][0] * P[1][1]); // of the Gaussian with this precision

  /** Precisions of z₁ given x: with z₂ known, and with z₂ unknown; and that of z₂ given z₁. */
  function precisions(turn, pull, noise) {
    const w = columns(turn);
    const g = G.map((gain) => pull * gain);
    const known = [0, 1].map((i) => [0, 1].map((j) => dot(w[i], w[j]) / noise + (i === j ? 1 / S[i] : 0)));
    const upper = 1 + dot(g, g.map((gain, i) => gain / S[i]));
    const unknown = known.map((row, i) => row.map((value, j) => value - ((g[i] / S[i]) * (g[j] / S[j])) / upper));
    return { known, unknown, upper };
  }

  /** What the best diagonal Gaussian loses against one of precision P, in nats. */
  const diagonalLoss = (P) => 0.5 * (Math.log(P[0][0]) + Math.log(P[1][1]) - Math.log(det(P)));

  /** What the best q of each order loses. */
  function losses(turn, pull, noise) {
    const { known, unknown, upper } = precisions(turn, pull, noise);
    const logDet = Math.log(det(unknown)) + Math.log(upper); // of all three numbers
    const factorized = 0.5 * (Math.log(known[0][0]) + Math.log(known[1][1]) + Math.log(upper) - logDet);
    return { factorized, bottomUp: diagonalLoss(unknown), topDown: diagonalLoss(known) };
  }

  const ANSWERS = ["only top-down", "bottom-up too", "none of them"];

  function verdict(turn, pull, noise, bet) {
    const { format } = Explorers.panel;
    const { bottomUp, topDown } = losses(turn, pull, noise);
    const { known, unknown } = precisions(turn, pull, noise);
    const decided = bet && turn === 1 && pull > 0;
    const won = decided ? `${bet === ANSWERS[0] ? "You were right" : "Not as you bet"}: only top-down loses nothing. ` : "";
    if (pull === 0) return `z₂ says nothing of z₁: all three lose the same ${format(topDown, 2)} nats, and the upper layer is idle.`;
    if (topDown < CLOSED) {
      return `${won}Given z₂ the two numbers of z₁ are independent; while it is unknown it ties them, by ${format(correlation(unknown), 2)}.`;
    }
    const [less, more] = topDown < bottomUp ? ["top-down", "bottom-up"] : ["bottom-up", "top-down"];
    const prices = [topDown, bottomUp].sort((a, b) => a - b).map((loss) => format(loss, 2));
    return `z₁'s two numbers correlate by ${format(correlation(unknown), 2)} while z₂ is unknown, by ${format(correlation(known), 2)} given it: ${less} loses ${prices[0]} nats, ${more} ${prices[1]}.`;
  }

  return { ANSWERS, NOISE, PULL, TURN, columns, correlation, diagonalLoss, losses, precisions, verdict };
})();

Explorers.panel.mount("layers", "Two layers", [], (live) => {
  const { axes, bet, change, element, path, readout, sentence, slider, table, through } = Explorers.panel;
  const { ANSWERS, NOISE, PULL, TURN, losses, precisions, verdict } = Explorers.layers;
  const { ellipse, inverse } = Explorers.network;
  const ORDERS = ["factorized", "bottomUp", "topDown"];

  const plane = axes("The two numbers of z₁ given x: in gray while z₂ is unknown, in green given z₂", { x: [-2.5, 2.5], y: [-2.5, 2.5],
    height: 300, xLabel: "first number of z₁", yLabel: "second number of z₁", xTicks: [-2, 0, 2], yTicks: [-2, 0, 2] });
  const unknown = element("path", { class: "area" });
  const known = element("path", { class: "curve all" });
  plane.inside.append(unknown, known);
  plane.layer.append(element("text", { class: "note", x: plane.x(-2.4), y: 44 }, "z₂ unknown"),
    element("text", { class: "note all", x: plane.x(-2.4), y: 62 }, "z₂ known"));

  const turns = Array.from({ length: 41 }, (_, i) => i / 40);
  const price = axes("The losses against how far the decoder's columns are turned", { x: [0, 1], y: [0, 1.5], height: 210,
    xLabel: "turn of the columns; 1: orthogonal", yLabel: "loss, nats", xTicks: [0, 0.25, 0.5, 0.75, 1], yTicks: [0, 0.5, 1, 1.5] });
  const curves = ["curve each leap", "curve q", "curve all"].map((name) => element("path", { class: name }));
  const here = element("path", { class: "mark" });
  const ends = ["dot guess", "dot", "dot all"].map((name) => element("circle", { class: name, r: 4 }));
  price.inside.append(...curves, here);
  price.layer.append(...ends);

  const shown = ORDERS.map(() => readout(3));
  const said = sentence();

  function update() {
    const [t, g, noise] = [turn.value, pull.value, variance.value];
    const now = precisions(t, g, noise);
    const draw = (node, points) => change(node, { d: `${through(plane, points)}Z` });
    draw(unknown, ellipse(inverse(now.unknown)));
    draw(known, ellipse(inverse(now.known)));
    const seen = choice.value ? turns : turns.filter((at) => at <= t); // the rest would tell
    const all = seen.map((at) => losses(at, g, noise));
    ORDERS.forEach((name, i) => {
      change(curves[i], { d: path(price, seen, all.map((loss) => loss[name])) });
      const loss = losses(t, g, noise)[name];
      change(ends[i], { cx: price.x(t), cy: price.y(loss) });
      shown[i].show(loss);
    });
    change(here, { d: `M${price.x(t)} ${price.y(0)}V${price.y(1.5)}` });
    said.say(choice.value || t < 1 ? verdict(t, g, noise, choice.value) : "Bet first: which of the three loses nothing here?");
  }

  const choice = bet("If W has orthogonal columns, which order loses nothing?", ANSWERS, () => turn.set(1));
  const turn = slider("turn", "How far the columns of W are turned", TURN, update);
  const pull = slider("pull", "Factor of the upper layer's gain", PULL, update);
  const variance = slider("σ²", "Variance of the noise", NOISE, update);
  live.append(
    element("div", { class: "wide" }, plane.node, price.node),
    element("div", { class: "narrow" },
      choice.node, turn.node, pull.node, variance.node, said.node,
      table("Loss in nats", [], { "all at once (vermilion)": [shown[0].node], "bottom-up (blue)": [shown[1].node],
        "top-down (green)": [shown[2].node] }),
    ),
  );
  update();
});
