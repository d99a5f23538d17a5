/* What the explorers draw with: elements, axes, sliders, numbers, images; and how one takes the place of its picture. */
"use strict";

Explorers.panel = (() => {
  const FOLDER = document.currentScript.src.replace(/[^/]*$/, "");
  const SVG = new Set("svg g path circle ellipse line rect image text tspan".split(" "));

  /** An HTML or SVG element with attributes and children. */
  function element(tag, attributes = {}, ...children) {
    const node = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    change(node, attributes).append(...children);
    return node;
  }

  function change(node, attributes) {
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
  }

  // Numbers. The style sheet gives them a fixed width, so that nothing moves.

  const format = (value, digits) => {
    const text = Math.abs(value).toFixed(digits);
    return (value < 0 && Number(text) !== 0 ? "−" : "") + text;
  };

  /** A number that changes: `show(value)`; what is not finite shows as a dash. */
  function readout(digits) {
    const node = element("span", { class: "explorer-number" }, "–");
    function show(value) {
      node.textContent = Number.isFinite(value) ? format(value, digits) : "–";
      node.dataset.value = value;
    }
    return { node, show };
  }

  /** A table of numbers with a head for each row and, if there are several, each column. */
  function table(caption, columns, rows) {
    const head = (scope, content) => element("th", { scope }, content);
    const body = Object.entries(rows).map(([name, cells]) =>
      element("tr", {}, head("row", name), ...cells.map((cell) => element("td", {}, cell))),
    );
    const top = columns.length ? [element("tr", {}, element("td"), ...columns.map((name) => head("col", name)))] : [];
    return element("table", {}, element("caption", {}, caption), ...top, ...body);
  }

  /** A slider with its symbol and its value: `value`, and `set(place)`, which calls `changed` as a hand would. The value is
      the place of its knob, or what that means, such as the number whose logarithm it is. */
  function slider(name, spoken, { low, high, step, start, digits, meaning = (place) => place }, changed) {
    const input = element("input", { type: "range", min: low, max: high, step, value: start, "aria-label": spoken });
    const shown = readout(digits);
    const node = element("label", { class: "explorer-slider" }, element("i", {}, name), input, shown.node);
    const self = { node, input, set: (place) => ((input.value = place), moved()) };
    function read() {
      self.value = meaning(Number(input.value));
      shown.show(self.value);
      change(input, { "aria-valuetext": shown.node.textContent });
    }
    function moved() {
      read();
      changed();
    }
    read();
    input.addEventListener("input", moved);
    return self;
  }

  const button = (text, pressed, attributes = {}) => {
    const node = element("button", { type: "button", ...attributes }, text);
    node.addEventListener("click", pressed);
    return node;
  };

  /** A choice among options, each a text or [value, text]. */
  function select(spoken, options, chosen) {
    const pairs = options.map((option) => (Array.isArray(option) ? option : [option, option]));
    const node = element("select", { "aria-label": spoken }, ...pairs.map(([value, text]) => element("option", { value }, text)));
    if (chosen !== undefined) node.value = chosen;
    return node;
  }

  /** A control with its name before it. */
  const named = (name, node) => element("label", { class: "explorer-slider" }, element("span", {}, name), node);

  /** A question with a few answers, on one of which a reader bets: `value`, null until then, and `choose`, as a hand would. */
  function bet(question, answers, changed) {
    const self = { value: null, choose };
    const buttons = answers.map((answer) => button(answer, () => choose(answer), { "aria-pressed": false }));
    function choose(answer) {
      self.value = answer;
      buttons.forEach((node, i) => change(node, { "aria-pressed": answers[i] === answer }));
      changed();
    }
    const title = element("span", { class: "explorer-title" }, question);
    self.node = element("div", { class: "explorer-buttons", role: "group", "aria-label": question }, title, ...buttons);
    return self;
  }

  // Axes: a drawing whose `x` and `y` turn coordinates into places. What lies in `inside` is cut at the axes' ends. A tick
  // shows its coordinate, or its name, such as the number whose logarithm the coordinate is.

  function axes(spoken, { x, y, width = 360, height = 360, xLabel = "", yLabel = "", xTicks = [], yTicks = [], xNames = xTicks, yNames = yTicks }) {
    const [left, right, top, bottom] = [yTicks.length ? 38 : 10, width - 10, 10, height - (xTicks.length ? 40 : 10)];
    const scale = ([low, high], from, to) => (value) => from + ((value - low) / (high - low)) * (to - from);
    const self = { x: scale(x, left, right), y: scale(y, bottom, top), ranges: [x, y] };
    const short = (tick) => String(tick).replace("-", "−");
    const [across, down] = [right - left, bottom - top];
    const box = { x: left, y: top, width: across, height: down, viewBox: `${left} ${top} ${across} ${down}` };
    self.inside = element("svg", { class: "inside", ...box });
    self.layer = element("g");
    self.node = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": spoken },
      ...xTicks.map((tick) => element("path", { class: "grid", d: `M${self.x(tick)} ${bottom}V${top}` })),
      ...yTicks.map((tick) => element("path", { class: "grid", d: `M${left} ${self.y(tick)}H${right}` })),
      ...xTicks.map((tick, i) => element("text", { x: self.x(tick), y: bottom + 16, class: "middle" }, short(xNames[i]))),
      ...yTicks.map((tick, i) => element("text", { x: left - 6, y: self.y(tick) + 4, class: "end" }, short(yNames[i]))),
      element("text", { x: (left + right) / 2, y: height - 5, class: "middle" }, xLabel),
      element("text", { x: left + 5, y: top + 14 }, yLabel),
      self.inside,
      self.layer,
    );
    return self;
  }

  /** The path through the points (x, y). */
  const path = (on, xs, ys) => "M" + xs.map((x, i) => `${on.x(x).toFixed(2)} ${on.y(ys[i]).toFixed(2)}`).join("L");
  const through = (on, points) => path(on, points.map(([x]) => x), points.map(([, y]) => y));

  /** The latent plane, with the encoded test images of examples.js, each class with its name. */
  function plane(spoken) {
    const { limit, codes, labels, names } = Explorers.examples;
    const ticks = [-4, -2, 0, 2, 4];
    const range = [-limit, limit];
    const on = axes(spoken, { x: range, y: range, xLabel: "z₁", yLabel: "z₂", xTicks: ticks, yTicks: ticks });
    const classes = Array.from({ length: 10 }, (_, digit) => codes.filter((_, i) => labels[i] === digit));
    on.codes = classes.map((points, digit) => {
      const dots = points.map(([z1, z2]) => `M${on.x(z1).toFixed(1)} ${on.y(z2).toFixed(1)}h0`); // round ends alone
      return element("path", { class: `codes class-${digit}`, d: dots.join("") });
    });
    on.layer.append(...on.codes);
    names.forEach(([z1, z2], digit) => {
      const [x, y] = [on.x(z1), on.y(z2)];
      on.layer.append(
        element("circle", { class: "name", cx: x, cy: y, r: 9 }), element("text", { class: "middle name", x, y: y + 5 }, digit),
      );
    });
    return on;
  }

  /** A sentence that says what has changed, to readers of the page and of the screen. */
  function sentence() {
    const node = element("p", { class: "explorer-said", role: "status" });
    return { node, say: (text) => (node.textContent = text) };
  }

  /** An image of 28×28 pixels: `show(values)` with 0 for the paper and 1 for the ink. */
  function image(spoken) {
    const node = element("canvas", { width: 28, height: 28, role: "img", "aria-label": spoken });
    const context = node.getContext("2d");
    const show = (values) => context.putImageData(ink(values), 0, 0);
    return { node, show };
  }

  /** The values as black ink, more or less opaque; in the dark the style sheet inverts ink and paper. */
  function ink(values) {
    const data = new ImageData(28, 28);
    values.forEach((value, i) => (data.data[4 * i + 3] = Math.round(255 * value)));
    return data;
  }

  // From picture to explorer.

  const loaded = {};
  function load(name) {
    return (loaded[name] ??= new Promise((resolve, reject) => {
      const script = element("script", { src: `${FOLDER}${name}.js` });
      script.onload = resolve;
      script.onerror = reject;
      document.head.append(script);
    }));
  }

  /** Build each explorer of this name when it comes near the window; `needs` are the scripts that it waits for. */
  function mount(name, title, needs, build) {
    const observer = new IntersectionObserver(
      (entries) => entries.filter((entry) => entry.isIntersecting).forEach(({ target }) => start(target)),
      { rootMargin: "100%" },
    );
    async function start(container) {
      observer.unobserve(container);
      await Promise.all(needs.map(load)); // where one is missing the picture stays
      const picture = container.querySelector("img, .explorer-plain");
      const live = element("div", { class: "explorer-live", role: "group", "aria-label": title });
      build(live, container);
      picture.before(live);
      picture.hidden = true;
    }
    document.querySelectorAll(`.explorer-${name}`).forEach((container) => observer.observe(container));
  }

  return {
    axes, bet, button, change, element, format, image, ink, load, mount, named,
    path, plane, readout, select, sentence, slider, table, through,
  };
})();
