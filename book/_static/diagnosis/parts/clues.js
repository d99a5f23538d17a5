/* What a function does to other arguments, as a clue to its mistake: the experiments of vae_tutorial.checks.clues.
   The catalogue says which a check makes, in which order; each gives its sentence, or "" where it has nothing to say. */
"use strict";

Explorers.clues = (() => {
  const { allClose, array, map, view } = Explorers.arrays;
  const { catalogue } = Explorers;
  const { known, right } = Explorers.typed;
  const near = (a, b) => allClose(a, b, 1e-6, 1e-6);
  const equal = (a, b) => allClose(a, b, 0);
  const some = (answers, test) => answers.some((a) => a.data.some(test));
  const finite = (a) => a.data.every(Number.isFinite);
  const signed = (number) => Explorers.naming.signed(Number(number.toFixed(4)));

  const KINDS = {
    nan_of_log_var(question, fn, fixtures, came) {
      if (came.length && !some(came, Number.isNaN)) return "";
      const mended = fixtures.map((given) => fn.answer({ ...given, log_var: map((t) => Math.abs(t) + 0.1, given.log_var) }).value);
      return some(mended, Number.isNaN) ? "" : catalogue.nan_of_log_var;
    },

    infinite: (question, fn, fixtures, came) =>
      some(came, (value) => Math.abs(value) === Infinity) ? `It returned an infinite number: ${catalogue.overflow}.` : "",

    unused_noise(question, fn, fixtures) {
      const [one, other] = [fixtures[0], { ...fixtures[0], eps: map((t) => 1 - t, fixtures[0].eps) }].map((given) => fn.answer(given).value);
      return allClose(one, other, catalogue.tolerance) ? "The noise eps is not used: z is to be μ + σε." : "";
    },

    clamped(question, fn, fixtures, came, { knobs }) {
      const found = [];
      for (const [name, { far, at }] of Object.entries(knobs)) {
        const turned = (t) => Object.fromEntries(Object.entries(at).map(([key, a]) => [key, map((value) => value ?? t, a)]));
        const where = [];
        for (const [word, sign] of [["below", -1], ["above", 1]]) {
          const end = clamp((t) => fn.answer(turned(t)).value, (t) => right(question, turned(t)), sign * far);
          if (end === null) continue;
          const limit = limitOf(fn, turned, at, sign * far);
          if (limit !== null) return `Its result is clamped at ${signed(limit)}, whatever the arguments are.`;
          where.push(`${word} ${signed(end)}`);
        }
        if (where.length) found.push(`${name} is clamped ${where.join(" and ")}`);
      }
      return found.length ? `Inside it ${found.join(" and ")}.` : "";
    },

    floored(question, fn, fixtures, came) {
      const zeros = (n) => array([2, n], Array(2 * n).fill(0));
      const atZero = (n) => fn.answer({ mu: zeros(n), log_var: zeros(n) }).value.data[0];
      const [one, three] = [atZero(1), atZero(3)];
      if (!(one > 0 && one < Infinity)) return "";
      const ofDimension = (given) => map((t) => Math.max(t, one), known(question.right, given));
      const floors = {
        "a dimension": [one, (given) => known(question.reductions[""], { t: ofDimension(given) })],
        "an example": [three, (given) => map((kl) => Math.max(kl, three), right(question, given))],
      };
      for (const [unit, [size, floor]] of Object.entries(floors))
        if (came.every((a, i) => allClose(a, floor(fixtures[i]), catalogue.tolerance)))
          return `It has a floor of ${signed(size)} nats ${unit}: free bits are an objective, not a divergence.`;
      return "";
    },

    added_to_spread(question, fn, fixtures, came, { mistakes }) {
      const logVar = array([3, 1], [-3, -9, -14]);
      const mu = map(() => 0.5, logVar);
      const x = map((t) => 0.5 + 1.5 * Math.exp(0.5 * t), logVar);
      const narrow = { mu, log_var: logVar, ...(fixtures[0].x && { x }) };
      const given = [...fixtures, narrow];
      const answers = [...came, fn.answer(narrow).value];
      const clause = Object.keys(mistakes).find((name) => answers.every((a, i) => near(a, known(mistakes[name], given[i], i))));
      return clause ? `It ${clause}: where σ is small, it is another function.` : "";
    },

    not_used(question, fn, fixtures) {
      const scaled = (name, factor) => fn.answer({ ...fixtures[0], [name]: map((t) => factor * t, fixtures[0][name]) }).value;
      const name = Object.keys(fixtures[0]).find((one) => allClose(scaled(one, 1), scaled(one, 1.5), 1e-9, 1e-9));
      return name ? `It gives the same answers where ${name} is multiplied by 1.5: it cancels, or is not used.` : "";
    },

    right_alone(question, fn, fixtures, came, { axes }) {
      const given = fixtures.find((each, i) => !near(came[i], right(question, each)));
      for (const { of, says } of Object.values(axes)) {
        const parts = oneByOne(given, of);
        if (parts.length > 1 && parts.every((part) => near(fn.answer(part).value, right(question, part)))) return says;
      }
      return "";
    },
  };

  /** From where on to `far` a function is constant, where it is right near 0 and should not be constant. */
  function clamp(fn, exact, far) {
    const [last, before, start] = [fn(far), fn(0.9 * far), 0.04 * Math.sign(far)];
    if (!finite(last) || !near(last, before) || near(exact(far), exact(0.9 * far)) || !near(fn(start), exact(start))) return null;
    let [inside, outside] = [start, 0.9 * far];
    for (let i = 0; i < 40; i++) {
      const middle = (inside + outside) / 2;
      if (equal(fn(middle), last)) outside = middle;
      else inside = middle;
    }
    return outside;
  }

  /** The number that the result stays at although the arguments that the knob leaves alone are moved, too. */
  function limitOf(fn, turned, at, far) {
    const here = turned(far);
    const moved = Object.fromEntries(Object.entries(here).map(([name, a]) => [name, array(a.shape, a.data.map((t, i) => (at[name].data[i] === null ? t : t + 0.1)))]));
    const [came, other] = [here, moved].map((given) => fn.answer(given).value);
    return equal(came, other) ? came.data[0] : null;
  }

  /** The arguments taken apart along their axis `of`, counted from the end. */
  function oneByOne(given, of) {
    const axis = (name) => (of[name] === undefined ? -1 : given[name].shape.length + of[name]);
    const names = Object.keys(given).filter((name) => axis(name) >= 0);
    const n = Math.min(...names.map((name) => given[name].shape[axis(name)]));
    const part = (a, at, i) => {
      const steps = a.shape.map((_, k) => a.shape.slice(k + 1).reduce((total, length) => total * length, 1));
      return view(a, a.shape.map((length, k) => (k === at ? 1 : length)), steps, i * steps[at]);
    };
    return Array.from({ length: names.length ? n : 0 }, (_, i) =>
      Object.fromEntries(Object.entries(given).map(([name, a]) => [name, names.includes(name) ? part(a, axis(name), i) : a])));
  }

  /** The first that has something to say; an experiment under which the function fails says nothing. */
  function first(question, fn, fixtures, came) {
    for (const clue of question.clues) {
      try {
        const said = KINDS[clue.kind ?? clue](question, fn, fixtures, came, clue);
        if (said) return said;
      } catch (problem) {
        if (!(problem instanceof Explorers.arrays.Problem) && !(problem instanceof TypeError)) throw problem;
      }
    }
    return "";
  }

  return { first };
})();
