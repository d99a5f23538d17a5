/* What part of a difference between two tables is chance? The recorded rows against the published ones, and each other. */
"use strict";

Explorers.table = (() => {
  const PUBLISHED = { "VAE-1": 86.76, "VAE-5": 86.47, "IWAE-5": 85.54 }; // Burda et al. (2016), −log p(x) in nats
  const BINARIZATION = 6.3; // nats: how log p(x) of an image scatters over its binarizations, as the chapter measured it
  const ROUNDED = 0.01; // nats, of the published numbers
  const N = 10000; // test images
  const IMAGES = { low: 2, high: 4, step: 0.25, start: 4, digits: 0, meaning: (place) => Math.round(10 ** place) };
  const THEIRS = "theirs";
  const PAIRS = [["VAE-1", THEIRS], ["VAE-5", THEIRS], ["IWAE-5", THEIRS], ["IWAE-5", "VAE-1"], ["IWAE-5", "VAE-5"], ["VAE-5", "VAE-1"]];
  const BUDGETS = ["5 min", "30 min", "full"];

  const row = (name, budget) => Explorers.records.table.rows[`${name}, ${budget}`];
  const number = (name, other, budget) => (other === THEIRS ? PUBLISHED[name] : row(other, budget).nll);
  const difference = (name, other, budget) => row(name, budget).nll - number(name, other, budget);

  /** How the difference of two images' values scatters, in nats: on other images, and on those that both share, which
      are the gray ones where the other row is published, and the binary ones where both rows are ours. */
  function scatter(name, other, budget) {
    const ours = row(name, budget).stderr * Math.sqrt(N);
    if (other === THEIRS) return { apart: Math.SQRT2 * ours, shared: Math.SQRT2 * BINARIZATION };
    return { apart: Math.hypot(ours, row(other, budget).stderr * Math.sqrt(N)),
      shared: Explorers.records.table.spreads[`${name}, ${budget} - ${other}, ${budget}`] };
  }

  const chance = (spread, images) => (2 * spread) / Math.sqrt(images); // two standard errors of the mean
  const needed = (spread, lead) => ((2 * spread) / lead) ** 2; // images, for that to be the lead

  /** A number of images; of what another binarization does the chapter knows two digits. */
  const count = (images, theirs) => Number(Math.max(2, Math.round(images)).toPrecision(theirs ? 2 : 3)).toLocaleString("en-US");

  const ANSWERS = ["yes", "no", "nobody can say"];
  const PUZZLE = ["IWAE-5", THEIRS, "full"];

  /** What is said of a pair measured on so many images, and of the bet, which is decided at the puzzle. */
  function verdict(name, other, budget, images, bet) {
    const { format } = Explorers.panel;
    const lead = Math.abs(difference(name, other, budget));
    const { apart, shared } = scatter(name, other, budget);
    const theirs = other === THEIRS;
    const apartNeeds = count(needed(apart, lead), theirs);
    const sharedNeeds = count(needed(shared, lead), theirs);
    const [wide, narrow] = [apart, shared].map((spread) => `(2 s = ${format(chance(spread, images), 2)})`);
    const way = theirs ? "another binarization" : "chance on the same binary images";
    const nats = `${format(lead, 2)} nats`;
    if (theirs && lead < ROUNDED) {
      return `${nats}: the published number is not known better, and ${way} does far more ${narrow}.`;
    }
    if (lead <= chance(shared, images)) {
      return `${nats} are within what ${way} does ${narrow}: ` + (needed(shared, lead) > N
        ? `to tell them from zero takes ${sharedNeeds} images, and there are 10,000.` : `${sharedNeeds} images would tell.`);
    }
    const rest = !theirs ? "So one file is ahead; of the objectives that says nothing, with one seed each."
      : budget === "full" ? "What is left is training: the recipe, and the luck of one seed each." : "Ours was not trained to its end.";
    const leave = theirs ? "gray ones, and another binarization of these would not" : "binary ones, and chance on these would not";
    const puzzle = bet && images === N && [name, other, budget].every((part, i) => part === PUZZLE[i]);
    const won = puzzle ? `${bet === ANSWERS[1] ? "You were right" : "Not as you bet"}. ` : "";
    if (lead <= chance(apart, images)) {
      return `${won}${nats}: other images would excuse them ${wide}. But both rows have the same ${leave} ${narrow}. ${rest}`;
    }
    return `${nats} are more than other images would do ${wide}. ` +
      `To tell them from zero takes ${apartNeeds} images, or ${sharedNeeds} that both have. ${rest}`;
  }

  return { ANSWERS, BINARIZATION, BUDGETS, IMAGES, N, PAIRS, PUBLISHED, PUZZLE, THEIRS, chance, difference, needed, number, row, scatter, verdict };
})();

Explorers.panel.mount("table", "Two tables", ["records"], (live) => {
  const { axes, bet, change, element, path, readout, select, sentence, slider, table } = Explorers.panel;
  const { ANSWERS, BUDGETS, IMAGES, N, PAIRS, PUZZLE, THEIRS, chance, difference, needed, number, row, scatter, verdict } = Explorers.table;
  const log = Math.log10;
  const [FEW, MANY] = [100, 100000];

  const on = axes("What chance may do against the number of test images, and the difference", { x: [1.9, 5.3], y: [-2, 1], height: 300,
    xLabel: "test images", xTicks: [2, 3, 4, 5], xNames: ["100", "1,000", "10,000", "100,000"],
    yLabel: "nats", yTicks: [-2, -1, 0, 1], yNames: [0.01, 0.1, 1, 10] });
  const [apart, shared, level] = ["curve exact", "curve", "curve mean"].map((name) => element("path", { class: name }));
  const here = element("path", { class: "mark" });
  const enough = [0, 1].map(() => element("circle", { class: "here", r: 5 }));
  on.inside.append(here, apart, shared, level, ...enough);
  const names = ["note", "note q", "note network"].map((name, i) => element("text", { class: name, x: on.x(1.95), y: on.y(-1.86 + 0.2 * i) }));
  on.layer.append(...names);
  names[2].textContent = "the difference";

  const bar = axes("What both share, and what it leaves", { x: [0, 100], y: [0, 1], height: 90,
    xLabel: "% of the squared error on other images", xTicks: [0, 25, 50, 75, 100] });
  const [left, cancels] = ["bound", "evidence"].map((name) => element("rect", { class: name, y: bar.y(1) + 4, height: 30 }));
  bar.inside.append(left, cancels);
  bar.layer.append(element("text", { class: "middle on-bar", x: bar.x(55), y: 34 }, "cancels: both have the same"));

  const pair = select("Rows", PAIRS.map((both, i) => [i, both.join(" against ")]));
  const budget = select("Budget", BUDGETS.map((time, i) => [i, `ours: ${time}`]), 2);
  const shown = [2, 2, 2, 2, 2].map(readout);
  const said = sentence();

  function update() {
    const [name, other] = PAIRS[pair.value];
    const time = BUDGETS[budget.value];
    const spreads = scatter(name, other, time);
    const lead = Math.abs(difference(name, other, time));
    const line = (spread) => path(on, [FEW, MANY].map(log), [FEW, MANY].map((n) => log(chance(spread, n))));
    change(apart, { d: line(spreads.apart) });
    change(shared, { d: line(spreads.shared) });
    change(level, { d: path(on, [FEW, MANY].map(log), [log(lead), log(lead)]) });
    change(here, { d: `M${on.x(log(images.value))} ${on.y(-2)}V${on.y(1)}` });
    [spreads.apart, spreads.shared].forEach((spread, i) => {
      const at = log(needed(spread, lead));
      const seen = at > on.ranges[0][0] && at < on.ranges[0][1];
      change(enough[i], { cx: on.x(at), cy: on.y(log(lead)), display: seen ? "inline" : "none" });
    });
    names[0].textContent = "2 s on other images";
    names[1].textContent = other === THEIRS ? "2 s of another binarization" : "2 s on the same binary images";
    const share = 100 * (spreads.shared / spreads.apart) ** 2;
    change(left, { x: bar.x(0), width: bar.x(share) - bar.x(0) });
    change(cancels, { x: bar.x(share), width: bar.x(100) - bar.x(share) });
    [row(name, time).nll, number(name, other, time), difference(name, other, time), chance(spreads.apart, images.value),
      chance(spreads.shared, images.value)].forEach((value, i) => shown[i].show(value));
    const puzzle = PUZZLE.every((part, i) => part === [name, other, time][i]);
    said.say(choice.value || !puzzle ? verdict(name, other, time, images.value, choice.value)
      : "Bet first: may the test set excuse this difference?");
  }

  const ours = Explorers.panel.format(row("IWAE-5", "full").nll, 2);
  const error = row("IWAE-5", "full").stderr.toFixed(2);
  const choice = bet(`IWAE-5: ours ${ours} ± ${error}, theirs ${number(...PUZZLE)}. Chance of the test set?`, ANSWERS, () => {
    pair.value = 2;
    budget.value = 2;
    images.set(IMAGES.high);
  });
  const images = slider("images", "Test images, as a power of ten", IMAGES, update);
  [pair, budget].forEach((node) => node.addEventListener("change", update));
  live.append(
    element("div", { class: "wide" }, on.node, bar.node),
    element("div", { class: "narrow" },
      choice.node, pair, budget, images.node, said.node,
      table("−log p(x), nats", [], { ours: [shown[0].node], against: [shown[1].node], difference: [shown[2].node],
        "2 s, other images": [shown[3].node], "2 s, what is left": [shown[4].node] }),
    ),
  );
  update();
});
