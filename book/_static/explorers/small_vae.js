/* The smallest VAE: one latent number for a density in the plane; its training, and what it has reached, without chance. */
"use strict";

Explorers.smallVae = (() => {
  const { LOG_2PI, klStandardNormal, logNormal, reparameterize, sum, uniforms } = Explorers.network;
  // The truth: N(b, S) with b = (1, 0.5), variances 1 and covariance 0.5; of N(0, 1) twice it is made by MIX.
  const CENTER = [1, 0.5];
  const MIX = [[1, 0], [0.5, Math.sqrt(0.75)]];
  const FLOOR = LOG_2PI + 0.5 * Math.log(0.75) + 1; // the entropy of the truth
  const COLLAPSED = LOG_2PI + 1; // the best without z
  const HIDDEN = 16;

  const place = (n) => CENTER.map((center, d) => center + MIX[d][0] * n[0] + MIX[d][1] * n[1]);

  /** Where -ELBO ends with β ≥ 1 before the KL: the best linear decoder with learned noise, in closed form. */
  function limit(beta) {
    if (beta >= 1.5) return COLLAPSED; // a code costs more than it saves
    const noise = 0.5 / (2 - beta);
    return Math.log(2 * Math.PI * noise) + 1 + 0.5 * Math.log(1.5 / (beta * noise));
  }

  function newModel(seed) {
    const { network } = Explorers.gradients;
    const uniform = uniforms(seed);
    return { encoder: network([2, HIDDEN, 2], uniform), decoder: network([1, HIDDEN, 4], uniform) };
  }

  const encode = (model, x) => Explorers.gradients.forward(model.encoder, x).at(-1); // mean, log-variance
  const decode = (model, z) => Explorers.gradients.forward(model.decoder, [z]).at(-1); // two means, two log-variances
  const logLikelihood = (x, params) => sum(x.map((value, d) => logNormal(value, params[d], params[2 + d])));

  /** -log p(x | z) + β KL of one x with one noise; adds its gradient to that of encoder and decoder. */
  function loss(model, x, eps, beta, gradient) {
    const { backward, forward } = Explorers.gradients;
    const up = forward(model.encoder, x);
    const [mu, logVar] = up.at(-1);
    const down = forward(model.decoder, [reparameterize(mu, logVar, eps)]);
    const params = down.at(-1);
    const errors = x.map((value, d) => (value - params[d]) * Math.exp(-params[2 + d]));
    const [ofZ] = backward(model.decoder, down,
      [...errors.map((error) => -error), ...x.map((value, d) => 0.5 * (1 - errors[d] * (value - params[d])))], gradient.decoder);
    const ofLogVar = ofZ * 0.5 * Math.exp(0.5 * logVar) * eps + beta * 0.5 * Math.expm1(logVar);
    backward(model.encoder, up, [ofZ + beta * mu, ofLogVar], gradient.encoder);
    return -logLikelihood(x, params) + beta * klStandardNormal(mu, logVar);
  }

  /** A run: `step(xs, eps)` goes down the mean gradient of these examples by Adam, and returns their mean loss. */
  function run(model, { beta, lr }) {
    const { adam, parameters, zeros } = Explorers.gradients;
    const all = ({ encoder, decoder }) => parameters([...encoder, ...decoder]);
    const update = adam(all(model));
    return function step(xs, eps) {
      const gradient = { encoder: zeros(model.encoder), decoder: zeros(model.decoder) };
      const losses = xs.map((x, i) => loss(model, x, eps[i], beta, gradient));
      update(all(gradient).map((list) => list.map((g) => g / xs.length)), lr);
      return sum(losses) / xs.length;
    };
  }

  /** Fresh examples and noises at each call, from a seed. */
  function source(seed, batch) {
    const uniform = uniforms(seed);
    const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    return () => [
      Array.from({ length: batch }, () => place([normal(), normal()])), Array.from({ length: batch }, normal),
    ];
  }

  // Measured without chance: averages over x, noise and z by the trapezoidal rule, which is all but exact for Gaussians.

  const line = (low, high, step) => Array.from({ length: Math.round((high - low) / step) + 1 }, (_, i) => low + i * step);
  const weighted = (nodes, step) => nodes.map((node) => [node, step * Math.exp(logNormal(node, 0, 0))]);
  const NOISES = weighted(line(-6, 6, 0.5), 0.5);
  const EXAMPLES = NOISES.flatMap(([m, v]) => NOISES.map(([n, w]) => [place([m, n]), v * w])).filter(([, w]) => w > 1e-12);
  const LATENTS = line(-6, 6, 0.125);

  /** Averages over the truth, in nats: loss = -ELBO, rate = KL, and how far model and q are from what they could be. */
  function measure(model) {
    const images = LATENTS.map((z) => [decode(model, z), logNormal(z, 0, 0) + Math.log(0.125)]);
    const totals = { loss: 0, rate: 0, ofModel: -FLOOR, ofQ: 0 };
    for (const [x, weight] of EXAMPLES) {
      const [mu, logVar] = encode(model, x);
      const kl = klStandardNormal(mu, logVar);
      const fit = sum(NOISES.map(([eps, w]) => w * logLikelihood(x, decode(model, reparameterize(mu, logVar, eps)))));
      const logP = Math.log(sum(images.map(([params, logPrior]) => Math.exp(logLikelihood(x, params) + logPrior))));
      totals.loss += weight * (kl - fit);
      totals.rate += weight * kl;
      totals.ofModel -= weight * logP;
      totals.ofQ += weight * (kl - fit + logP);
    }
    return totals;
  }

  /** The density of all codes, q(z) averaged over the truth, at the LATENTS. */
  function codes(model) {
    const all = EXAMPLES.map(([x, weight]) => [...encode(model, x), weight]);
    return LATENTS.map((z) => sum(all.map(([mu, logVar, weight]) => weight * Math.exp(logNormal(z, mu, logVar)))));
  }

  return { CENTER, COLLAPSED, FLOOR, LATENTS, codes, decode, encode, limit, loss, measure, newModel, place, run, source };
})();
