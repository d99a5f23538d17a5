/* What a reader has typed, as a function of the arguments of a check; and the lines of the catalogue, which are of the kind. */
"use strict";

Explorers.typed = (() => {
  const { Problem, Unusable, array, index, isArray, stack } = Explorers.arrays;
  const { catalogue } = Explorers;
  const { evaluate } = Explorers.python;
  const { parse } = Explorers.grammar;
  const OTHER_NAMES = {
    log_var: ["logvar", "log_variance", "log_sigma2", "log_sigma_sq"], mu: ["μ"], eps: ["epsilon", "noise", "ε"],
    sigma: ["std", "sd", "stddev", "σ"], var: ["variance", "sigma2", "sigma_sq", "σ²"], log_sigma: ["log_std", "logstd"],
  };
  const ALIASES = new Map(Object.entries(OTHER_NAMES).flatMap(([name, others]) => [name, ...others].map((other) => [other, name])));
  const DERIVED = { sigma: catalogue.spreads.standard_deviation, var: catalogue.spreads.variance, log_sigma: "0.5 * log_var" };

  const OTHER_NOISE =
    "drew no Gaussian noise of the shape of mu by torch.randn, torch.randn_like, torch.normal or rsample: " +
    "z is to be μ + σε. To have it checked with other noise, take eps as a third argument.";

  // The catalogue.

  const programs = new Map();

  /** A line of the catalogue on these arguments; number `i` of its texts where each of the fixtures has its own. */
  function known(text, given, i = 0) {
    const line = Array.isArray(text) ? text[i] : text;
    if (!programs.has(line)) programs.set(line, parse(line));
    return evaluate(programs.get(line), { names: (name) => given[name] });
  }

  /** The right answer. */
  const right = (question, given) => known(question.reductions[""], { t: known(question.right, given) });

  // What is typed.

  const kind = (value) => {
    if (Array.isArray(value)) return `tuple of ${value.length}`;
    return value === null ? "NoneType" : { number: "float", boolean: "bool" }[typeof value] ?? "function";
  };

  /** Numbers in the place of noise that is nobody's but the function's: the same at each call, and like no other. */
  const ownNoise = (shape) => {
    const n = shape.reduce((total, length) => total * length, 1);
    return array(shape, Array.from({ length: n }, (_, i) => 2 * Math.sin(7 * (i + 1) ** 2)));
  };

  function compile(question, text) {
    const program = parse(text);
    const own = Object.keys(question.fixtures[0]);
    const read = new Set();
    const state = { numpy: false, random: false };

    /** One call. Of `frozen`, what earlier calls have cut off, each cut takes its part: there no gradient goes on. */
    function once(given, noise, cuts, frozen) {
      function names(name) {
        const at = program.parameters?.indexOf(name) ?? -1;
        if (at >= 0 && at < own.length) return given[own[at]];
        const ours = ALIASES.get(name) ?? name;
        read.add(ours);
        if (Object.hasOwn(given, ours)) return given[ours];
        return Object.hasOwn(DERIVED, ours) ? known(DERIVED[ours], given) : undefined;
      }
      const run = { names, noise, known: `${own.join(", ")}, sigma, var and log_sigma`, numpy: false };
      run.cut = (value) => {
        cuts.push(value);
        return frozen ? frozen[cuts.length - 1] : value;
      };
      const value = evaluate(program, run);
      state.numpy ||= run.numpy;
      if (!isArray(value)) throw new Unusable(`returned ${kind(value)}, where a torch.Tensor is expected.`);
      return value;
    }

    /** A sampler that takes no eps draws the noise that it is given: one draw at a time. */
    function drawsForItself() {
      let draws = false;
      const noise = (shape) => ((draws = true), ownNoise(shape));
      try {
        once(question.fixtures.at(-1), noise, [], null);
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem; // the call that counts will say it
      }
      return draws && own.includes("eps") && (program.parameters ? program.parameters.length === 2 : !read.has("eps"));
    }

    const forItself = drawsForItself();
    const taken = (draw) => (shape) => {
      if (String(shape) === String(draw.shape)) return draw;
      throw new Unusable(OTHER_NOISE);
    };

    function answer(given, frozen = null) {
      const cuts = [];
      const { eps, ...rest } = given;
      if (!forItself) {
        const noise = (shape) => ((state.random = true), ownNoise(shape));
        return { value: once(given, noise, cuts, frozen), cuts };
      }
      if (eps.shape.length === given.mu.shape.length) return { value: once(rest, taken(eps), cuts, frozen), cuts };
      const draws = Array.from({ length: eps.shape[0] }, (_, k) => index(eps, [k]));
      return { value: stack(draws.map((draw) => once(rest, taken(draw), cuts, frozen))), cuts };
    }
    return { answer, state };
  }

  /** The same function, given the variance or the standard deviation in the place of log_var. */
  function taking(fn, spread) {
    const moved = (given) => ({ ...given, log_var: known(catalogue.spreads[spread], given) });
    return { ...fn, answer: (given, frozen) => fn.answer(moved(given), frozen) };
  }

  /** Gradients of a sum with unequal weights, by central differences; what is cut stays as it is. */
  function gradients(fn, given, names) {
    const { cuts, value } = fn.answer(given);
    const last = Math.max(value.data.length - 1, 1);
    const total = (moved) => fn.answer(moved, cuts).value.data.reduce((sum, number, i) => sum + (1 + i / last) * number, 0);
    const shifted = (name, place, shift) =>
      ({ ...given, [name]: array(given[name].shape, given[name].data.map((number, i) => number + (i === place ? shift : 0))) });
    const step = 1e-5;
    const slope = (name, place) => (total(shifted(name, place, step)) - total(shifted(name, place, -step))) / (2 * step);
    return Object.fromEntries(names.map((name) => [name, array(given[name].shape, given[name].data.map((_, place) => slope(name, place)))]));
  }

  return { compile, gradients, known, right, taking };
})();
