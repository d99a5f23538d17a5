/* The name of a mistake: from the catalogue, or read off the answers; else the evidence. vae_tutorial.checks.naming is the
   original, and the sentences are its. */
"use strict";

Explorers.naming = (() => {
  const { allClose, array, relativeGaps, sameShape, shown } = Explorers.arrays;
  const { catalogue } = Explorers;
  const { known } = Explorers.typed;
  const { first: clueOf } = Explorers.clues;
  const same = (a, b) => allClose(a, b, catalogue.tolerance);

  // Numbers as Python writes them.

  /** As `{:.4g}` does: so many digits, a power of ten where it is small or large. */
  function general(value, digits) {
    if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf";
    const [mantissa, exponent] = value.toExponential(digits - 1).split("e").map(Number);
    if (exponent >= -4 && exponent < digits) return String(Number(value.toPrecision(digits)));
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }

  const signed = (weight) => general(Number(weight.toFixed(6)) + 0, 6).replace("-", "−");

  /** With as few digits as it takes to see that they differ, and at least four. */
  function toldApart(one, other, show = general) {
    for (let digits = 4; ; digits++) {
      const pair = [show(one, digits), show(other, digits)];
      if (pair[0] !== pair[1] || digits === 17) return pair;
    }
  }

  function numbers(values, digits = 4) {
    const fixed = (value) => (Number.isFinite(value) ? value.toFixed(digits) : general(value, 4));
    return `[${values.slice(0, 4).map(fixed).join(", ")}${values.length > 4 ? ", …" : ""}]`;
  }

  const shapes = (given) => Object.entries(given).map(([name, a]) => `${name} ${shown(a.shape)}`).join(", ");

  /** The numbers of one example, or draw of it. */
  function rowOf(given, row) {
    const cut = (a) => {
      const width = a.shape.at(-1);
      const at = Math.min(row, a.data.length / width - 1);
      return a.data.slice(at * width, (at + 1) * width);
    };
    return Object.entries(given).map(([name, a]) => `${name} = ${numbers(cut(a))}`).join(", ");
  }

  // From the catalogue.

  /** Every combination of a formula, a reduction and a factor but the right one; those with the fewest mistakes first. */
  function* hypotheses(question) {
    const formulas = { "": question.right, ...question.formulas };
    const { reductions, factors } = question;
    const pairs = (keys, others) => keys.flatMap((key) => others.map((other) => [key, other].flat()));
    const names = pairs(Object.keys(formulas), pairs(Object.keys(reductions), Object.keys(factors)));
    const mistakes = (clause) => clause.filter(Boolean).length;
    const values = new Map();
    for (const [formula, reduction, factor] of names.sort((a, b) => mistakes(a) - mistakes(b)).slice(1)) {
      const value = (i) => {
        const key = `${i} ${formula}`;
        if (!values.has(key)) values.set(key, known(formulas[formula], question.fixtures[i], i));
        const reduced = known(reductions[reduction], { t: values.get(key) }, i);
        return array(reduced.shape, reduced.data.map((number) => factors[factor] * number));
      };
      yield { clause: [formula, reduction, factor].filter(Boolean).join("; it "), value };
    }
  }

  function nameOf(question, fn, came) {
    const { exact, fixtures } = question;
    const clue = () => clueOf(question, fn, fixtures, came);
    if (!came.every((a) => a.data.every(Number.isNaN))) // else every mistake that gives NaN would match
      for (const { clause, value } of hypotheses(question)) if (came.every((a, i) => same(a, value(i)))) return `It ${clause}.`;
    const odd = came.findIndex((a, i) => !sameShape(a, exact[i]));
    if (odd >= 0) return `${odd ? `For ${shapes(fixtures[odd])} it` : "It"} ${wrongShape(came[odd], exact[odd])} ${clue()}`.trimEnd();
    if (!came.some((a) => a.data.some((value) => value !== 0))) return "It returned 0 for every example.";
    return weightsOf(question, fn, came) || clue() || `No known mistake matches. ${evidence(came, exact, fixtures)}`;
  }

  function wrongShape(came, exact) {
    const squeezed = exact.shape.filter((n) => n !== 1);
    const isSqueezed = String(came.shape) === String(squeezed) && squeezed.length < exact.shape.length;
    const advice = isSqueezed ? " An axis of length 1 is squeezed away: say which axis is meant, as in squeeze(-1)." : "";
    return `returned shape ${shown(came.shape)}, where ${shown(exact.shape)} is expected.${advice}`;
  }

  // From the answers.

  /** The terms that enter with a wrong weight, where the answers are a weighted sum of the right terms everywhere. */
  function weightsOf(question, fn, came) {
    const terms = Object.values(question.terms).map(([, text]) => text);
    const columns = (given, i) => terms.map((text) => known(text, given, i).data);
    const rows = (list) => list[0].map((_, row) => list.map((column) => column[row]));
    const target = came.flatMap((a) => a.data);
    if (!target.every(Number.isFinite)) return "";
    const matrix = question.fixtures.flatMap((given, i) => rows(columns(given, i)));
    const weights = leastSquares(matrix, target);
    const sum = (row) => row.reduce((total, value, j) => total + weights[j] * value, 0);
    if (!matrix.every((row, i) => Math.abs(sum(row) - target[i]) <= catalogue.tolerance)) return "";
    for (const [i, { arguments: given }] of question.trials.entries()) {
      const all = rows(columns(given, question.fixtures.length + i)).map(sum);
      if (!allClose(array([all.length], all), array([all.length], fn.answer(given).value.data), 1e-4, 1e-4)) return "";
    }
    const wrong = Object.entries(question.terms).flatMap(([name, [belongs]], i) =>
      Math.abs(weights[i] - belongs) > catalogue.tolerance ? [`${name} enters with weight ${signed(weights[i])}, where ${signed(belongs)} belongs`] : []);
    return wrong.length ? `Its terms are right, their weights are not: ${wrong.join("; ")}.` : "";
  }

  /** By the normal equations, and elimination. */
  function leastSquares(matrix, target) {
    const n = matrix[0].length;
    const dot = (f, g) => matrix.reduce((total, row, i) => total + f(row, i) * g(row, i), 0);
    const system = Array.from({ length: n }, (_, i) =>
      [...Array.from({ length: n }, (_, j) => dot((row) => row[i], (row) => row[j])), dot((row) => row[i], (_, k) => target[k])]);
    for (let i = 0; i < n; i++) {
      const pivot = system.slice(i).reduce((best, row, k) => (Math.abs(row[i]) > Math.abs(system[best][i]) ? k + i : best), i);
      [system[i], system[pivot]] = [system[pivot], system[i]];
      for (let k = 0; k < n; k++) {
        const factor = k === i ? 0 : system[k][i] / system[i][i];
        system[k] = system[k].map((value, j) => value - factor * system[i][j]);
      }
    }
    return system.map((row, i) => row[n] / row[i]);
  }

  /** What came and what was expected, for the arguments where they differ first. */
  function evidence(came, exact, fixtures) {
    const i = Math.max(came.findIndex((a, k) => !same(a, exact[k])), 0);
    const [a, b] = [came[i], exact[i]];
    const width = a.shape.length === 2 ? a.shape[1] : 1;
    const wrong = a.shape.length > 2 ? 0 : Math.max(a.data.findIndex((value, k) => !(Math.abs(value - b.data[k]) <= catalogue.tolerance)), 0);
    const row = width > 1 ? Math.floor(wrong / width) : wrong >= 4 ? wrong : 0;
    const place = width > 1 && wrong % width >= 4 ? wrong % width : 0; // the first four are shown anyway
    const whole = (c) => c.data.slice((row * c.data.length) / c.shape[0], ((row + 1) * c.data.length) / c.shape[0]);
    const part = (c) => (a.shape.length > 1 ? whole(c).slice(place) : row ? [c.data[row]] : c.data);
    const [one, other] = toldApart(part(a), part(b), numbers);
    const begin = row ? rowOf(fixtures[i], row) : `arguments that begin ${rowOf(fixtures[i], 0)}`;
    return `For ${begin} it gave ${one}${place ? ` from number ${place + 1} on` : ""}, where ${other} is expected.`;
  }

  /** What is said of a function that is right on the fixed arguments, and not on these. */
  function beyond(question, fn, { place, arguments: given }, came, exact) {
    if (!sameShape(came, exact)) return `${place}, it ${wrongShape(came, exact)}`;
    const clue = clueOf(question, fn, [given], [came]);
    if (clue) return clue;
    const off = relativeGaps(came, exact).map((gap) => (Number.isNaN(gap) ? Infinity : gap));
    const worst = off.indexOf(Math.max(...off));
    const [one, other] = toldApart(came.data[worst], exact.data[worst]);
    const row = exact.shape.length === 1 ? worst : Math.floor(worst / exact.shape.at(-1));
    return `It is right for the first arguments. ${place}, ${rowOf(given, row)}, it gave ${one}, where ${other} is expected.`;
  }

  function nameGradient(came, exact) {
    const wrong = came.findIndex((slopes, i) => Object.keys(slopes).some((name) => !same(slopes[name], exact[i][name])));
    const zero = (a) => a.data.every((value) => value === 0);
    const names = Object.keys(came[wrong]);
    const dead = names.filter((name) => zero(came[wrong][name]) && !zero(exact[wrong][name]));
    if (dead.length === names.length)
      return "Its values are right, but it carries no gradient: detach(), .data, .item(), NumPy or torch.no_grad() cut it off.";
    if (dead.length) return `Its values are right, but no gradient reaches ${dead.join(" and ")}: detached on the way.`;
    const pairs = came.flatMap((slopes, i) => names.flatMap((name) => slopes[name].data.map((value, k) => ({ name, value, right: exact[i][name].data[k] }))));
    const off = ({ value, right }) => Math.abs(value - right);
    const { name, value, right } = pairs.reduce((worst, pair) => (off(pair) > off(worst) ? pair : worst));
    const [one, other] = toldApart([value], [right], numbers);
    return `Its values are right, its gradient is not, and no known mistake matches: with respect to ${name} an entry is ${one}, where ${other} is expected.`;
  }

  return { beyond, general, nameGradient, nameOf, shapes, signed };
})();
