/* Randomness as a value: the mean of K draws, in loops that carry their key on, and in loops that do not. */
"use strict";

Explorers.keys = (() => {
  const { mean, standardError } = Explorers.network;
  const LONGEST = 64;
  const SEED = { low: 0, high: 20, step: 1, start: 0, digits: 0 };
  const ROUNDS = { low: 1, high: LONGEST, step: 1, start: 8, digits: 0 };
  const N_KEYS = 256; // for the measured error

  // The loops: in round k, with a key in hand, the round's own key, and the key in hand for the next.

  const child = (key, i) => Explorers.threefry.child(key, i);
  const LOOPS = {
    "key, own = split(key)": (key) => [child(key, 1), child(key, 0)],
    "own = split(key, K)[k]": (key, k) => [child(key, k), key],
    "own, _ = split(key)": (key) => [child(key, 0), key],
    "own = key": (key) => [key, key],
  };
  const [CARRIED, , DROPPED, SAME] = Object.keys(LOOPS);
  const repeats = (loop) => loop === DROPPED || loop === SAME;

  /** The own keys of n rounds. */
  function keys(loop, seed, n) {
    let [own, key] = [null, Explorers.threefry.fromSeed(seed)];
    return Array.from({ length: n }, (_, k) => ([own, key] = LOOPS[loop](key, k))[0]);
  }

  /** Draws of a gradient: 1 + ε, that of (z + ½)² with respect to μ at q = N(0, ¼). */
  const draws = (own) => own.map((key) => 1 + Explorers.threefry.normal(key));

  const means = (values) => values.map(((total) => (value, i) => (total += value) / (i + 1))(0)); // of the first 1, 2, …

  /** What draws claim by their own spread; one alone claims none. */
  const claim = standardError;

  /** The true one: only different keys count. */
  const error = (own) => 1 / Math.sqrt(new Set(own.map(String)).size);

  /** The root mean square of the errors of 256 seeds, after each round. */
  function measured(loop) {
    const all = Array.from({ length: N_KEYS }, (_, seed) => means(draws(keys(loop, seed, LONGEST))));
    return all[0].map((_, k) => Math.sqrt(mean(all.map((row) => (row[k] - 1) ** 2))));
  }

  const ANSWERS = ["1/8", "1", "0"];

  /** What is said of the own keys of a loop, and of the bet. */
  function verdict(loop, own, bet) {
    const { format } = Explorers.panel;
    const [K, values] = [own.length, draws(own)];
    const off = `${format(mean(values), 2)}, off by ${format(Math.abs(mean(values) - 1), 2)}`;
    if (K === 1) return `One round, one draw: ${off}. Its standard error is 1 in all four loops. Which of them lower it?`;
    if (!repeats(loop)) {
      return `${K} keys, ${K} numbers: the mean is ${off}. Standard error: 1/√${K} = ${format(error(own), 3)}; the draws claim ${format(claim(values), 3)}.`;
    }
    const won = bet && loop === DROPPED && K === LONGEST ? (bet === ANSWERS[1] ? "You were right. " : "Not as you bet. ") : "";
    const why = loop === SAME ? "One key" : "split changes nothing: key stays, and own with it";
    return `${won}${why}. ${K} times the draw ${off}. They agree, and claim no error at all; it is 1, as of one draw.`;
  }

  return { ANSWERS, CARRIED, DROPPED, LONGEST, LOOPS, ROUNDS, SEED, claim, draws, error, keys, mean, means, measured, repeats, verdict };
})();

Explorers.panel.mount("keys", "Splitting a key", ["threefry"], (live) => {
  const { axes, bet, change, element, path, readout, sentence, slider, table } = Explorers.panel;
  const { ANSWERS, CARRIED, DROPPED, LONGEST, LOOPS, ROUNDS, SEED, claim, draws, error, keys, mean, means, measured, repeats,
    verdict } = Explorers.keys;
  const across = { x: [0, LONGEST + 1], xTicks: [1, 16, 32, 48, LONGEST] };

  const rounds = axes("The draws, round by round, and in blue the mean so far, around the exact gradient", { ...across, y: [-3, 5],
    height: 210, xLabel: "round", yLabel: "draw of the gradient", yTicks: [-3, -1, 1, 3, 5] });
  const dots = element("path", { class: "draws" });
  const running = element("path", { class: "curve" });
  rounds.inside.append(element("path", { class: "curve exact", d: path(rounds, across.x, [1, 1]) }), dots, running);

  const errors = axes("The standard error of the mean: exact, measured, and what the draws claim", { ...across, y: [0, 1.6],
    height: 210, xLabel: "K", yTicks: [0, 0.5, 1, 1.5] });
  const [exact, claimed, rings] = ["curve", "curve score", "mark"].map((name) => element("path", { class: name }));
  errors.inside.append(exact, claimed, rings);
  [["q", "exact; circles: measured"], ["v", "dashed: what the draws claim"]].forEach(([name, text], i) =>
    errors.layer.append(element("text", { class: `note ${name}`, x: errors.x(13), y: 24 + 18 * i }, text)));

  const hexes = [1, 2, 3, 4].map(() => element("span", { class: "hex" }));
  const noises = hexes.map(() => readout(4));
  const shown = { mean: readout(4), claim: readout(4), error: readout(4), measured: readout(4) };
  const said = sentence();
  const known = {}; // what was measured, by loop

  function update() {
    const loop = choice.value;
    const open = guess.value || !repeats(loop); // what comes after the first round would tell
    const own = keys(loop, seed.value, open ? count.value : 1);
    const values = draws(own);
    const places = values.map((_, k) => k + 1);
    const curve = (node, at, value) => change(node, { d: at.length ? path(errors, at, at.map(value)) : "" });
    const ring = (k) => `M${errors.x(k) - 3} ${errors.y(known[loop][k - 1])}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0`;
    known[loop] ??= measured(loop);
    change(dots, { d: places.map((k) => `M${rounds.x(k).toFixed(2)} ${rounds.y(values[k - 1]).toFixed(2)}h0`).join("") });
    change(running, { d: path(rounds, places, means(values)) });
    curve(exact, places, (k) => error(own.slice(0, k)));
    curve(claimed, places.slice(1), (k) => claim(values.slice(0, k)));
    change(rings, { d: places.filter((k) => Number.isInteger(Math.log2(k))).map(ring).join("") });
    hexes.forEach((node, k) => {
      node.textContent = own[k] ? own[k].map((word) => word.toString(16).padStart(8, "0")).join(" ") : "–";
      noises[k].show(own[k] ? values[k] - 1 : NaN);
    });
    const numbers = { mean: mean(values), claim: claim(values), error: error(own), measured: known[loop][own.length - 1] };
    for (const [name, value] of Object.entries(numbers)) shown[name].show(value);
    said.say(open ? verdict(loop, own, guess.value) : "Bet first: what is the mean of 64 rounds worth? Here is the first of them.");
  }

  const guess = bet("64 rounds of own, _ = split(key): the mean's standard error", ANSWERS, () => {
    count.set(LONGEST);
    choice.choose(DROPPED);
  });
  const choice = bet("In each round, normal(own) after", Object.keys(LOOPS), update);
  const count = slider("K", "Number of rounds", ROUNDS, update);
  const seed = slider("seed", "Seed of the first key", SEED, update);
  live.append(
    element("div", { class: "wide" }, rounds.node, errors.node,
      table("The first rounds", ["own, two words", "ε"],
        Object.fromEntries(hexes.map((node, k) => [`round ${k + 1}`, [node, noises[k].node]])))),
    element("div", { class: "narrow" },
      guess.node, choice.node, count.node, seed.node, said.node,
      table("Mean of the draws", [], { "mean (exact: 1)": [shown.mean.node], "claimed error": [shown.claim.node],
        "exact error": [shown.error.node], "over 256 seeds": [shown.measured.node] })),
  );
  choice.choose(CARRIED);
});
