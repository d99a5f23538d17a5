/* Noise that is a function of a key: Threefry-2x32 of 20 rounds (Salmon et al. 2011), and what jax.random makes of it. */
"use strict";

Explorers.threefry = (() => {
  const TURNS = [13, 15, 26, 6, 17, 29, 16, 24];

  /** Two words of 32 bits, mixed under a key of two words. */
  function mixed([k0, k1], [x0, x1]) {
    const words = [k0, k1, k0 ^ k1 ^ 0x1bd11bda];
    [x0, x1] = [(x0 + k0) | 0, (x1 + k1) | 0];
    for (let round = 1; round <= 20; round++) {
      const by = TURNS[(round - 1) % 8];
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << by) | (x1 >>> (32 - by))) ^ x0;
      if (round % 4 === 0) { // the key comes in again
        const times = round / 4;
        x0 = (x0 + words[times % 3]) | 0;
        x1 = (x1 + words[(times + 1) % 3] + times) | 0;
      }
    }
    return [x0 >>> 0, x1 >>> 0];
  }

  // As jax.random has it, in double precision.

  const fromSeed = (seed) => [0, seed]; // a small one
  const child = (key, i) => mixed(key, [0, i]); // split(key, n)[i], whatever n

  /** Between 0 and 1, of 52 bits. */
  function uniform(key) {
    const [high, low] = mixed(key, [0, 0]);
    return (high * 2 ** 20 + (low >>> 12)) / 2 ** 52;
  }

  function erf(x) {
    let term = (2 / Math.sqrt(Math.PI)) * x * Math.exp(-(x ** 2));
    let total = term;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(total); n++) total += term *= (2 * x ** 2) / (2 * n + 1);
    return total;
  }

  /** Where the distribution function of N(0, 1) has this value, also for 0: √2 times the inverse of erf. */
  function quantile(u) {
    const y = 2 * u - 1 + 2 ** -53; // never -1
    const log = Math.log1p(-(y ** 2));
    const t = 2 / (Math.PI * 0.147) + log / 2;
    let x = Math.sign(y) * Math.sqrt(Math.sqrt(t ** 2 - log / 0.147) - t); // to three digits; then Newton's steps
    for (let i = 0; i < 4; i++) x -= (erf(x) - y) * (Math.sqrt(Math.PI) / 2) * Math.exp(x ** 2);
    return Math.SQRT2 * x;
  }

  const normal = (key) => quantile(uniform(key));

  return { child, fromSeed, mixed, normal, quantile, uniform };
})();
