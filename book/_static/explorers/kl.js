/* The Gaussian KL as a landscape over (μ, log σ²), and its pull, which can be let act. */
"use strict";

Explorers.kl = (() => {
  const { klStandardNormal } = Explorers.network;
  const MU = [-3.2, 3.2];
  const LOG_VAR = [-5, 2.5];
  const LINES = [[0.1, -0.3], [0.5, -0.85], [1, -1.6], [2, -1.97], [3, -2.59], [4, -3.18], [5, -3.75]]; // nats; where named
  const [STEP, NEAR, CLOSED] = [0.1, 0.1, 0.0005]; // of the descent; of a coordinate that has arrived; shown as 0.000
  /** What the KL is made of, in nats. */
  const parts = (mu, logVar) => ({ mean: klStandardNormal(mu, 0), variance: klStandardNormal(0, logVar) });
  /** Minus the gradient, with respect to μ and log σ². */
  const pull = (mu, logVar) => [-mu, -0.5 * Math.expm1(logVar)];

  /** Where the variance's part reaches so many nats: on this side of 0, by bisection. */
  function reach(nats, side) {
    let [inside, outside] = [0, side * (2 * nats + 2 * Math.sqrt(nats) + 1)];
    for (let i = 0; i < 60; i++) {
      const middle = (inside + outside) / 2;
      [inside, outside] = klStandardNormal(0, middle) < nats ? [middle, outside] : [inside, middle];
    }
    return inside;
  }

  /** The μ ≥ 0 at which the KL is so many nats. */
  const width = (nats, logVar) => Math.sqrt(Math.max(2 * (nats - klStandardNormal(0, logVar)), 0));
  /** The line of so many nats, from its highest point to the lowest on the right, and back on the left. */
  function contour(nats) {
    const [low, high] = [reach(nats, -1), reach(nats, 1)];
    const right = Array.from({ length: 121 }, (_, i) => {
      const logVar = low + (high - low) * 0.5 * (1 + Math.cos((Math.PI * i) / 120));
      return [width(nats, logVar), logVar];
    });
    return [...right, ...right.map(([mu, logVar]) => [-mu, logVar]).reverse()];
  }

  /** All places of a descent in small steps, to the prior. */
  function descent(start) {
    const places = [start];
    while (klStandardNormal(...places.at(-1)) >= CLOSED) {
      const force = pull(...places.at(-1));
      places.push(places.at(-1).map((value, i) => value + STEP * force[i]));
    }
    return places;
  }

  /** After how many steps each coordinate has come near. */
  const arrivals = (places) => [0, 1].map((i) => places.findIndex((place) => Math.abs(place[i]) < NEAR));
  /** What is said of a place. */
  function told(mu, logVar) {
    const { format } = Explorers.panel;
    if (klStandardNormal(mu, logVar) < CLOSED) return "q is the prior: nothing pulls, and z says nothing about x.";
    const part = parts(mu, logVar);
    const force = pull(mu, logVar).map(Math.abs);
    const crossed = (part.mean - part.variance) * (force[0] - force[1]) < 0;
    const aside = crossed ? " Here the larger part of the KL has the weaker pull." : "";
    const ratio = Math.exp(Math.abs(logVar));
    const times = format(ratio, ratio < 10 ? 1 : 0);
    const [ofMean, ofVariance] = force.map((value) => format(value, 2));
    if (Math.abs(logVar) < 0.05) return `σ² is right: only the spring of the mean is left, with a pull of ${ofMean}.`;
    const small = `small, and pulled up with ${ofVariance}, never with more than 0.5. As many times too large, it would be pulled`;
    const large = `large, and pulled down with ${ofVariance}. As many times too small, it would be pulled up, but`;
    const rest = logVar < 0 ? `${small} down ${times} times as hard.` : `${large} ${times} times less.`;
    return `σ² is ${times} times too ${rest}${aside}`;
  }

  const BETS = ["μ", "log σ²"];
  /** What is said of a descent that is over. */
  function verdict(places, bet) {
    const [mean, variance] = arrivals(places);
    const logVar = places[0][1];
    const steps = `μ came near 0 after ${mean} steps, log σ² after ${variance}.`;
    if (mean === variance) return `A tie: both came near 0 after ${mean} steps.`;
    const won = BETS[Number(variance < mean)] === bet ? "You were right:" : "Not as you bet:";
    if (variance < mean) return `${won} ${steps} It had the shorter way: as far from the prior, μ is pulled twice as hard.`;
    const slow = logVar < 0 ? "From below, log σ² is never pulled with more than 0.5, however far it has to go."
      : "A large σ² falls fast, but close to the prior log σ² is pulled half as hard as μ.";
    return `${won} ${steps} ${slow}`;
  }

  return { BETS, LINES, LOG_VAR, MU, arrivals, contour, descent, parts, pull, told, verdict, width };
})();

Explorers.panel.mount("kl", "The Gaussian KL and its pull", ["handle"], (live) => {
  const { axes, bet, button, change, element, path, readout, sentence, table, through } = Explorers.panel;
  const { BETS, LINES, LOG_VAR, MU, contour, descent, parts, pull, told, verdict, width } = Explorers.kl;
  const { logNormal, sum } = Explorers.network;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const plane = axes("Lines of equal KL divergence over μ and log σ², the point, and its pull", { x: MU, y: LOG_VAR,
    height: 50 + (312 / 6.4) * 7.5, // one scale for both: the pull is at right angles to the lines
    xLabel: "μ", yLabel: "log σ²", xTicks: [-3, -2, -1, 0, 1, 2, 3], yTicks: [-5, -4, -3, -2, -1, 0, 1, 2] });
  for (const [nats, logVar] of LINES) {
    const points = contour(nats);
    plane.inside.append(element("path", { class: nats === 1 ? "contour one" : "contour",
      d: `${through(plane, points)}Z` }));
    const place = { x: plane.x(-width(nats, logVar)), y: plane.y(logVar) + 4 };
    plane.layer.append(element("text", { class: "note middle", ...place }, nats === 1 ? "1 nat" : nats));
  }
  const trail = element("path", { class: "trail" });
  const arrows = [0, 1].map(() => element("path", { class: "pull part" })); // of μ, of log σ²
  const arrow = element("path", { class: "pull" });
  plane.inside.append(trail, ...arrows, arrow);
  /** An arrow from a place, as long as the pull in the units of the axes. */
  function drawn([mu, logVar], [across, up]) {
    const [x, y] = [plane.x(mu + across), plane.y(logVar + up)];
    const [dx, dy] = [x - plane.x(mu), y - plane.y(logVar)];
    const long = Math.hypot(dx, dy);
    if (long < 1) return "";
    const barb = (side) => `L${x - (8 * dx + side * 5 * dy) / long} ${y - (8 * dy - side * 5 * dx) / long}`;
    return `M${plane.x(mu)} ${plane.y(logVar)}L${x} ${y}${barb(1)}M${x} ${y}${barb(-1)}`;
  }

  const bells = axes("The density of q in blue, that of the prior in gray", { x: [-5, 5], y: [0, 1], height: 150,
    xLabel: "z", yLabel: "density", xTicks: [-4, -2, 0, 2, 4], yTicks: [0, 0.5, 1] });
  const zs = Array.from({ length: 401 }, (_, i) => -5 + i / 40);
  const [bell, q] = [(q) => path(bells, zs, zs.map((z) => Math.exp(logNormal(z, ...q)))), element("path", { class: "curve q" })];
  bells.inside.append(element("path", { class: "area", d: bell([0, 0]) }), q);
  const note = (name, y, text) => element("text", { class: `note ${name}`, x: bells.x(-4.85), y }, text);
  bells.layer.append(note("", 42, "prior, gray"), note("q", 60, "q, blue"));

  const shown = [[3, 2], [3, 2], [3]].map((digits) => digits.map(readout)); // of the mean, of the variance, together
  const said = sentence();
  let [frame, places] = [0, []];
  function update(place) {
    const [part, force] = [Object.values(parts(...place)), pull(...place)];
    change(arrow, { d: drawn(place, force) });
    arrows.forEach((node, i) => change(node, { d: drawn(place, force.map((value, j) => (i === j ? value : 0))) }));
    change(q, { d: bell(place) });
    [[part[0], force[0]], [part[1], force[1]], [sum(part)]].forEach((row, i) => row.forEach((value, j) => shown[i][j].show(value)));
    if (live.dataset.state !== "running") said.say(told(...place));
  }

  function stop() {
    cancelAnimationFrame(frame);
    live.dataset.state = "still";
  }
  function taken() { // by a hand: the way of another point is not this one's
    stop();
    change(trail, { d: "" });
  }

  function act() {
    stop();
    if (!guess.value) return said.say("First bet: which of the two will come near 0 first?");
    const [way, chosen] = [descent(at.point), guess.value];
    if (way.length === 1) return said.say("q is the prior already: take the point elsewhere.");
    places = way;
    live.dataset.state = "running";
    said.say("It pulls …");
    const dots = places.map(([mu, logVar]) => `M${plane.x(mu).toFixed(2)} ${plane.y(logVar).toFixed(2)}h0`);
    let n = 0;
    frame = requestAnimationFrame(function on() {
      n = still ? places.length - 1 : n + 1;
      at.set(places[n]);
      change(trail, { d: dots.slice(0, n + 1).join("") });
      if (n < places.length - 1) return (frame = requestAnimationFrame(on));
      live.dataset.state = "over";
      said.say(verdict(places, chosen));
    });
  }

  function back() {
    stop();
    if (places.length) at.set(places[0]);
  }
  const guess = bet("Let it pull: which comes near 0 first?", BETS, () => {});
  const at = Explorers.handle.handle(plane, "Point in the plane of mean and log-variance", ["μ", "log σ²"], update);
  for (const kind of ["pointerdown", "keydown"]) plane.node.addEventListener(kind, taken, { capture: true });
  plane.layer.append(at.node);
  const cells = shown.map((row) => row.map(({ node }) => node));
  live.append(
    element("div", { class: "wide" }, plane.node, bells.node),
    element("div", { class: "narrow" },
      guess.node, element("div", { class: "explorer-buttons" }, button("Let it pull", act), button("Back", back)), said.node,
      table("The KL, part by part", ["nats", "pull, per unit"], { "μ": cells[0], "log σ²": cells[1], "sum": cells[2] }),
      element("p", { class: "explorer-hint" },
        "Drag the point, or select it and use the arrow keys (Shift: long steps; Home: the prior). Near: within 0.1.")),
  );
  at.set([2, -4]);
});
