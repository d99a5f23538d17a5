/* What may be called in the Python that a reader types: the functions that NumPy, PyTorch and math share, and no other. */
"use strict";

Explorers.functions = (() => {
  const { Problem, cat, combine, expand, isArray, lifted, map, product, reduce, reshape, stack, transpose } = Explorers.arrays;

  // What may be called. Each function takes its positional arguments and an object of those with a name.

  const sigmoid = (t) => 1 / (1 + Math.exp(-t));
  const ELEMENTWISE = {
    exp: Math.exp, log: Math.log, sqrt: Math.sqrt, expm1: Math.expm1, log1p: Math.log1p, log2: Math.log2, log10: Math.log10,
    abs: Math.abs, square: (t) => t * t, tanh: Math.tanh, sigmoid, reciprocal: (t) => 1 / t, rsqrt: (t) => 1 / Math.sqrt(t),
    neg: (t) => -t, negative: (t) => -t, relu: (t) => (t > 0 || t !== t ? t : 0), elu: (t) => (t > 0 ? t : Math.expm1(t)),
    softplus: (t) => (t > 20 ? t : Math.log1p(Math.exp(t))), logsigmoid: (t) => Math.min(t, 0) - Math.log1p(Math.exp(-Math.abs(t))),
    sin: Math.sin, cos: Math.cos, float: (t) => t, double: (t) => t, clone: (t) => t, contiguous: (t) => t,
  };
  const least = (a, b) => (a !== a || b !== b ? NaN : Math.min(a, b));
  const most = (a, b) => (a !== a || b !== b ? NaN : Math.max(a, b));
  const OPERATORS = { "+": (a, b) => a + b, "-": (a, b) => a - b, "*": (a, b) => a * b, "/": (a, b) => a / b, "**": (a, b) => a ** b };
  const PAIRWISE = {
    add: OPERATORS["+"], sub: OPERATORS["-"], subtract: OPERATORS["-"], mul: OPERATORS["*"], multiply: OPERATORS["*"],
    div: OPERATORS["/"], divide: OPERATORS["/"], true_divide: OPERATORS["/"], pow: OPERATORS["**"], power: OPERATORS["**"],
    minimum: least, maximum: most,
  };
  const total = (row) => row.reduce((sum, value) => sum + value, 0);
  const REDUCTIONS = {
    sum: total, mean: (row) => total(row) / row.length, prod: product,
    max: (row) => row.reduce(most), min: (row) => row.reduce(least), amax: (row) => row.reduce(most), amin: (row) => row.reduce(least),
  };
  const list = (items) => (items.length === 1 && Array.isArray(items[0]) ? items[0] : items);
  const filled = (value) => (a) => map(() => value, a);
  const clamp = (a, low = null, high = null) => map((t) => (high !== null && t > high ? high : low !== null && t < low ? low : t), a);
  const SHAPING = {
    clamp, clip: clamp, expand_as: (a, b) => expand(a, b.shape), transpose: (a, i, j) => transpose(a, i, j),
    expand: (a, ...shape) => { // -1 stands for the length that is there
      const full = list(shape);
      return expand(a, full.map((n, axis) => (n === -1 ? a.shape[axis - full.length + a.shape.length] : n)));
    },
    reshape: (a, ...shape) => reshape(a, list(shape)), view: (a, ...shape) => reshape(a, list(shape)),
    flatten: (a) => reshape(a, [-1]), cat: (parts) => cat(parts), concatenate: (parts) => cat(parts), stack: (parts) => stack(parts),
    unsqueeze: (a, axis) => {
      const at = axis < 0 ? axis + a.shape.length + 1 : axis;
      return reshape(a, [...a.shape.slice(0, at), 1, ...a.shape.slice(at)]);
    },
    squeeze: (a, axis = null) => reshape(a, a.shape.filter((n, i) => n !== 1 || (axis !== null && (axis + a.shape.length) % a.shape.length !== i))),
    zeros_like: filled(0), ones_like: filled(1), full_like: (a, value) => filled(value)(a), tensor: lifted, array: lifted,
    dim: (a) => a.shape.length, size: (a, axis = null) => (axis === null ? a.shape : a.shape.at(axis)), numel: (a) => a.data.length,
    addcmul: (a, b, c) => combine(OPERATORS["+"], a, combine(OPERATORS["*"], b, c)),
    lerp: (a, b, weight) => combine(OPERATORS["+"], a, combine(OPERATORS["*"], weight, combine(OPERATORS["-"], b, a))),
  };
  const ORDER = { clamp: ["min", "max"], clip: ["min", "max"], unsqueeze: ["dim"], squeeze: ["dim"], size: ["dim"] };
  const CUTS = ["detach", "numpy", "item"];

  /** What a function gives; `run` is told where a gradient is cut, and asked for noise. */
  function called(name, given, named, run) {
    const [a, ...others] = given;
    const has = (table) => Object.hasOwn(table, name);
    const allowed = (...names) => {
      for (const key of Object.keys(named)) if (!names.includes(key)) throw new Problem(`${name} takes no argument “${key}” here`);
    };
    if (has(REDUCTIONS)) {
      allowed("dim", "keepdim");
      return reduce(REDUCTIONS[name], lifted(a), named.dim ?? others[0] ?? null, named.keepdim ?? others[1] ?? false);
    }
    if (has(SHAPING)) {
      const order = ORDER[name] ?? [];
      allowed(...order);
      const rest = order.map((key, i) => others[i] ?? named[key] ?? null);
      return SHAPING[name](a, ...(order.length ? rest : others));
    }
    allowed();
    if (has(ELEMENTWISE)) {
      if (given.length !== 1) throw new Problem(`${name} takes one argument, ${given.length} are given`);
      return map(ELEMENTWISE[name], a);
    }
    if (has(PAIRWISE)) return combine(PAIRWISE[name], a, others[0]);
    if (CUTS.includes(name)) return run.cut(name === "item" ? lifted(a).data[0] : a);
    if (name === "randn_like" || name === "randn") return run.noise(name === "randn" ? list(given) : a.shape);
    throw new Problem(`${name} is not known here`);
  }

  const KNOWN = new Set([REDUCTIONS, SHAPING, ELEMENTWISE, PAIRWISE].flatMap(Object.keys).concat(CUTS, "randn_like", "randn"));

  return { KNOWN, OPERATORS, called };
})();
