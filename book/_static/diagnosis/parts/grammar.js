/* The Python that a reader types, a few lines of NumPy or PyTorch, as trees. jsep parses expressions; lines are read here. */
"use strict";

Explorers.grammar = (() => {
  const { Problem } = Explorers.arrays;

  // The grammar: jsep's, with Python's operators, slices, and a minus sign that is weaker than a power.

  jsep.removeAllBinaryOps().removeAllUnaryOps().removeAllLiterals();
  for (const [operator, precedence] of Object.entries({ ",": 1, "=": 2, ":": 3, "+": 9, "-": 9, "*": 10, "/": 10 }))
    jsep.addBinaryOp(operator, precedence);
  jsep.addBinaryOp("**", 11, true);

  const binary = (operator, left, right) => ({ type: "BinaryExpression", operator, left, right });
  jsep.hooks.add("gobble-token", function (found) {
    const sign = this.char;
    if (this.expr.startsWith("...", this.index)) {
      this.index += 3;
      found.node = { type: "Ellipsis" };
    } else if (sign === ":") {
      found.node = { type: "Empty" }; // before the colon of [:2]
    } else if ((sign === "," || sign === "]") && /:\s*$/.test(this.expr.slice(0, this.index))) {
      found.node = { type: "Empty" }; // behind that of [2:]
    } else if (sign === "(") {
      const inside = this.gobbleGroup();
      const isTuple = inside && inside.operator === ",";
      found.node = this.gobbleTokenProperty(isTuple ? { type: "ArrayExpression", elements: [inside] } : inside);
    } else if (sign === "-" || sign === "+") {
      this.index++;
      let argument = this.gobbleToken();
      this.gobbleSpaces();
      if (argument && this.expr.startsWith("**", this.index)) {
        this.index += 2;
        argument = binary("**", argument, this.gobbleToken());
      }
      if (!argument) throw new Problem(`nothing stands behind “${sign}”`);
      found.node = { type: "UnaryExpression", operator: sign, argument };
    }
  });

  /** The parts between commas. */
  const items = (node) => (node.type === "BinaryExpression" && node.operator === "," ? [...items(node.left), node.right] : [node]);

  /** The lines of a program; what stands in brackets is one line. */
  function logicalLines(text) {
    const lines = [""];
    const open = [];
    for (const [character] of text.replace(/#.*/g, "").replace(/\\\n/g, " ").replaceAll("−", "-").matchAll(/[^]/g)) {
      if ("([{".includes(character)) open.push(character);
      if (")]}".includes(character)) {
        const before = open.pop();
        if (before === undefined) throw new Problem(`“${character}” closes nothing: a bracket too many`);
        if ("([{".indexOf(before) !== ")]}".indexOf(character)) throw new Problem(`“${before}” is closed by “${character}”`);
      }
      if (character === "\n" && !open.length) lines.push("");
      else lines[lines.length - 1] += character === "\n" ? " " : character;
    }
    if (open.length) throw new Problem(`“${open.pop()}” is never closed: a bracket is missing`);
    return lines.map((line) => line.trim()).filter(Boolean);
  }

  const namesOf = (list) => list.split(",").map((name) => name.replace(/[:=].*/, "").trim()).filter(Boolean);

  function parsed(line) {
    let node;
    if (line.includes("^")) throw new Problem(`“${line}” cannot be read: a power is ** in Python, not ^`);
    try {
      node = jsep(line);
    } catch (error) {
      throw new Problem(error instanceof Problem ? error.message : `“${line}” cannot be read: ${error.message}`);
    }
    if (node.type === "Compound") throw new Problem(`“${line}” is more than one expression: something such as * is missing`);
    return node;
  }

  /** The steps of a function's body, with or without `def f(a, b):` or `lambda a, b:` before it. */
  function parse(text) {
    let parameters = null;
    const steps = [];
    for (let line of logicalLines(text)) {
      if (/^(import|from)\s/.test(line)) continue;
      const head = /^def\s+\w+\s*\(([^()]*)\)\s*(?:->.*)?:(.*)$/.exec(line) ?? /^(?:\w+\s*=\s*)?lambda\s+([^:]*):(.*)$/.exec(line);
      if (head) [parameters, line] = [namesOf(head[1]), head[2].trim()];
      line = line.replace(/^([^\s=()]+)\s*([-+*/])=(?!=)\s*(.*)$/, "$1 = $1 $2 ($3)");
      const last = /^return\b/.test(line);
      if (last) line = line.slice(6).trim();
      if (!line) continue;
      const node = parsed(line);
      const assigns = node.type === "BinaryExpression" && node.operator === "=";
      if (assigns && node.left.type !== "Identifier") throw new Problem("only a name can stand to the left of “=”");
      steps.push(assigns ? { name: node.left.name, node: node.right } : { name: null, node });
      if (last) break;
    }
    return { parameters, steps };
  }

  return { items, parse };
})();
