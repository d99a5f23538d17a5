/* Two divergences by hand: a target p with two peaks, one Gaussian q, and where each direction charges for it. */
"use strict";

Explorers.divergences = (() => {
  const { logNormal, logSum, sum } = Explorers.network;
  const { format } = Explorers.panel;
  const PARTS = [{ weight: 0.4, mean: -2.2, sd: 0.6 }, { weight: 0.6, mean: 1.7, sd: 0.8 }];
  const MU = { low: -4, high: 4, step: 0.1, start: -3.5, digits: 1 };
  const LOG_VAR = { low: -2, high: 3, step: 0.1, start: -0.5, digits: 1 };
  const NAMES = { forward: "KL(p ‖ q)", reverse: "KL(q ‖ p)" };
  const BETS = [NAMES.forward, NAMES.reverse, "both"];

  function logP(x) {
    return logSum(PARTS.map(({ weight, mean, sd }) => Math.log(weight) + logNormal(x, mean, 2 * Math.log(sd))));
  }

  const NODES = Array.from({ length: 1001 }, (_, i) => -50 + i / 10).map((x) => [x, logP(x)]);

  /** What a direction charges at x, per unit of x: its first density times the logarithm of the first over the second. */
  const CHARGES = {
    forward: (p, q) => Math.exp(p) * (p - q),
    reverse: (p, q) => Math.exp(q) * (q - p),
  };
  const charge = (direction, x, q) => CHARGES[direction](logP(x), logNormal(x, ...q));

  // Where a first density is not negligible: the sums are to be quick enough for a search.
  const CORE = NODES.filter(([, p]) => p > -45);
  function core(direction, [mu, logVar]) {
    const reach = 10 * Math.exp(logVar / 2), at = (x) => Math.round(10 * (x + 50));
    return direction === "forward" ? CORE : NODES.slice(Math.max(at(mu - reach), 0), at(mu + reach) + 1);
  }

  /** The divergence, in nats: the area of the charges, by the trapezoidal rule. */
  const kl = (direction, q) => 0.1 * sum(core(direction, q).map(([x, p]) => CHARGES[direction](p, logNormal(x, ...q))));

  /** Where it charges most. */
  function dearest(direction, q) {
    const charges = NODES.map(([x, p]) => CHARGES[direction](p, logNormal(x, ...q)));
    return NODES[charges.indexOf(Math.max(...charges))][0];
  }

  // Downhill: a notch of one slider or of both, to the lowest neighbor.
  const within = (value, { low, high }) => Math.min(Math.max(value, low), high);

  function downhill(direction, q, notch = MU.step) {
    let best = { q, value: kl(direction, q) - 1e-12 };
    for (const m of [-notch, 0, notch]) for (const s of [-notch, 0, notch]) {
      const next = [within(q[0] + m, MU), within(q[1] + s, LOG_VAR)].map((value) => Math.round(1e6 * value) / 1e6);
      const value = kl(direction, next);
      if (value < best.value) best = { q: next, value };
    }
    return best.q === q ? null : best.q;
  }

  function rest(direction, q, notch) {
    for (let next = q; next; next = downhill(direction, q, notch)) q = next;
    return q;
  }

  /** The lowest that a Gaussian can have: from each peak and from across both, downhill in ever smaller notches. */
  function lowest(direction) {
    const starts = [[-2.2, -1], [1.7, -0.4], [0.1, 1.4]];
    const best = (q) => [0.1, 0.01, 0.001].reduce((at, notch) => rest(direction, at, notch), q);
    return Math.min(...starts.map((q) => kl(direction, best(q))));
  }

  const where = (mu) => {
    const peak = PARTS.findIndex(({ mean, sd }) => Math.abs(mu - mean) < sd);
    return peak < 0 ? "between the peaks" : `on the ${["left", "right"][peak]} peak`;
  };

  const WHY = {
    forward: "It pays wherever p is and q is not, and so covers both.",
    reverse: "It pays wherever q is and p is not, in the valley above all.",
  };

  /** What this q shows; `at` has the directions for which it is a resting place, `above` what they miss of the lowest. */
  function reading({ q, at, above, bet }) {
    if (!at.length) {
      const [p, other] = ["forward", "reverse"].map((direction) => format(dearest(direction, q), 1));
      const reverse = `KL(q ‖ p) at ${other}, where q is and p is not`;
      const now = `KL(p ‖ q) charges most at x = ${p}, where p is and q is not; ${reverse}.`;
      return bet ? now : `${now} Bet, then walk.`;
    }
    const [direction] = at;
    const low = above[direction] < 0.02;
    const height = low ? "its lowest" : `${format(above[direction], 2)} nats above its lowest`;
    const place = `${NAMES[direction]} rests, q ${where(q[0])}: ${height}.`;
    if (!bet) return `${place} Bet, then walk.`;
    if (!low) return `${place} Every notch leads uphill. From another start it ends elsewhere.`;
    const won = bet === NAMES.forward ? "As you bet" : "Not as you bet";
    return `${place} ${won}: at the lowest only KL(p ‖ q) is between. ${WHY[direction]}`;
  }

  return { BETS, LOG_VAR, MU, NAMES, charge, dearest, downhill, kl, logP, lowest, reading, rest, where };
})();

Explorers.panel.mount("divergences", "Two divergences by hand", [], (live) => {
  const { axes, bet, button, change, element, path, readout, sentence, slider, table } = Explorers.panel;
  const { BETS, LOG_VAR, MU, NAMES, charge, downhill, kl, logP, lowest, reading, rest } = Explorers.divergences;
  const { logNormal } = Explorers.network;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const directions = Object.keys(NAMES);
  const xs = Array.from({ length: 281 }, (_, i) => -7 + i / 20);
  const xTicks = [-6, -4, -2, 0, 2, 4, 6];

  const note = (on, name, y, text) => on.layer.append(element("text", { class: `note ${name}`, x: on.x(-6.8), y }, text));
  const densities = axes("The target p in gray and the Gaussian q in green", { x: [-7, 7], y: [0, 0.7], height: 210,
    xLabel: "x", yLabel: "density", xTicks, yTicks: [0, 0.2, 0.4, 0.6] });
  const gaussian = element("path", { class: "curve all" });
  const target = path(densities, [-7, ...xs, 7], [0, ...xs.map((x) => Math.exp(logP(x))), 0]);
  densities.inside.append(element("path", { class: "area", d: target }), gaussian);
  note(densities, "", 44, "p, gray");
  note(densities, "all", 62, "q, green");

  const charges = axes("What each divergence charges at each x", { x: [-7, 7], y: [-0.4, 1.2], height: 230,
    xLabel: "x", yLabel: "charged, nats per unit of x", xTicks, yTicks: [-0.4, 0, 0.4, 0.8, 1.2] });
  const curves = { forward: element("path", { class: "curve q" }), reverse: element("path", { class: "curve reverse" }) };
  const zero = element("path", { class: "mark", d: `M${charges.x(-7)} ${charges.y(0)}H${charges.x(7)}` });
  charges.inside.append(zero, ...Object.values(curves));
  charges.layer.append(element("text", { class: "note q", x: charges.x(-7), y: 225 }, "KL(p ‖ q), blue"), // under the curves
    element("text", { class: "note reverse end", x: charges.x(7), y: 225 }, "KL(q ‖ p), vermilion"));

  const shown = directions.map(() => [readout(3), readout(3)]);
  const least = directions.map(lowest);
  shown.forEach(([, second], i) => second.show(least[i]));
  const said = sentence();
  let frame = 0;

  function update() {
    const q = [mu.value, logVar.value];
    const now = directions.map((direction) => kl(direction, q));
    change(gaussian, { d: path(densities, xs, xs.map((x) => Math.exp(logNormal(x, ...q)))) });
    directions.forEach((direction, i) => {
      change(curves[direction], { d: path(charges, xs, xs.map((x) => charge(direction, x, q))) });
      shown[i][0].show(now[i]);
      walks[i].disabled = !wager.value;
    });
    if (live.dataset.state === "walking") return said.say("Downhill, notch by notch …");
    said.say(reading({ q, at: directions.filter((direction) => !downhill(direction, q)), bet: wager.value,
      above: Object.fromEntries(directions.map((direction, i) => [direction, now[i] - least[i]])) }));
  }

  const put = ([m, s]) => (mu.set(m), logVar.set(s));

  /** Notch by notch, one a frame, or all at once for whom nothing shall move. */
  function walk(direction) {
    const q = [mu.value, logVar.value];
    const next = still ? rest(direction, q) : downhill(direction, q);
    live.dataset.state = next && !still ? "walking" : "over";
    if (!next) return update();
    put(next);
    if (!still) frame = requestAnimationFrame(() => walk(direction));
  }

  function stop() {
    cancelAnimationFrame(frame);
    live.dataset.state = "over";
  }

  const mu = slider("μ", "Center of q", MU, update);
  const logVar = slider("log σ²", "Log of the variance of q", LOG_VAR, update);
  const wager = bet("At its lowest, which one leaves q between the peaks?", BETS, update);
  const walks = directions.map((direction) => button(`down ${NAMES[direction]}`, () => (stop(), walk(direction))));
  live.addEventListener("input", stop, { capture: true }); // a hand on a slider, before the slider itself hears of it
  live.append(
    element("div", { class: "wide" }, densities.node, charges.node),
    element("div", { class: "narrow" }, wager.node, mu.node, logVar.node,
      element("div", { class: "explorer-buttons", role: "group", "aria-label": "Walk downhill" },
        element("span", { class: "explorer-title" }, "Walk"), ...walks),
      table("In nats", ["now", "lowest"], Object.fromEntries(directions.map((direction, i) =>
        [NAMES[direction], shown[i].map(({ node }) => node)]))), said.node),
  );
  update();
});
