/* Which encoded test images lie nearest to a place of the latent plane. */
"use strict";

Explorers.neighbors = (() => {
  const N = 20;

  /** How far the nearest code is, and [class, count] of the N nearest, the most frequent class first, the smaller of equals. */
  function around(z, { codes, labels } = Explorers.examples) {
    const nearest = codes.map(([z1, z2], i) => [Math.hypot(z1 - z[0], z2 - z[1]), labels[i]]).sort(([a], [b]) => a - b).slice(0, N);
    const count = (name) => nearest.filter(([, label]) => label === name).length;
    const classes = [...new Set(nearest.map(([, label]) => label))].map((name) => [name, count(name)]);
    return { distance: nearest[0][0], nearest: nearest[0][1], classes: classes.sort(([a, m], [b, n]) => n - m || a - b) };
  }

  return { N, around };
})();
