/* The verdict on a function that a reader has typed, as vae_tutorial.checks gives it: the arguments, the right answers and
   the known mistakes are those of the package, in catalogue.js. `compare` of the package is the original. */
"use strict";

Explorers.judge = (() => {
  const { Problem, Unusable, gap, largest, relativeGaps, sameShape } = Explorers.arrays;
  const { catalogue } = Explorers;
  const { beyond, nameGradient, nameOf, shapes } = Explorers.naming;
  const { compile, gradients, right, taking } = Explorers.typed;
  const { tolerance } = catalogue;

  /** Values and gradients on the fixed arguments. */
  function compared(question, fn) {
    const { exact, fixtures } = question;
    const came = fixtures.map((given) => fn.answer(given).value);
    const far = largest(came.map((a, i) => gap(a, exact[i])));
    const found = { came, gap: far, unit: question.unit, mistake: "" };
    if (!Number.isFinite(far)) return found;
    const slopes = fixtures.map((given, i) => gradients(fn, given, Object.keys(question.gradients[i])));
    const gaps = slopes.flatMap((slope, i) => Object.keys(slope).map((name) => gap(slope[name], question.gradients[i][name])));
    found.gap = largest([far, ...gaps]);
    if (far > tolerance || found.gap <= tolerance) return found;
    return { ...found, unit: "in its gradients", mistake: nameGradient(slopes, question.gradients) };
  }

  /** What a function must stand as well that is right on the fixed arguments. */
  function tried(question, fn) {
    for (const trial of question.trials) {
      const came = fn.answer(trial.arguments).value;
      const exact = right(question, trial.arguments);
      const far = sameShape(came, exact) ? largest(relativeGaps(came, exact)) : NaN;
      if (!(far <= tolerance)) return { gap: far, unit: catalogue.relative, mistake: beyond(question, fn, trial, came, exact) };
    }
    return null;
  }

  function diagnosed(question, fn) {
    const found = compared(question, fn);
    if (found.mistake) return found;
    if (found.gap <= tolerance) return tried(question, fn) ?? found;
    if (!fn.state.random) return { ...found, mistake: nameOf(question, fn, found.came) };
    const said = "Two calls with the same arguments gave different answers: it draws random numbers of its own.";
    return { ...found, mistake: `${said} ${Explorers.clues.first(question, fn, question.fixtures, found.came)}`.trimEnd() };
  }

  /** Where a function is right if it is given another spread than log_var, that is said. */
  function hint(question, fn) {
    const isRight = ({ gap: far, mistake }) => far <= tolerance && !mistake;
    const [, ...others] = Object.keys(catalogue.spreads); // the first is the log-variance itself
    const spread = others.find((name) => isRight(compared(question, taking(fn, name))));
    return spread ? ` It is right where it is given the ${spread.replace("_", " ")}: if that is meant, add spread=${spread}.` : "";
  }

  /** The verdict on a text: "pass", "fail", "yours" where nothing is written yet, "unread" where it cannot be called. */
  function judge(name, text) {
    const question = catalogue.questions[name];
    if (/^(return\b)?\s*(\.\.\.)?$/.test(text.trim())) return { verdict: "yours", mistake: catalogue.unwritten };
    let fn = null;
    try {
      fn = compile(question, text);
      const found = diagnosed(question, fn);
      if (!found.mistake) return { ...found, verdict: "pass", numpy: fn.state.numpy };
      const mistake = found.mistake + hint(question, fn);
      const entry = catalogue.entries.find(([words]) => new RegExp(words).test(`${question.check}: ${mistake}`));
      return { ...found, verdict: "fail", mistake: entry ? `${mistake} ${entry[1]}` : mistake };
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      const called = fn ? `Called with ${shapes(question.fixtures[0])}` : "";
      if (problem instanceof Unusable) return { verdict: "fail", gap: NaN, unit: question.unit, mistake: `${called}, it ${problem.message}` };
      return { verdict: "unread", mistake: `${called && `${called}: `}${problem.message}.` };
    }
  }

  return { judge };
})();
