/* Twenty numbers: a drawing, what the encoder says of it, and what the decoder makes of the numbers alone. */
"use strict";

Explorers.numbers = (() => {
  const { sum } = Explorers.network;
  const N = 20;
  const LIMIT = 3; // of a number, either way
  const within = (value) => Math.min(Math.max(value, -LIMIT), LIMIT);

  /** Which number a key takes to which value: left and right choose one, up and down change it; null for other keys. */
  function keyed(chosen, z, key, long) {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (way) return [Math.min(Math.max(chosen + way, 0), N - 1), null];
    const step = { ArrowDown: -1, ArrowUp: 1 }[key];
    if (step) return [chosen, within(z[chosen] + step * (long ? 1 : 0.1))];
    return key === "Home" ? [chosen, 0] : null;
  }

  const black = (image) => Array.from(image, (value) => value > 0.5);

  /** Of the black pixels of one image: how many there are, how many are black in the other, how many are black there alone. */
  function compared(one, other) {
    const [ours, theirs] = [black(one), black(other)];
    const count = (holds) => sum(ours.map((value, i) => Number(holds(value, theirs[i]))));
    return { all: count((a) => a), back: count((a, b) => a && b), added: count((a, b) => !a && b) };
  }

  const changed = (one, other) => {
    const { all, back, added } = compared(one, other);
    return all - back + added;
  };

  /** How many pixels each number can change by itself: at its lowest or its highest, the more of the two. */
  function reaches(z, decode) {
    const [start, ends] = [decode(z), [-LIMIT, LIMIT]];
    return Array.from(z, (_, l) => Math.max(...ends.map((end) => changed(start, decode(z.map((old, i) => (i === l ? end : old)))))));
  }

  /** What is said of number l, by what all of them can do. */
  function rank(all, l) {
    const most = Math.max(...all);
    const rest = all[l] === most ? "more than any other" : all[l] === Math.min(...all) ? "less than any other"
      : `number ${all.indexOf(most) + 1} the most, ${most}`;
    return `By itself it can change up to ${all[l]}, ${rest}.`;
  }

  const BETS = ["10", "100", "500"];

  /** Of a bet on how many pixels the strongest number can change, by what all of them can do. */
  function judged(bet, all) {
    const [most, least] = [Math.max(...all), Math.min(...all)];
    const off = (answer) => Math.abs(Math.log(most / answer));
    const right = BETS.reduce((best, answer) => (off(answer) < off(best) ? answer : best));
    const number = (count) => `number ${all.indexOf(count) + 1}`;
    return `${bet === right ? "You were right" : "Not as you bet"}: ${number(most)} can change up to ${most}, ` +
      `${number(least)} no more than ${least}. Move both: what does each bend?`;
  }

  return { BETS, LIMIT, N, black, changed, compared, judged, keyed, rank, reaches, within };
})();

Explorers.panel.mount("numbers", "Twenty numbers", ["paper", "start"], (live) => {
  const { bet, button, change, element, format, image, load, sentence } = Explorers.panel;
  const { decodeMean, encode, standardNoise } = Explorers.network;
  const { isBlank, sheet } = Explorers.paper;
  const { BETS, LIMIT, N, black, changed, compared, judged, keyed, rank, reaches, within } = Explorers.numbers;
  const start = Explorers.start;

  const fills = Array.from({ length: N }, () => element("span"));
  const bars = element("div", { class: "bars", tabindex: 0, role: "slider", "aria-label": "The twenty numbers",
    "aria-valuemin": -LIMIT, "aria-valuemax": LIMIT, "aria-roledescription": "row of twenty numbers" }, ...fills);
  const output = image("What the decoder makes of the numbers");
  const said = sentence();
  let [z, drawn, before, chosen, all] = [start.mu, start.digit, start.mean, -1, null]; // no number is chosen

  function show(mean) {
    output.show(mean);
    fills.forEach((fill, l) => {
      const half = 50 * within(z[l]) / LIMIT; // percent, up from the middle
      change(fill, { style: `--low: ${Math.min(half, 0) + 50}%; --tall: ${Math.abs(half)}%`, class: l === chosen ? "chosen" : "" });
    });
    const l = Math.max(chosen, 0);
    const spoken = format(z[l], 1).replace("−", "-");
    change(bars, { "aria-valuenow": spoken, "aria-valuetext": `number ${l + 1}: ${spoken}` });
  }
  function told(mean) {
    const { all, back, added } = compared(drawn, mean);
    said.say(`${back} of ${all} black pixels come back, ${added} are new: the decoder saw the twenty numbers alone.`);
  }

  // The networks come with the first touch: a page that is only read does not wait for them.

  const ready = () => Promise.all(["encoder20", "decoder20"].map(load));
  let asked = 0;
  async function answer(how) {
    const turn = ++asked;
    await ready();
    if (turn === asked) how();
  }
  ["pointerenter", "focusin"].forEach((kind) => live.addEventListener(kind, ready, { once: true }));

  function begin() {
    [before, all] = [decodeMean(z, "decoder20"), null];
    guess.choose(null);
    show(before);
  }
  const look = (gray) => answer(() => {
    drawn = Float32Array.from(black(gray), Number);
    z = isBlank(drawn) ? new Float64Array(N) : encode(drawn, "encoder20").mu;
    begin();
    if (isBlank(drawn)) said.say("No ink: all numbers at 0, the middle of the prior. Draw a digit.");
    else told(before);
  });
  const reach = () => (all ??= reaches(z, (numbers) => decodeMean(numbers, "decoder20"))); // of these, before one is moved
  const guess = bet("About how many pixels can one number change?", BETS, () =>
    guess.value && answer(() => said.say(judged(guess.value, reach()))));
  const set = (l, value) => answer(() => {
    chosen = l;
    reach();
    z = z.map((old, i) => (i === l && value !== null ? value : old));
    const mean = decodeMean(z, "decoder20");
    show(mean);
    said.say(`Number ${l + 1} at ${format(z[l], 1)}: ${changed(before, mean)} of 784 pixels changed sides. ${rank(all, l)}`);
  });
  let seed = 0;
  function makeUp() {
    paper.clear(); // these numbers come from no drawing
    answer(draw);
  }
  function draw() {
    z = Float64Array.from(standardNoise(N, ++seed));
    begin();
    said.say("Twenty random numbers, from the prior: an image that nobody drew. Often a digit, sometimes between two.");
  }

  const paper = sheet((gray) => gray !== start.digit && look(gray));

  // A pointer sets the number under it. A finger that moves up or down scrolls the page, so it sets them on its way across.

  function point(event) {
    const box = bars.getBoundingClientRect();
    const l = Math.floor(((event.clientX - box.left) / box.width) * N);
    set(Math.min(Math.max(l, 0), N - 1), within(LIMIT * (1 - (2 * (event.clientY - box.top)) / box.height)));
  }
  bars.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "touch") return;
    bars.setPointerCapture(event.pointerId);
    point(event);
  });
  bars.addEventListener("pointermove", (event) => event.buttons && point(event));
  bars.addEventListener("click", point);
  bars.addEventListener("keydown", (event) => {
    const to = keyed(Math.max(chosen, 0), z, event.key, event.shiftKey);
    if (!to) return;
    event.preventDefault();
    set(...to);
  });

  const labelled = (name, node, text) => element("div", { class: `explorer-labelled ${name}` }, node, element("span", {}, text));
  live.append(
    labelled("given", paper.node, "an image"), labelled("code", bars, "20 numbers, from −3 to 3"), labelled("made", output.node, "made of them"),
    element("div", { class: "explorer-buttons row" }, button("Clear", paper.clear), button("Undo", paper.undo), button("Make one up", makeUp)),
    said.node, guess.node,
  );
  paper.take(start.digit);
  show(start.mean);
  told(start.mean);
});
