/* What the explorers compute: Gaussians, noise, and the encoder and decoder of a VAE with Bernoulli pixels.
   The names are the book's; every log-probability is in nats. No explorer has a formula of its own for what is here. */
"use strict";

var Explorers = {};

Explorers.network = (() => {
  const LOG_2PI = Math.log(2 * Math.PI);
  const sum = (values) => values.reduce((total, value) => total + value, 0);
  const mean = (values) => sum(values) / values.length;

  /** That of the mean of independent values, by their own spread. */
  function standardError(values) {
    const center = mean(values);
    return Math.sqrt(sum(values.map((value) => (value - center) ** 2)) / (values.length - 1) / values.length);
  }


  /** log Σ exp(…), also of what would over- or underflow. */
  function logSum(logs) {
    const top = Math.max(...logs);
    return top + Math.log(sum(logs.map((value) => Math.exp(value - top))));
  }

  const logMean = (logs) => logSum(logs) - Math.log(logs.length);

  // Matrices of two rows and columns.

  const det = ([[a, b], [c, d]]) => a * d - b * c;
  const inverse = (A) => [[A[1][1], -A[0][1]], [-A[1][0], A[0][0]]].map((row) => row.map((value) => value / det(A)));

  /** The points that lie `scale` standard deviations from the center of a Gaussian with this covariance. */
  function ellipse([[a, b], [, d]], scale = 2, [x, y] = [0, 0]) {
    const [first, mixed] = [Math.sqrt(a), b / Math.sqrt(a)];
    const rest = Math.sqrt(d - mixed ** 2);
    return Array.from({ length: 65 }, (_, i) => (2 * Math.PI * i) / 64)
      .map((t) => [x + scale * first * Math.cos(t), y + scale * (mixed * Math.cos(t) + rest * Math.sin(t))]);
  }

  // Gaussians, one dimension each: q(z | x) = N(mu, exp(log_var)).

  const logNormal = (z, mu, logVar) => -0.5 * (LOG_2PI + logVar + (z - mu) ** 2 * Math.exp(-logVar));
  const klStandardNormal = (mu, logVar) => 0.5 * (mu ** 2 + Math.expm1(logVar) - logVar);
  const reparameterize = (mu, logVar, eps) => mu + Math.exp(0.5 * logVar) * eps;

  // Noise.

  function uniforms(seed) {
    // Mulberry32: 32 bits of state, a pass through a mixing function for each number in (0, 1).
    return () => {
      seed = (seed + 0x6d2b79f5) | 0;
      let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
    };
  }

  /** n draws from N(0, 1), by the transformation of Box and Muller. */
  function standardNoise(n, seed) {
    const uniform = uniforms(seed);
    return Array.from({ length: n }, () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()));
  }

  /** Black and white pixels: 1 where the uniform number lies below the gray value. */
  const binarize = (gray, uniform) => Float32Array.from(gray, (value, i) => Number(uniform[i] < value));

  // Weights: base64 of little-endian numbers.

  const bytes = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const float32 = (base64) => new Float32Array(bytes(base64).buffer);

  function float16(base64) {
    return Float64Array.from(new Uint16Array(bytes(base64).buffer), (half) => {
      const exponent = (half >> 10) & 31;
      const fraction = (half & 1023) / 1024;
      const size = exponent ? (1 + fraction) * 2 ** (exponent - 15) : fraction * 2 ** -14;
      return half & 0x8000 ? -size : size;
    });
  }

  /** Whole numbers from -127 to 127, each row of them with a scale of its own. */
  function int8(base64, scales) {
    const whole = new Int8Array(bytes(base64).buffer);
    return Float64Array.from(whole, (level, i) => level * scales[Math.floor(i / (whole.length / scales.length))]);
  }

  // The forward pass: linear layers with a ReLU between two of them.

  function linear({ weight, bias }, x) {
    const n = x.length; // weight: one row of n numbers for each output
    const y = bias.slice();
    for (let row = 0, at = 0; row < y.length; row++) {
      let total = 0;
      for (let i = 0; i < n; i++, at++) total += weight[at] * x[i];
      y[row] += total;
    }
    return y;
  }

  const relu = (h) => h.map((value) => Math.max(value, 0));
  const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));
  const logSigmoid = (logit) => Math.min(logit, 0) - Math.log1p(Math.exp(-Math.abs(logit)));

  const unpacked = {};
  function layers(name) {
    const unpack = ({ weight, scale, bias }) => (
      { weight: int8(weight, float16(scale)), bias: float16(bias) });
    return (unpacked[name] ??= Explorers[name].map(unpack)); // encoder.js and the like hold them packed
  }

  function forward(name, x) {
    const [first, ...rest] = layers(name);
    return rest.reduce((h, layer) => linear(layer, relu(h)), linear(first, Float64Array.from(x)));
  }

  /** Mean and log-variance of q(z | x), one number for each latent dimension. */
  function encode(x, encoder = "encoder") {
    const heads = forward(encoder, x);
    return { mu: heads.slice(0, heads.length / 2), logVar: heads.slice(heads.length / 2) };
  }

  /** The logits of the pixels. */
  const decode = (z, decoder = "decoder") => forward(decoder, z);

  /** The probabilities that the pixels are black: the mean image. */
  const decodeMean = (z, decoder) => decode(z, decoder).map(sigmoid);

  const logLikelihood = (x, z, decoder) => sum(decode(z, decoder).map((logit, d) => logSigmoid(x[d] ? logit : -logit)));

  /** Both terms of the ELBO: the first averaged over the draws of eps, the second in closed form. */
  function elboTerms(x, eps, [encoder, decoder] = []) {
    const { mu, logVar } = encode(x, encoder);
    const draws = eps.map((draw) => mu.map((mean, l) => reparameterize(mean, logVar[l], draw[l])));
    return {
      logLikelihood: sum(draws.map((z) => logLikelihood(x, z, decoder))) / draws.length,
      kl: sum(mu.map((mean, l) => klStandardNormal(mean, logVar[l]))),
    };
  }

  return {
    LOG_2PI, binarize, bytes, decode, decodeMean, det, elboTerms, ellipse, encode, float16, float32, int8, inverse,
    klStandardNormal, linear, logMean, logNormal, logSigmoid, logSum, mean, reparameterize, sigmoid, standardError, standardNoise, sum,
    uniforms,
  };
})();
