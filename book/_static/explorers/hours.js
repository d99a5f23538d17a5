/* How many nats do hours buy? The recorded trainings on MNIST, and what each doubling of their time bought. */
"use strict";

Explorers.hours = (() => {
  const LONG = "convolutions"; // the longest run: where it ends, the slider ends
  const [FAST, SLOW] = ["mlp-bernoulli", "mlp-bernoulli-0.001"]; // learning rates of 0.01 and 0.001
  const TIME = { low: -6.75, high: 0, step: 0.25, start: -4, digits: 2, meaning: (doublings) => minutes(LONG) * 2 ** doublings };
  const SAME = 1e-9; // times as near as this are the same

  const runs = () => Explorers.records.hours;
  const minutes = (name) => runs()[name].minutes * runs()[name].elbo.length; // of the whole run
  const epochs = (name, time) => Math.min(runs()[name].elbo.length, Math.floor(time / runs()[name].minutes + SAME));
  const over = (name, time) => epochs(name, time) === runs()[name].elbo.length;

  /** The validation ELBO after the last epoch that is finished at this time, NaN before the first. */
  const reached = (name, time) => runs()[name].elbo[epochs(name, time) - 1] ?? NaN;

  /** What the second half of this time bought, and what as much time again will buy; NaN where it is not on record. */
  const bought = (name, time) => (over(name, time / 2) ? NaN : reached(name, time) - reached(name, time / 2));
  const next = (name, time) => (2 * time > minutes(LONG) + SAME ? NaN : bought(name, 2 * time));

  /** Of the last epochs, at most twenty, how many went down. */
  function wandering(name, time) {
    const last = runs()[name].elbo.slice(0, epochs(name, time)).slice(-21);
    return { down: last.filter((value, i) => i && value < last[i - 1]).length, of: last.length - 1 };
  }

  const end = () => bought(LONG, minutes(LONG));
  const answers = () => [1, 4, 16].map((factor) => `${(factor * end()).toFixed(1)} nats`);

  /** Minutes or seconds for a nat, as the last doubling of the convolutions had it. */
  function price(time) {
    const cost = time / 2 / bought(LONG, time);
    return cost < 1 ? `${Explorers.panel.format(60 * cost, 0)} seconds` : `${Explorers.panel.format(cost, 1)} minutes`;
  }

  /** What is said of a time, and of the bet, which is decided at the end. */
  function verdict(time, bet) {
    const short = (value) => Explorers.panel.format(value, 1);
    const nats = (value) => `${short(Math.abs(value))} nats`;
    const lead = (one, other) => reached(one, time) - reached(other, time);
    const rates = `${nats(lead(FAST, SLOW))} (${epochs(FAST, time)} and ${epochs(SLOW, time)} epochs)`;
    if (epochs(SLOW, time) < 2) {
      return `Of the two learning rates 0.01 leads, by ${rates}. Whoever tries both for seconds will take it.`;
    }
    if (!over(SLOW, time)) {
      return `The smaller learning rate has overtaken the larger one, by ${rates}: that was best for a run of one epoch. ` +
        `The convolutions are ${nats(lead(LONG, SLOW))} further.`;
    }
    if (!epochs("best", time / 2)) {
      const [own, others] = [SLOW, LONG].map((name) => short(runs()[name].elbo[2]));
      return `The MLP has ended, ${nats(lead(SLOW, FAST))} better at the smaller rate: three epochs led it to ${own}, ` +
        `and the convolutions to ${others}. Now these are ${nats(lead(LONG, SLOW))} ahead. ` +
        "Is that their merit, or the time's? No MLP was given more.";
    }
    const [last, other] = [LONG, "best"].map((name) => bought(name, time));
    const paid = `${price(time)} a nat`;
    const ahead = `The residual network is ${nats(lead("best", LONG))} ahead`;
    if (lead(LONG, "best") > 0) {
      return `The convolutions pay ${paid}. The residual network, three times as slow, is ${nats(lead(LONG, "best"))} behind: ` +
        `a trial of this length would drop it. But the last doubling brought it ${nats(other)}, and them ${short(last)}.`;
    }
    if (time > minutes(LONG) - SAME) {
      return `${bet === answers()[0] ? "You were right" : "Not as you bet"}: ${end().toFixed(2)} nats, at ${paid}. ` +
        `Twice the time buys the convolutions less than another recipe: ${ahead.toLowerCase()}. Each is one run.`;
    }
    const coming = next(LONG, time);
    const more = bet && Number.isFinite(coming) ? `, the next doubling will bring ${nats(coming)}` : "";
    const { down, of } = wandering(LONG, time);
    if (down < of / 4) {
      return `${ahead}, and was behind at two and a half minutes. The convolutions pay ${paid}${more}.`;
    }
    return `The convolutions pay ${paid}${more}. Of their last ${of} epochs ${down} went down, at a constant rate; ` +
      `of the residual network's ${wandering("best", time).down}: its rate falls, its weights are averaged. ` +
      `It is ${nats(lead("best", LONG))} ahead.`;
  }

  return { LONG, TIME, answers, bought, epochs, minutes, next, over, price, reached, verdict, wandering };
})();

Explorers.panel.mount("hours", "What hours buy", ["records"], (live) => {
  const { axes, bet, change, element, path, readout, sentence, slider, table } = Explorers.panel;
  const { LONG, TIME, answers, bought, epochs, minutes, next, reached, verdict } = Explorers.hours;
  const RUNS = { "mlp-bernoulli": ["curve exact", "note"], "mlp-bernoulli-0.001": ["curve all", "note all"],
    convolutions: ["curve", "note q"], best: ["curve mean", "note network"] };
  const names = Object.keys(RUNS);
  const [MINUTES, LOW, HIGH] = [[0.25, 1, 4, 16], Math.log2(0.13), 5];
  const log2 = Math.log2;

  const overTime = (spoken, y, height, yLabel, yTicks) => axes(spoken, { x: [LOW, HIGH], y, height,
    xLabel: "CPU minutes", yLabel, xTicks: MINUTES.map(log2), xNames: MINUTES, yTicks });
  const curves = {};
  const on = overTime("Validation ELBO of four runs against the time", [-130, -88], 290, "ELBO, nats", [-130, -120, -110, -100, -90]);
  const below = overTime("What each doubling of the time bought", [0, 12], 190, "bought by the last doubling, nats", [0, 2, 4, 6, 8, 10]);
  names.forEach((name, i) => {
    const [look, note] = RUNS[name];
    curves[name] = [on, below].map((field) => element("path", { class: look }));
    [on, below].forEach((field, j) => (i < 2 && j ? null : field.inside.append(curves[name][j])));
    on.layer.append(element("text", { class: `${note} end`, x: on.x(HIGH) - 6, y: on.y(-112 - 4 * i) }, name === "best" ? "best (residual)" : name));
  });
  const marks = [on, below].map((field) => element("path", { class: "mark" }));
  [on, below].forEach((field, i) => field.inside.append(marks[i]));

  const shown = [LONG, "best"].map(() => [readout(2), readout(2)]);
  const said = sentence();
  const steps = Array.from({ length: 1 + (TIME.high - TIME.low) / TIME.step }, (_, i) => TIME.meaning(TIME.low + i * TIME.step));

  function update() {
    const now = time.value;
    const seen = choice.value ? minutes(LONG) : now; // the rest would tell
    for (const name of names) {
      const { minutes: each, elbo } = Explorers.records.hours[name];
      const done = elbo.slice(0, epochs(name, seen));
      change(curves[name][0], { d: done.length ? path(on, done.map((_, i) => log2(each * (i + 1))), done) : "" });
      const known = steps.filter((at) => at <= seen + 1e-9 && Number.isFinite(bought(name, at)));
      change(curves[name][1], { d: known.length ? path(below, known.map(log2), known.map((at) => bought(name, at))) : "" });
    }
    marks.forEach((mark, i) => change(mark, { d: `M${on.x(log2(now))} 0V${i ? 190 : 290}` }));
    [LONG, "best"].forEach((name, i) => {
      shown[i][0].show(bought(name, now));
      shown[i][1].show(choice.value ? next(name, now) : NaN);
    });
    said.say(choice.value || now < minutes(LONG) - 1e-9 ? verdict(now, choice.value) : "Bet first: what did the second half of this time buy?");
  }

  const choice = bet("The second quarter of an hour buys the convolutions", answers(), () => time.set(TIME.high));
  const time = slider("minutes", "Doublings of the CPU time, up to the end of the longest run", TIME, update);
  const nodes = (readouts) => readouts.map(({ node }) => node);
  live.append(
    element("div", { class: "wide" }, on.node, below.node),
    element("div", { class: "narrow" },
      choice.node, time.node, said.node,
      table("Nats, by a doubling", ["the last", "the next"], { [LONG]: nodes(shown[0]), best: nodes(shown[1]) }),
    ),
  );
  update();
});
