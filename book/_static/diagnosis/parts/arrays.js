/* Arrays of numbers with a shape, as NumPy and PyTorch have them: what the functions that a reader types compute with. */
"use strict";

Explorers.arrays = (() => {
  /** What is wrong with what was typed, in words for whoever typed it. */
  class Problem extends Error {}

  /** The function was called, and gave nothing to compare. */
  class Unusable extends Problem {}

  const array = (shape, data) => ({ shape, data });
  const isArray = (value) => value !== null && typeof value === "object" && Array.isArray(value.data);
  const lifted = (value) => (isArray(value) ? value : array([], [value]));
  const product = (numbers) => numbers.reduce((total, n) => total * n, 1);
  const shown = (shape) => `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;

  /** How far apart in the data two neighbors along each axis lie. */
  const strides = (shape) => shape.map((_, axis) => product(shape.slice(axis + 1)));

  /** The numbers of `a` that lie `steps` apart along each axis of a new shape. */
  function view(a, shape, steps, start = 0) {
    const each = strides(shape);
    return array(shape, Array.from({ length: product(shape) }, (_, i) => {
      let place = start;
      shape.forEach((n, axis) => (place += (Math.floor(i / each[axis]) % n) * steps[axis]));
      return a.data[place];
    }));
  }

  function axisOf(a, axis) {
    const found = axis < 0 ? axis + a.shape.length : axis;
    if (!Number.isInteger(found) || found < 0 || found >= a.shape.length)
      throw new Problem(`there is no axis ${axis} in an array of shape ${shown(a.shape)}`);
    return found;
  }

  function expand(a, shape) {
    const missing = shape.length - a.shape.length;
    const own = strides(a.shape);
    const steps = shape.map((n, axis) => {
      const length = axis < missing ? 1 : a.shape[axis - missing];
      if (missing < 0 || (length !== n && length !== 1))
        throw new Problem(`an array of shape ${shown(a.shape)} cannot be expanded to ${shown(shape)}`);
      return length === 1 ? 0 : own[axis - missing];
    });
    return view(a, shape, steps);
  }

  /** The shape that both can be expanded to: from the right, the lengths are equal, or one of them is 1. */
  function common(a, b) {
    const length = (shape, i) => shape[shape.length - 1 - i] ?? 1;
    return Array.from({ length: Math.max(a.length, b.length) }, (_, i) => {
      const [one, other] = [length(a, i), length(b, i)];
      if (one !== other && one !== 1 && other !== 1)
        throw new Problem(`shapes ${shown(a)} and ${shown(b)} do not fit: from the right, ${one} stands beside ${other}`);
      return one === 1 ? other : one;
    }).reverse();
  }

  const map = (f, a) => (isArray(a) ? array(a.shape, a.data.map((value) => f(value))) : f(a));

  function combine(f, a, b) {
    if (!isArray(a) && !isArray(b)) return f(a, b);
    const shape = common(lifted(a).shape, lifted(b).shape);
    const [left, right] = [a, b].map((side) => expand(lifted(side), shape).data);
    return array(shape, left.map((value, i) => f(value, right[i])));
  }

  /** One number for all that lie along these axes; all axes where none is named. */
  function reduce(f, a, axes = null, keep = false) {
    const gone = (axes === null ? a.shape.map((_, axis) => axis) : [axes].flat()).map((axis) => axisOf(a, axis));
    const left = a.shape.map((_, axis) => axis).filter((axis) => !gone.includes(axis));
    const own = strides(a.shape);
    const pick = (from, list) => list.map((axis) => from[axis]);
    const width = product(pick(a.shape, gone));
    const rows = view(a, pick(a.shape, [...left, ...gone]), pick(own, [...left, ...gone])).data;
    const shape = keep ? a.shape.map((n, axis) => (gone.includes(axis) ? 1 : n)) : pick(a.shape, left);
    return array(shape, Array.from({ length: product(shape) }, (_, i) => f(rows.slice(i * width, (i + 1) * width))));
  }

  function transpose(a, first, second) {
    const order = a.shape.map((_, axis) => axis);
    const [i, j] = [axisOf(a, first), axisOf(a, second)];
    [order[i], order[j]] = [order[j], order[i]];
    const own = strides(a.shape);
    return view(a, order.map((axis) => a.shape[axis]), order.map((axis) => own[axis]));
  }

  /** `a[items]`: each item is a number, `{ start, stop }`, null for a new axis, or "..." for all axes not named. */
  function index(a, items) {
    const used = items.filter((item) => item !== null && item !== "...").length;
    if (used > a.shape.length) throw new Problem(`an array of shape ${shown(a.shape)} takes no ${used} indices`);
    const rest = Array(a.shape.length - used).fill({ start: null, stop: null });
    const all = items.includes("...") ? items.flatMap((item) => (item === "..." ? rest : [item])) : [...items, ...rest];
    const own = strides(a.shape);
    const [shape, steps] = [[], []];
    let [axis, start] = [0, 0];
    for (const item of all) {
      if (item === null) {
        shape.push(1);
        steps.push(0);
        continue;
      }
      const [n, step] = [a.shape[axis], own[axis++]];
      const within = (place) => Math.min(Math.max(place < 0 ? place + n : place, 0), n);
      if (typeof item === "number") {
        if (!Number.isInteger(item) || item < -n || item >= n) throw new Problem(`index ${item} is out of bounds: the axis has length ${n}`);
        start += (item < 0 ? item + n : item) * step;
      } else {
        const [low, high] = [within(item.start ?? 0), within(item.stop ?? n)];
        shape.push(Math.max(high - low, 0));
        steps.push(step);
        start += low * step;
      }
    }
    return view(a, shape, steps, start);
  }

  function reshape(a, shape) {
    const known = product(shape.filter((n) => n !== -1));
    const full = shape.map((n) => (n === -1 ? a.data.length / known : n));
    if (product(full) !== a.data.length) throw new Problem(`shape ${shown(a.shape)} cannot be made ${shown(shape)}`);
    return array(full, a.data);
  }

  /** Arrays one after the other along their first axis. */
  function cat(parts) {
    if (new Set(parts.map((part) => String(part.shape.slice(1)))).size !== 1)
      throw new Problem(`shapes ${parts.map((part) => shown(part.shape)).join(" and ")} cannot be joined`);
    const length = parts.reduce((total, part) => total + part.shape[0], 0);
    return array([length, ...parts[0].shape.slice(1)], parts.flatMap((part) => part.data));
  }

  const stack = (parts) => cat(parts.map((part) => array([1, ...part.shape], part.data)));

  // How far apart two arrays are.

  const sameShape = (a, b) => String(a.shape) === String(b.shape);
  const allClose = (a, b, absolute, relative = 0) => sameShape(a, b) && a.data.every((value, i) =>
    Object.is(value, b.data[i]) || Math.abs(value - b.data[i]) <= absolute + relative * Math.abs(b.data[i]));
  const largest = (gaps) => gaps.reduce((most, gap) => (Number.isNaN(most + gap) ? NaN : Math.max(most, gap)), 0);
  const gap = (a, b) => (sameShape(a, b) ? largest(a.data.map((value, i) => Math.abs(value - b.data[i]))) : NaN);
  const relativeGaps = (a, b) => a.data.map((value, i) => Math.abs(value - b.data[i]) / (1 + Math.abs(b.data[i])));

  return {
    Problem, Unusable, allClose, array, axisOf, cat, combine, expand, gap, index, isArray, largest, lifted, map, product, reduce, relativeGaps,
    reshape, sameShape, shown, stack, transpose, view,
  };
})();
