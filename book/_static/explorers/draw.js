/* Draw a digit: the encoder's q(z | x) as an ellipse, the reconstruction, and both terms of the ELBO. */
"use strict";

Explorers.draw = (() => {
  const SIDE = 280; // of the paper: ten points for each pixel of an image

  /** From ink to an image, as MNIST was made: fitted into 20×20 pixels, centered in 28×28 by its center of mass. */
  function normalized({ data }) {
    const marks = [];
    for (let i = 0; i < SIDE * SIDE; i++) {
      if (data[4 * i + 3]) marks.push({ x: (i % SIDE) + 0.5, y: Math.floor(i / SIDE) + 0.5, mass: data[4 * i + 3] / 255 });
    }
    const gray = new Float32Array(28 * 28);
    if (!marks.length) return gray;
    const extent = (name) => marks.reduce(([low, high], mark) => [Math.min(low, mark[name]), Math.max(high, mark[name])], [SIDE, 0]);
    const size = Math.max(...[extent("x"), extent("y")].map(([low, high]) => high - low + 1));
    const scale = Math.min(20 / size, 0.25); // a dot stays small, and every pixel gets points enough for its gray value
    const total = marks.reduce((mass, mark) => mass + mark.mass, 0);
    const mean = (name) => marks.reduce((moment, mark) => moment + mark.mass * mark[name], 0) / total;
    const [x, y] = [mean("x"), mean("y")];
    for (const mark of marks) {
      const [column, row] = [Math.floor((mark.x - x) * scale + 14), Math.floor((mark.y - y) * scale + 14)];
      if (Math.min(column, row) >= 0 && Math.max(column, row) < 28) gray[28 * row + column] += mark.mass * scale ** 2;
    }
    return gray.map((value) => Math.min(value, 1));
  }

  const isBlank = (gray) => gray.every((value) => value === 0);

  /** The lengths, on these axes, of two standard deviations along each of them. */
  const radii = (on, sigma) => [on.x, on.y].map((scale, l) => Math.abs(scale(2 * sigma[l]) - scale(0)));

  return { SIDE, isBlank, normalized, radii };
})();

Explorers.panel.mount("draw", "Draw a digit", ["examples", "encoder", "decoder"], (live) => {
  const { button, change, element, format, image, ink, plane, readout, sentence, table } = Explorers.panel;
  const { decodeMean, elboTerms, encode, binarize } = Explorers.network;
  const { digits, uniform, eps, meanElbo } = Explorers.examples;
  const { SIDE, isBlank, normalized, radii } = Explorers.draw;
  const PEN = 22;

  const paper = element("canvas", { class: "paper", width: SIDE, height: SIDE, role: "img",
    "aria-label": "Paper to draw a digit on with mouse, pen or finger" });
  const context = paper.getContext("2d", { willReadFrequently: true });
  const input = image("What the encoder gets, black and white");
  const output = image("The reconstruction: the decoder's image at the mean of q");
  const on = plane("The latent plane with the encoded test images, and q as an ellipse of two standard deviations");
  const ellipse = element("ellipse", { class: "posterior", visibility: "hidden" });
  const center = element("circle", { class: "posterior center", r: 3, visibility: "hidden" });
  const shown = Object.fromEntries(["mu1", "mu2", "sigma1", "sigma2", "logLikelihood", "kl", "elbo"].map((name) =>
    [name, readout(/\d/.test(name) ? 3 : 2)]));
  const said = sentence();

  function look(gray) {
    const blank = isBlank(gray);
    const x = binarize(gray, uniform);
    input.show(x);
    [ellipse, center].forEach((node) => change(node, { visibility: blank ? "hidden" : "visible" }));
    if (blank) {
      output.show(gray);
      Object.values(shown).forEach(({ show }) => show(NaN));
      said.say("The paper is blank.");
      return;
    }
    const { mu, logVar } = encode(x);
    const sigma = logVar.map((value) => Math.exp(0.5 * value));
    const { logLikelihood, kl } = elboTerms(x, eps);
    const [rx, ry] = radii(on, sigma);
    change(ellipse, { cx: on.x(mu[0]), cy: on.y(mu[1]), rx, ry });
    change(center, { cx: on.x(mu[0]), cy: on.y(mu[1]) });
    output.show(decodeMean(mu));
    const values = { mu1: mu[0], mu2: mu[1], sigma1: sigma[0], sigma2: sigma[1], logLikelihood, kl, elbo: logLikelihood - kl };
    Object.entries(values).forEach(([name, value]) => shown[name].show(value));
    said.say(`ELBO ${format(logLikelihood - kl, 1)} nats; test images have ${format(meanElbo, 1)} on average.`);
  }

  // Ink.

  Object.assign(context, { lineWidth: PEN, lineCap: "round", lineJoin: "round" });
  let waiting = false;
  function stroke(event) {
    const box = paper.getBoundingClientRect();
    context.lineTo((event.clientX - box.left) * SIDE / box.width, (event.clientY - box.top) * SIDE / box.height);
    context.stroke();
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      look(normalized(context.getImageData(0, 0, SIDE, SIDE)));
    });
  }
  paper.addEventListener("pointerdown", (event) => {
    paper.setPointerCapture(event.pointerId);
    context.beginPath();
    stroke(event);
  });
  paper.addEventListener("pointermove", (event) => paper.hasPointerCapture(event.pointerId) && stroke(event));

  function take(digit) {
    const small = element("canvas", { width: 28, height: 28 });
    small.getContext("2d").putImageData(ink(digits[digit]), 0, 0);
    context.clearRect(0, 0, SIDE, SIDE);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, SIDE, SIDE);
    look(digits[digit]);
  }

  function clear() {
    context.clearRect(0, 0, SIDE, SIDE);
    look(new Float32Array(28 * 28));
  }

  const labelled = (node, text) => element("div", { class: "explorer-labelled" }, node, element("span", {}, text));
  on.layer.append(ellipse, center);
  live.append(
    element("div", { class: "narrow" },
      labelled(paper, "your drawing"),
      element("div", { class: "explorer-buttons", role: "group", "aria-label": "Paper" },
        button("Clear", clear),
        ...digits.map((_, digit) => button(digit, () => take(digit), { "aria-label": `Take our ${digit}` }))),
      element("div", { class: "pair" }, labelled(input.node, "binarized"), labelled(output.node, "reconstruction")),
    ),
    element("div", { class: "wide" }, on.node,
      table("q(z | x)", ["μ", "σ"], { "z₁": [shown.mu1.node, shown.sigma1.node], "z₂": [shown.mu2.node, shown.sigma2.node] }),
      table("In nats", [], { "log-likelihood": [shown.logLikelihood.node], "KL(q ‖ prior)": [shown.kl.node], ELBO: [shown.elbo.node] }),
      said.node,
    ),
  );
  take(4);
});
