/* Draw a digit: q(z | x) in the plane, and what comes back from two numbers, and from twenty. */
"use strict";

Explorers.draw = (() => {
  const format = (value) => Explorers.panel.format(value, 1);

  /** The lengths, on these axes, of two standard deviations along each of them. */
  const radii = (on, sigma) => [on.x, on.y].map((scale, l) => Math.abs(scale(2 * sigma[l]) - scale(0)));

  /** Where two numbers put it, what more numbers explain and cost, and what the larger model reaches on average. */
  function verdict(name, two, twenty, mean) {
    const [explained, paid] = [twenty.logLikelihood - two.logLikelihood, twenty.kl - two.kl];
    const more = (value, words) => `${format(Math.abs(value))} nats ${value < 0 ? "less" : "more"}${words}`;
    const balance = explained > paid ? `a gain of ${format(explained - paid)}` : `a loss of ${format(paid - explained)}`;
    return `Two numbers put it among the ${name}s. Eighteen more explain ${more(explained, "")} and cost ${more(paid, " of KL")}: ` +
      `${balance}. The ELBO with twenty is ${format(twenty.logLikelihood - twenty.kl)}; test images have ${format(mean)} on average.`;
  }

  const BETS = ["three", "six", "ten"];

  /** Of a bet on how many of our digits two numbers put among their own kind: `among` has the class for each of the ten. */
  function judged(bet, among) {
    const strays = among.flatMap((name, digit) => (name === digit ? [] : [`${digit} among the ${name}s`]));
    const own = 10 - strays.length;
    const won = own === { three: 3, six: 6, ten: 10 }[bet];
    return `${won ? "You were right" : "Not as you bet"}: ${own} of the ten. ${strays.join(", ")}: such shapes share ` +
      "a place in the plane. Take them one by one: what do twenty numbers make of them?";
  }

  return { BETS, judged, radii, verdict };
})();

Explorers.panel.mount("draw", "Draw a digit", ["paper", "examples", "encoder", "decoder", "encoder20", "decoder20", "neighbors"], (live) => {
  const { bet, button, change, element, image, plane, readout, sentence, table } = Explorers.panel;
  const { decodeMean, elboTerms, encode, binarize } = Explorers.network;
  const { digits, uniform, eps, eps20, meanElbo20 } = Explorers.examples;
  const { isBlank, sheet } = Explorers.paper;
  const { BETS, judged, radii, verdict } = Explorers.draw;

  const input = image("What the encoders get, black and white");
  const outputs = ["two", "twenty"].map((count) => image(`What the decoder makes of ${count} numbers`));
  const on = plane("The latent plane with the encoded test images, and q as an ellipse of two standard deviations");
  const ellipse = element("ellipse", { class: "posterior", visibility: "hidden" });
  const center = element("circle", { class: "posterior center", r: 3, visibility: "hidden" });
  const code = ["mu1", "mu2", "sigma1", "sigma2"].map(() => readout(3));
  const terms = ["logLikelihood", "kl", "elbo"].map(() => [readout(2), readout(2)]); // for two numbers, for twenty
  const said = sentence();

  const nearby = (mu) => Explorers.neighbors.around(mu).classes[0][0];

  function look(gray) {
    const blank = isBlank(gray);
    const x = binarize(gray, uniform);
    input.show(x);
    [ellipse, center].forEach((node) => change(node, { visibility: blank ? "hidden" : "visible" }));
    if (blank) {
      outputs.forEach(({ show }) => show(gray));
      [...code, ...terms.flat()].forEach(({ show }) => show(NaN));
      said.say("The paper is blank. Draw a digit, or take one of ours: which come back as themselves?");
      return;
    }
    const models = [encode(x), encode(x, "encoder20")];
    outputs[0].show(decodeMean(models[0].mu));
    outputs[1].show(decodeMean(models[1].mu, "decoder20"));
    const { mu, logVar } = models[0];
    const sigma = logVar.map((value) => Math.exp(0.5 * value));
    const [rx, ry] = radii(on, sigma);
    change(ellipse, { cx: on.x(mu[0]), cy: on.y(mu[1]), rx, ry });
    change(center, { cx: on.x(mu[0]), cy: on.y(mu[1]) });
    [...mu, ...sigma].forEach((value, i) => code[i].show(value));
    const both = [elboTerms(x, eps), elboTerms(x, eps20, ["encoder20", "decoder20"])];
    both.forEach(({ logLikelihood, kl }, i) =>
      [logLikelihood, kl, logLikelihood - kl].forEach((value, row) => terms[row][i].show(value)));
    said.say(verdict(nearby(mu), ...both, meanElbo20));
  }

  const choice = bet("Of our ten digits, how many do two numbers put among their own kind?", BETS, () =>
    said.say(judged(choice.value, digits.map((gray) => nearby(encode(binarize(gray, uniform)).mu)))));
  const paper = sheet(look);
  const labelled = (node, text) => element("div", { class: "explorer-labelled" }, node, element("span", {}, text));
  const row = (i) => terms[i].map(({ node }) => node);
  on.layer.append(ellipse, center);
  live.append(
    element("div", { class: "narrow" },
      labelled(paper.node, "your drawing"),
      element("div", { class: "explorer-buttons", role: "group", "aria-label": "Paper" },
        button("Undo", paper.undo), button("Clear", paper.clear),
        ...digits.map((gray, digit) => button(digit, () => paper.take(gray), { "aria-label": `Take our ${digit}` }))),
    ),
    element("div", { class: "wide" }, on.node),
    element("div", { class: "row pair" }, labelled(input.node, "binarized"), labelled(outputs[0].node, "from 2 numbers"),
      labelled(outputs[1].node, "from 20 numbers")),
    choice.node,
    said.node,
    table("q(z | x) in the plane", ["μ", "σ"], { "z₁": [code[0].node, code[2].node], "z₂": [code[1].node, code[3].node] }),
    table("In nats", ["2 numbers", "20 numbers"], { "log-likelihood": row(0), "KL(q ‖ prior)": row(1), ELBO: row(2) }),
  );
  look(new Float32Array(28 * 28));
});
