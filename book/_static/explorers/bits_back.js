/* Bits back, step by step: a whole number is the stack, and the reader's steps give back images and stack. */
"use strict";

Explorers.bits_back = (() => {
  const { sum, uniforms } = Explorers.network;
  const { format } = Explorers.panel;
  // The chapter's toy: two z, three x, and distributions in whole numbers, M in all.
  const [M, LIMIT] = [16, 300]; // at most so many images
  const P_Z = [5, 11];
  const P_X = [[2, 4, 10], [9, 6, 1]]; // P_X[z][x]
  const Q_Z = [[3, 13], [6, 10], [15, 1]]; // Q_Z[x][z]

  // The coder: in each block of M numbers, f[y] in a row belong to the symbol y.
  const before = (f, y) => sum(f.slice(0, y));
  const digit = (s) => Number(s % BigInt(M));
  const put = (s, y, f) => (s / BigInt(f[y])) * BigInt(M) + BigInt(before(f, y)) + (s % BigInt(f[y]));

  function take(s, f) {
    const y = f.findIndex((_, i) => digit(s) < before(f, i + 1));
    return [(s / BigInt(M)) * BigInt(f[y]) + BigInt(digit(s) - before(f, y)), y];
  }

  /** log2 of a whole number, from its 13 highest hexadecimal digits. */
  function bits(s) {
    const digits = s.toString(16);
    return Math.log2(parseInt(digits.slice(0, 13), 16)) + 4 * Math.max(digits.length - 13, 0);
  }

  /** The last digit mixed with one from deep below, so that what is popped next is random; done twice, it is undone. */
  const mix = (s) => s ^ ((s >> 64n) & BigInt(M - 1));

  // Sender and reader. `done` counts the sender's steps of the image that is under way: pop z, push x, push z.
  function forward({ s, done, x, z }, next) {
    if (done === 0) {
      const [rest, drawn] = take(mix(s), Q_Z[next]);
      return { s: rest, done: 1, x: next, z: drawn };
    }
    return done === 1 ? { s: put(s, x, P_X[z]), done: 2, x, z } : { s: put(s, z, P_Z), done: 0, x, z };
  }

  /** The reader's step, which undoes the last of the sender's: it knows the stack, and what it has popped from it. */
  function back({ s, done, x, z }) {
    if (done === 1) return { s: mix(put(s, z, Q_Z[x])), done: 0, x, z };
    const [rest, read] = take(s, done === 0 ? P_Z : P_X[z]);
    return done === 0 ? { s: rest, done: 2, z: read } : { s: rest, done: 1, x: read, z };
  }

  /** What a step has used: the distribution, its symbol, and the name of both. The sender's steps are 0, 1, 2. */
  const used = (step, { x, z }) =>
    [[Q_Z[x], z, `q(z | x = ${x})`, "z"], [P_X[z], x, `p(x | z = ${z})`, "x"], [P_Z, z, "p(z)", "z"]][step];

  /** A stack of random bits, and images drawn from the model. */
  function source(seed) {
    const uniform = uniforms(seed);
    const random = Array.from({ length: 200 }, () => Math.round(uniform())).join("");
    const owners = [0, 1, 2].flatMap((x) => Array(Math.round(evidence(x) * M ** 2)).fill(x));
    return { stack: BigInt(`0b1${random}`), images: Array.from({ length: LIMIT }, () => owners[Math.floor(uniform() * M ** 2)]) };
  }

  // Exact mean costs in bits, by sums over z and x.
  const evidence = (x) => sum([0, 1].map((z) => (P_Z[z] / M) * (P_X[z][x] / M)));
  const overQ = (x, f) => sum([0, 1].map((z) => (Q_Z[x][z] / M) * f(z)));
  const entropyOfQ = (x) => overQ(x, (z) => -Math.log2(Q_Z[x][z] / M));
  const pushed = (x) => overQ(x, (z) => -Math.log2((P_Z[z] / M) * (P_X[z][x] / M)));
  const negativeElbo = (x) => pushed(x) - entropyOfQ(x);
  const average = (f) => sum([0, 1, 2].map((x) => evidence(x) * f(x)));
  const entropy = average((x) => -Math.log2(evidence(x)));

  /** For each whole image, from the lengths of the stack: bits an image so far, with what was popped and without. */
  function costs(lengths) {
    let without = 0;
    return Array.from({ length: Math.floor((lengths.length - 1) / 3) }, (_, i) => {
      without += lengths[3 * i + 3] - lengths[3 * i + 1];
      return { images: i + 1, back: (lengths[3 * i + 3] - lengths[0]) / (i + 1), without: without / (i + 1) };
    });
  }

  /** What a step of the sender has done, or one of the reader that undoes it, from the stack s to the state. */
  function told(step, s, state, reader) {
    const [[f, y, name, what], grown] = [used(step, state), bits(state.s) - bits(s)];
    const [verb, size] = grown < 0 ? ["pops", "shorter"] : ["pushes", "longer"];
    return `The ${reader ? "reader" : "sender"} ${verb} ${what} = ${y} with ${name}, where it has ${f[y]} of 16. `
      + `The stack is ${format(Math.abs(grown), 2)} bits ${size}.`;
  }

  const ANSWERS = ["nothing", "1 bit: z is one of two", "the entropy of q(z | x)"];
  const START = "Two z, three x, and a stack of 200 random bits. To pop z from random bits is to draw it.";
  const verdict = (bet) => `${bet === ANSWERS[2] ? "You were right" : "Not as you bet"}: ${format(average(entropyOfQ), 2)} bits, \
the mean entropy of q(z | x). Popping z takes as many off the stack: random bits that were there choose z.`;
  return { ANSWERS, LIMIT, START, average, back, bits, costs, entropy, entropyOfQ, evidence, forward, negativeElbo, pushed, put, source,
    take, told, verdict };
})();

Explorers.panel.mount("bits_back", "The stack of a bits-back coder", [], (live) => {
  const { axes, bet, button, change, element, format, path, readout, sentence, table } = Explorers.panel;
  const { ANSWERS, LIMIT, START, average, back, bits, costs, entropy, forward, negativeElbo, pushed, source, told, verdict } =
    Explorers.bits_back;
  const steps = axes("By how many bits each step of this image has changed the stack", { x: [-5, 4], y: [0, 3], height: 230,
    xLabel: "bits", xTicks: [-4, -2, 0, 2, 4] });
  const bars = ["pop z", "push x", "push z"].map((name, i) => {
    const bar = element("rect", { y: steps.y(3 - i) + 30, height: 22 });
    steps.layer.append(bar, element("text", { x: steps.x(-4.9), y: steps.y(3 - i) + 24 }, name));
    return bar;
  });
  const [mean, meanName] = [element("path", { class: "mark aim" }), element("text", { class: "note end", x: steps.x(3.9), y: 22 })];
  steps.layer.append(mean, meanName);

  const run = axes("Bits an image so far, with and without bits back, and their exact means", { x: [0, LIMIT], y: [1, 3],
    height: 320, xLabel: "images", yLabel: "bits an image", xTicks: [0, 100, 200, 300], yTicks: [1, 1.5, 2, 2.5, 3] });
  const mark = (value, name, at) => element("g", {},
    element("path", { class: "mark", d: `M${run.x(0)} ${run.y(value)}H${run.x(LIMIT)}` }),
    element("text", { class: "note end", x: run.x(LIMIT), y: run.y(value) + at }, name));
  const curves = { back: element("path", { class: "curve q" }), without: element("path", { class: "curve all" }) };
  const secret = mark(average(pushed), "without bits back", 16); // until there is a bet
  run.layer.append(mark(average(negativeElbo), "−ELBO / log 2", -6), mark(entropy, "entropy", 16), secret);
  run.inside.append(...Object.values(curves));

  const rows = { "images": 0, "length of the stack": 2, "an image, so far": 3, "−ELBO / log 2": 3, "without bits back, so far": 3,
    "without bits back, mean": 3 }; // and how many digits each shows
  const shown = Object.values(rows).map(readout);
  const said = sentence();
  const { stack, images } = source(1);
  const stacks = [stack]; // at first, and after each step of the sender that is not undone
  let state = { s: stack, done: 0 };

  /** One step of the sender, or of the reader. */
  function go(reader) {
    const [step, { s }] = [(state.done + (reader ? 2 : 0)) % 3, state];
    state = reader ? back(state) : forward(state, images[(stacks.length - 1) / 3]);
    reader ? stacks.pop() : stacks.push(state.s);
    return told(step, s, state, reader);
  }

  function draw(text) {
    const lengths = stacks.map(bits);
    const [soFar, open] = [costs(lengths), betting.value !== null];
    const image = Math.max(Math.ceil((stacks.length - 1) / 3) - 1, 0); // the last, perhaps under way
    const own = lengths.slice(3 * image, 3 * image + 4);
    bars.forEach((bar, i) => {
      const [from, to] = [own[i] ?? own[0], own[i + 1] ?? own[i] ?? own[0]].map((length) => steps.x(length - own[0]));
      change(bar, { class: to < from ? "gap" : "bound", x: Math.min(from, to), width: Math.abs(to - from) });
    });
    const expected = negativeElbo(images[image]);
    change(mean, { d: `M${steps.x(expected)} ${steps.y(3)}V${steps.y(0)}` });
    meanName.textContent = `x = ${images[image]}: −ELBO / log 2 = ${format(expected, 2)}`;
    const drawn = (name) => (soFar.length ? path(run, soFar.map((row) => row.images), soFar.map((row) => row[name])) : "");
    change(curves.back, { d: drawn("back") });
    change(curves.without, { d: open ? drawn("without") : "" });
    change(secret, { visibility: open ? "visible" : "hidden" });
    const { images: n = 0, back: cost = NaN, without = NaN } = soFar.at(-1) ?? {};
    [n, lengths.at(-1), cost, average(negativeElbo), open ? without : NaN, open ? average(pushed) : NaN]
      .forEach((value, i) => shown[i].show(value));
    said.say(text);
  }

  const one = () => draw(stacks.length < 3 * LIMIT + 1 ? go(false) : "The picture is full: let the reader read.");
  function many() {
    const goal = Math.min(3 * Math.floor((stacks.length - 1) / 3 + 100), 3 * LIMIT);
    while (stacks.length <= goal) go(false);
    const { images: n, back: cost } = costs(stacks.map(bits)).at(-1);
    draw(`${n} images at ${format(cost, 2)} bits each. The mean settles at −ELBO / log 2. \
No code comes below the entropy, lower by KL(q ‖ posterior).`);
  }
  const undo = () => draw(stacks.length > 1 ? `${go(true)} ${state.s === stacks.at(-1) ? "As it was before the sender's step." : ""}` : START);
  function undoAll() {
    const n = Math.ceil((stacks.length - 1) / 3);
    while (stacks.length > 1) go(true);
    const is = state.s === stack ? "is the number that it was, to the last bit" : "is another";
    draw(n ? `${n} images read, the last one first. The stack ${is}.` : START);
  }

  const betting = bet("If z is drawn and not popped, an image costs more, on average by", ANSWERS, () => draw(verdict(betting.value)));
  const buttons = [button("step", one), button("100 images", many), button("step back", undo), button("read all", undoAll)];
  live.append(
    element("div", { class: "wide" }, steps.node, run.node),
    element("div", { class: "narrow" }, element("div", { class: "explorer-buttons" }, ...buttons), said.node, betting.node,
      table("In bits", [], Object.fromEntries(Object.keys(rows).map((name, i) => [name, [shown[i].node]])))),
  );
  draw(START);
});
