/* Which of two models is ahead? The recorded runs of all models, one seed after the other, and when a lead is settled. */
"use strict";

Explorers.against = (() => {
  const { mean, standardError } = Explorers.network;
  const BIT = 64 * Math.log(2); // nats of one bit for each pixel of a digit
  const SEEDS = { low: 1, high: 5, step: 1, start: 1, digits: 0 };
  const STRICT = 5; // standard errors

  const models = () => Explorers.records.against;
  const agree = (savings) => new Set(savings.map(Math.sign)).size === 1 && savings[0] !== 0;

  /** What a saves against b with each seed, in bits per pixel. */
  const savings = (a, b) => models()[a].log_px.map((value, seed) => (value - models()[b].log_px[seed]) / BIT);

  /** The least and the largest standard error that the mean saving can have. Recorded is the part of the digits for each
      model against the plain VAE: that of two models is at least the difference of theirs and at most the sum. */
  function errors(a, b) {
    const seeds = standardError(savings(a, b));
    const [one, other] = [a, b].map((name) => models()[name].gain_stderr.map((value) => value / BIT));
    return [mean(one.map((value, i) => Math.abs(value - other[i]))), mean(one.map((value, i) => value + other[i]))]
      .map((digits) => Math.hypot(digits, seeds));
  }

  /** What five seeds say of a pair. */
  function judge(a, b) {
    const saved = savings(a, b);
    if (!agree(saved)) return "contradicted";
    const lead = mean(saved);
    if (models()[lead > 0 ? b : a].only_bound) return "bound"; // it may be better than its bound
    const [low, high] = errors(a, b);
    if (Math.abs(lead) > STRICT * high) return "settled";
    return Math.abs(lead) > STRICT * low ? "unknown" : "small";
  }

  const pairs = () => Object.keys(models()).flatMap((a, i, names) => names.slice(i + 1).map((b) => [a, b]));
  /** In how many pairs the first seeds agree, and how many are settled by all five. */
  const agreeing = (seeds) => pairs().filter(([a, b]) => agree(savings(a, b).slice(0, seeds))).length;
  const settled = () => pairs().filter(([a, b]) => judge(a, b) === "settled").length;

  const ANSWERS = ["settled", "they agree, but it is open", "one contradicts"];
  const RIGHT = { settled: [0], small: [1], bound: [1], unknown: [0, 1], contradicted: [2] }; // unknown: either may be

  /** What is said when so many seeds are seen. */
  function verdict(a, b, seeds, bet) {
    const { format } = Explorers.panel;
    if (a === b) return "One model against itself: every difference is 0. Choose two.";
    const saved = savings(a, b).slice(0, seeds);
    const lead = mean(saved);
    const [ahead, behind] = lead > 0 ? [a, b] : [b, a];
    const by = `by ${format(Math.abs(lead), 4)} bits per pixel`;
    const all = pairs().length;
    if (!bet) return `With seed 0, ${ahead} is ahead of ${behind} ${by}. Bet: what will five seeds say?`;
    if (seeds === 1) return `One seed: ${ahead} is ahead ${by}. But with one seed somebody leads in each of the ${all} pairs.`;
    const other = saved.findIndex((value) => Math.sign(value) !== Math.sign(saved[0])); // the first that contradicts
    const first = saved[0] > 0 ? a : b;
    if (seeds < 5 && other < 0) {
      return `All ${seeds} seeds so far are for ${ahead}, on average ${by}. They agree in ${agreeing(seeds)} of ${all} pairs, ` +
        `and in ${agreeing(seeds) - agreeing(5)} of these a later seed will contradict.`;
    }
    if (seeds < 5 && other === seeds - 1) {
      return `Seed ${other} contradicts seed 0: ${first} leads with every seed no longer. On average ${ahead} is ahead, ${by}.`;
    }
    if (seeds < 5) {
      const votes = saved.filter((value) => value > 0).length;
      return `Seeds for ${a}: ${votes}, for ${b}: ${seeds - votes}. On average ${ahead} is ahead, ${by}. ` +
        `By now ${all - agreeing(seeds)} of ${all} pairs have been contradicted.`;
    }
    const kind = judge(a, b);
    const right = RIGHT[kind].includes(ANSWERS.indexOf(bet));
    const won = right ? (RIGHT[kind].length > 1 ? "" : "You were right. ") : "Not as you bet. ";
    const [most, least] = errors(a, b).map((s) => Math.abs(lead) / s);
    const times = `${most === least ? "" : `${format(least, 1)} to `}${format(most, 1)} standard errors`;
    const agreed = `all five seeds are for ${ahead}`;
    return won + {
      contradicted: `Open: seed ${other} contradicts seed 0. Whoever had stopped there would have reported that ${first} is better.`,
      bound: `Open: ${agreed}, but of ${behind} only a bound is known, and it may be better than that.`,
      settled: `Settled: ${ahead} is ahead with all five seeds, and the mean is ${times}, more than ${STRICT}.`,
      small: `Open: ${agreed}, but the mean is only ${times}. Coins would agree in ${Math.round(all / 16)} of ${all} pairs, too.`,
      unknown: `Here ${agreed}, by ${times}: what was recorded does not say whether that is more than ${STRICT}.`,
    }[kind];
  }

  return { ANSWERS, BIT, SEEDS, STRICT, agree, agreeing, errors, judge, pairs, savings, settled, verdict };
})();

Explorers.panel.mount("against", "Two models, five seeds", ["records"], (live) => {
  const { axes, bet, change, element, named, path, readout, select, sentence, slider, table } = Explorers.panel;
  const { ANSWERS, SEEDS, STRICT, agreeing, errors, pairs, savings, settled, verdict } = Explorers.against;
  const { mean } = Explorers.network;
  const names = Object.keys(Explorers.records.against);
  const ORDER = [1, 2, 3, 4, 5];
  const counts = ORDER.map(agreeing);
  const all = pairs().length;
  const [one, other] = [select("One model", names, "VQ codes"), select("The other", names, "plain VAE")];

  const field = element("div");
  /** The differences, on an axis that is as wide as what is shown. */
  function drawSeeds(seeds) {
    const [a, b] = [one.value, other.value];
    const saved = savings(a, b).slice(0, seeds);
    const lead = mean(saved);
    const bars = seeds === 5 && a !== b ? errors(a, b).map((s) => STRICT * s) : []; // s needs all five
    const reach = Math.max(...saved.map(Math.abs), ...bars.map((half) => Math.abs(lead) + half));
    const limit = [0.02, 0.04, 0.1, 0.2, 0.4].find((end) => end > reach);
    const on = axes(`What ${a} saves against ${b} with each seed`, { x: [-limit, limit], y: [5.6, -1.1], height: 250,
      xLabel: "ahead by, bits per pixel", xTicks: [-limit, -limit / 2, 0, limit / 2, limit], yTicks: [0, 1, 2, 3, 4, 5],
      yNames: [0, 1, 2, 3, 4, `±${STRICT}s`] });
    on.inside.append(element("path", { class: "mark", d: `M${on.x(0)} ${on.y(5.6)}V${on.y(-0.6)}` }),
      ...bars.reverse().map((half, i) => element("path", { class: i ? "curve" : "curve exact", d: path(on, [lead - half, lead + half], [5, 5]) })),
      ...(bars.length ? [element("circle", { class: "here", cx: on.x(lead), cy: on.y(5), r: 6 })] : []),
      ...saved.map((value, seed) => element("circle", { class: value > 0 ? "bound" : "gap", cx: on.x(value), cy: on.y(seed), r: 5 })));
    on.layer.append(element("text", { class: "note network", x: on.x(-limit) + 4, y: 22 }, `← ${b}`),
      element("text", { class: "note q end", x: on.x(limit) - 4, y: 22 }, `${a} →`));
    field.replaceChildren(on.node);
  }

  const top = axes("In how many pairs the first seeds agree, and in how many coins would", { x: [0.4, 6.2], y: [0, 520], height: 200,
    xLabel: "seeds seen", yLabel: "pairs in which all agree", xTicks: ORDER, yTicks: [0, 100, 200, 300, 400] });
  const column = (name, k, count, where) => [
    element("rect", { class: name, x: top.x(k - 0.35), width: top.x(0.7) - top.x(0), y: top.y(count), height: top.y(0) - top.y(count) }),
    element("text", { ...where, y: top.y(count) - 6 }, count),
  ];
  const columns = [...ORDER.map((k, i) => column("bound", k, counts[i], { class: "middle count", x: top.x(k) })),
    column("whole", 5, settled(), { class: "note all count", x: top.x(5.4) })]; // beside what it stands in front of
  const tosses = ORDER.map((k) => `M${top.x(k - 0.42)} ${top.y(all / 2 ** (k - 1))}H${top.x(k + 0.42)}`);
  const coins = element("path", { class: "mark aim", d: tosses.join("") });
  top.inside.append(...columns.map(([bar]) => bar), coins);
  top.layer.append(...columns.map(([, number]) => number));

  const shown = [readout(4), readout(0), readout(0)];
  const said = sentence();

  function update() {
    const seen = choice.value ? seeds.value : 1; // the rest would tell
    drawSeeds(seen);
    columns.forEach((nodes, i) => nodes.forEach((node) =>
      change(node, { visibility: Math.min(i + 1, 5) <= seen ? "visible" : "hidden" })));
    shown[0].show(mean(savings(one.value, other.value).slice(0, seen)));
    shown[1].show(counts[seen - 1]);
    shown[2].show(all / 2 ** (seen - 1));
    said.say(verdict(one.value, other.value, seen, choice.value));
  }

  const choice = bet("What will five seeds say?", ANSWERS, () => seeds.set(Math.max(2, seeds.value)));
  const seeds = slider("seeds", "Seeds seen", SEEDS, update);
  /** Another pair is another bet. */
  function anew() {
    choice.choose(null);
    seeds.set(1);
  }
  [one, other].forEach((node) => node.addEventListener("change", anew));
  live.append(
    element("div", { class: "wide" }, field, top.node),
    element("div", { class: "narrow" },
      named("model", one), named("against", other), choice.node, seeds.node, said.node,
      table("So far", [], { "saved, bits per pixel": [shown[0].node], [`pairs agreeing, of ${all}`]: [shown[1].node],
        "by coins (dashed)": [shown[2].node] }),
    ),
  );
  update();
});
