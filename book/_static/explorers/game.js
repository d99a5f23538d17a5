/* A discriminator by hand: its logit is a parabola, and its loss is measured against the least, 2 log 2 - 2 JS. */
"use strict";

Explorers.game = (() => {
  const { logNormal, logSigmoid, sigmoid, sum } = Explorers.network;
  const { format } = Explorers.panel;
  // The chapter's two heaps: q = N(1, 0.6²) and p = N(0, 1).
  const [Q, P] = [{ mean: 1, logVar: Math.log(0.36) }, { mean: 0, logVar: 0 }];
  const OFFSET = { low: -3, high: 3, step: 0.1, start: 0, digits: 1 };
  const SLOPE = { low: -5, high: 5, step: 0.1, start: 0, digits: 1 };
  const CURVATURE = { low: -2, high: 2, step: 0.1, start: 0, digits: 1 };
  const COIN = 2 * Math.log(2); // the loss of who says 1/2 everywhere
  const CLOSE = 0.001; // nats

  const [STEP, FAR] = [0.01, 9];
  const ZS = Array.from({ length: (2 * FAR) / STEP + 1 }, (_, i) => -FAR + i * STEP);
  /** The trapezoidal rule, for functions that have died out at both ends. */
  const integral = (f) => STEP * sum(ZS.map(f));

  const logDensity = ({ mean, logVar }, z) => logNormal(z, mean, logVar);
  const density = (heap, z) => Math.exp(logDensity(heap, z));
  const logRatio = (z) => logDensity(Q, z) - logDensity(P, z);
  const logit = ([offset, slope, curvature], z) => offset + slope * z + curvature * z ** 2;

  /** What z contributes to the cross-entropy of the labels, for a logit t there. */
  const lossAt = (z, t) => -density(Q, z) * logSigmoid(t) - density(P, z) * logSigmoid(-t);
  const loss = (T) => integral((z) => lossAt(z, logit(T, z)));
  const excessAt = (T, z) => lossAt(z, logit(T, z)) - lossAt(z, logRatio(z));

  /** KL(q ‖ m) and KL(p ‖ m), with m halfway, averaged. */
  const JS = integral((z) => {
    const m = 0.5 * (density(Q, z) + density(P, z));
    return 0.5 * sum([Q, P].map((heap) => density(heap, z) * (logDensity(heap, z) - Math.log(m))));
  });
  const LEAST = COIN - 2 * JS;
  const KL = integral((z) => density(Q, z) * logRatio(z));
  const meanLogit = (T) => integral((z) => density(Q, z) * logit(T, z));

  /** Where both densities are equal, and the best discriminator can't tell. */
  const equal = ZS.filter((z, i) => i && logRatio(z) > 0 !== logRatio(ZS[i - 1]) > 0);

  const percent = (share) => `${format(100 * share, 0)} %`;

  /** What this discriminator shows. */
  function reading(T) {
    if (T.every((number) => number === 0))
      return "It says 1/2 everywhere: the loss is 2 log 2, and would be so for any two heaps.";
    const excess = loss(T) - LEAST;
    if (excess < CLOSE) {
      const off = format(Math.abs(logit(T, -4) - logRatio(-4)), 1);
      return `As good as the best to ${format(CLOSE, 3)} nats. At z = −4 its logit is off by ${off} nats: \
no draws come from there, so no loss tells.`;
    }
    const worst = ZS.reduce((best, z) => (excessAt(T, z) > excessAt(T, best) ? z : best));
    const shares = [logit(T, worst), logRatio(worst)].map((t) => percent(sigmoid(t)));
    const most = `Most is lost where the hill is highest: at z = ${format(worst, 1)} it gives q ${shares[0]}, \
and q has ${shares[1]} of the draws there.`;
    return loss(T) > COIN ? `Worse than a coin, whose loss is ${format(COIN, 3)}. ${most}` : `${format(excess, 3)} nats above the least. ${most}`;
  }

  const ANSWERS = ["nowhere", "at one place", "at two places"];

  function verdict(bet) {
    const won = bet === ANSWERS[equal.length] ? "You were right" : "Not as you bet";
    const places = equal.map((z) => format(z, 2)).join(" and ");
    return `${won}: at z = ${places} the densities are equal and the best logit, dashed, is 0. \
Right of both the wide heap has more draws again. Can you say so without curvature?`;
  }

  return { ANSWERS, COIN, CURVATURE, JS, KL, LEAST, OFFSET, P, Q, SLOPE, density, equal, excessAt, logRatio, logit, loss, meanLogit,
    reading, verdict };
})();

Explorers.panel.mount("game", "A discriminator by hand", [], (live) => {
  const { axes, bet, change, element, path, readout, sentence, slider, table } = Explorers.panel;
  const { ANSWERS, CURVATURE, JS, KL, LEAST, OFFSET, P, Q, SLOPE, density, excessAt, logRatio, logit, loss, meanLogit, reading, verdict } =
    Explorers.game;
  const zs = Array.from({ length: 161 }, (_, i) => -4 + i / 20);
  const area = (on, f) => path(on, [-4, ...zs, 4], [0, ...zs.map(f), 0]);
  const note = (on, text, name, row) => element("text", { class: `note ${name}`, x: on.x(-3.9), y: 44 + 18 * row }, text);

  const heaps = axes("The densities q and p, and where loss is wasted", { x: [-4, 4], y: [0, 0.8], height: 240, xLabel: "z", yLabel: "density",
    xTicks: [-4, -2, 0, 2, 4], yTicks: [0, 0.2, 0.4, 0.6, 0.8] });
  const wasted = element("path", { class: "posterior" });
  heaps.inside.append(element("path", { class: "area", d: area(heaps, (z) => density(P, z)) }), wasted,
    element("path", { class: "curve q", d: path(heaps, zs, zs.map((z) => density(Q, z))) }));
  heaps.layer.append(note(heaps, "p, gray", "", 0), note(heaps, "q, blue", "q", 1), note(heaps, "loss wasted", "v", 2));

  const logits = axes("The logit of the discriminator, and the exact log-ratio", { x: [-4, 4], y: [-12, 6], height: 330, xLabel: "z",
    yLabel: "logit, nats", xTicks: [-4, -2, 0, 2, 4], yTicks: [-12, -9, -6, -3, 0, 3, 6] });
  const best = element("path", { class: "mark aim", fill: "none", d: path(logits, zs, zs.map(logRatio)) });
  const mine = element("path", { class: "curve q" });
  const bestName = note(logits, "the best, dashed", "v", 1);
  logits.inside.append(element("path", { class: "mark", d: `M${logits.x(-4)} ${logits.y(0)}H${logits.x(4)}` }), best, mine);
  logits.layer.append(note(logits, "yours, blue; above 0 it says q", "q", 0), bestName);

  const shown = Object.fromEntries(["loss", "least", "bound", "JS", "mean", "KL"].map((name) => [name, readout(3)]));
  const said = sentence();

  function update() {
    const T = [offset.value, slope.value, curvature.value];
    change(wasted, { d: area(heaps, (z) => excessAt(T, z)) });
    change(mine, { d: path(logits, zs, zs.map((z) => logit(T, z))) });
    for (const node of [best, bestName]) change(node, { visibility: betting.value === null ? "hidden" : "visible" }); // it would tell
    const value = loss(T);
    const values = { loss: value, least: LEAST, bound: Math.log(2) - value / 2, JS, mean: meanLogit(T), KL };
    for (const [name, number] of Object.entries(values)) shown[name].show(number);
    said.say(reading(T));
  }

  const offset = slider("offset", "Offset of the logit", OFFSET, update);
  const slope = slider("slope", "Slope of the logit", SLOPE, update);
  const curvature = slider("curvature", "Curvature of the logit", CURVATURE, update);
  const betting = bet("Where can't the best discriminator tell q from p?", ANSWERS, () => {
    update();
    said.say(verdict(betting.value));
  });
  const row = (...names) => names.map((name) => shown[name].node);
  live.append(
    element("div", { class: "wide" }, heaps.node, logits.node),
    element("div", { class: "narrow" },
      betting.node, offset.node, slope.node, curvature.node, said.node,
      table("In nats", ["yours", "best"], { "loss": row("loss", "least"), "JS ≥ log 2 − loss/2": row("bound", "JS"),
        "mean logit under q": row("mean", "KL") }),
    ),
  );
  update();
});
