/* The value of the Python that a reader types. Nothing is run but what stands in the tables of functions.js. */
"use strict";

Explorers.python = (() => {
  const { Problem, combine, index, isArray, lifted, map, product, reduce, transpose } = Explorers.arrays;
  const { KNOWN, OPERATORS, called } = Explorers.functions;
  const { items, parse } = Explorers.grammar;

  const CONSTANTS = { pi: Math.PI, e: Math.E, inf: Infinity, nan: NaN, newaxis: null };
  const MODULES = { torch: "torch", np: "np", numpy: "np", math: "math", F: "torch" };
  const NAMED = new Map([["axis", "dim"], ["keepdims", "keepdim"], ["a_min", "min"], ["a_max", "max"]]); // NumPy's, and PyTorch's
  const BUILTINS = { True: true, False: false, None: null };

  // The evaluation of a tree. `run` holds the names, and what becomes of cut gradients and of noise.

  function value(node, run) {
    switch (node.type) {
      case "Literal":
        if (typeof node.value !== "number") throw new Problem(`text such as ${node.raw} is not known here`);
        return node.value;
      case "Ellipsis": return "...";
      case "Identifier": return nameOf(node.name, run);
      case "ArrayExpression": return node.elements.flatMap((element) => items(element)).map((element) => value(element, run));
      case "UnaryExpression": return map(node.operator === "-" ? (t) => -t : (t) => t, number(value(node.argument, run)));
      case "BinaryExpression":
        if (node.operator === ",") return items(node).map((part) => value(part, run));
        if (!Object.hasOwn(OPERATORS, node.operator)) throw new Problem(`“${node.operator}” cannot stand here`);
        return combine(OPERATORS[node.operator], number(value(node.left, run)), number(value(node.right, run)));
      case "MemberExpression": return node.computed ? element(node, run) : attribute(value(node.object, run), node.property.name, run);
      case "CallExpression": return call(node, run);
      default: throw new Problem("only names, numbers, + − * / **, brackets and calls are known here");
    }
  }

  function number(found) {
    if (typeof found === "number" || isArray(found)) return found;
    throw new Problem(`a number or an array is expected, not ${found === null ? "None" : found.call ? "a function: it is to be called, as in f(x)" : String(found)}`);
  }

  function nameOf(name, run) {
    const found = run.names(name);
    if (found !== undefined) return found;
    if (Object.hasOwn(BUILTINS, name)) return BUILTINS[name];
    if (Object.hasOwn(MODULES, name)) return { module: MODULES[name] };
    if (name === "len") return { call: ([a]) => (isArray(a) ? a.shape[0] : a.length) };
    if (name === "sum") return { call: ([a]) => called("sum", [a, 0], {}, run) };
    if (name === "abs" || name === "pow") return { call: (given) => called(name, given, {}, run) };
    const module = KNOWN.has(name) ? "torch" : Object.hasOwn(CONSTANTS, name) ? "math" : null;
    if (module) throw new Problem(`the name “${name}” alone is not known: write ${module}.${name}`);
    throw new Problem(`the name “${name}” is not known${run.known ? `: there are ${run.known}` : ""}`);
  }

  function attribute(object, name, run) {
    if (object?.module) return ofModule(object.module, name, run);
    if (Array.isArray(object) && name === "numel") return { call: () => product(object) };
    const a = lifted(number(object));
    if (name === "shape") return a.shape;
    if (name === "ndim") return a.shape.length;
    if (name === "data") return run.cut(a);
    if (name === "T") return transpose(a, 0, 1);
    if (!KNOWN.has(name)) throw new Problem(`an array has no “.${name}” here`);
    return { call: (given, named) => called(name, [object, ...given], named, run) };
  }

  function ofModule(module, name, run) {
    if (Object.hasOwn(CONSTANTS, name)) return CONSTANTS[name];
    if (module === "torch" && (name === "nn" || name === "functional")) return { module };
    if (module === "torch" && name === "distributions") throw new Problem("torch.distributions is not known here: write the formula");
    const alone = name === "cat" || name === "stack" || name === "concatenate" || name === "tensor" || name === "array" || name === "randn";
    if (!KNOWN.has(name)) throw new Problem(`${module}.${name} is not known here`);
    return { call(given, named) {
      if (module === "math" && given.some(isArray)) throw new Problem(`math.${name} takes a number: for an array write torch.${name}`);
      if (module === "torch" && !alone && !given.some(isArray)) throw new Problem(`torch.${name} takes a tensor: for a number write math.${name}`);
      if (module === "np" && given.some(isArray)) run.numpy = true;
      return called(name, given, named, run);
    } };
  }

  function call(node, run) {
    const callee = value(node.callee, run);
    if (!callee?.call) throw new Problem("a number is followed by “(”: for a product write *");
    const [given, named] = [[], Object.create(null)];
    for (const argument of node.arguments.flatMap(items)) {
      if (argument.operator === "=") named[NAMED.get(argument.left.name) ?? argument.left.name] = value(argument.right, run);
      else given.push(value(argument, run));
    }
    return callee.call(given, named);
  }

  function element(node, run) {
    const object = value(node.object, run);
    const part = (item) => {
      if (item.type !== "BinaryExpression" || item.operator !== ":") return value(item, run);
      const end = (side) => (side.type === "Empty" ? null : value(side, run));
      return { start: end(item.left), stop: end(item.right) };
    };
    const asked = items(node.property).map(part);
    return Array.isArray(object) ? object.at(asked[0]) : index(object, asked);
  }

  /** The result of a program: that of its last step. `run.names` gives what is known outside. */
  function evaluate(program, run) {
    const own = new Map();
    const inside = Object.assign(Object.create(run), { names: (name) => (own.has(name) ? own.get(name) : run.names(name)) });
    let result = null;
    for (const { name, node } of program.steps) {
      result = value(node, inside);
      if (name !== null) own.set(name, result);
    }
    if (inside.numpy) run.numpy = true;
    return result;
  }

  return { evaluate, parse };
})();
