/* Networks that learn in the page: linear layers with a tanh between two of them, their gradients, and Adam. */
"use strict";

Explorers.gradients = (() => {
  const { linear } = Explorers.network;

  /** Layers of these widths, begun as PyTorch begins them: weights and biases uniform between ±1/√(number of inputs). */
  function network(widths, uniform) {
    return widths.slice(1).map((n, i) => {
      const bound = 1 / Math.sqrt(widths[i]);
      const draws = (count) => Float64Array.from({ length: count }, () => bound * (2 * uniform() - 1));
      return { weight: draws(n * widths[i]), bias: draws(n) };
    });
  }

  const parameters = (layers) => layers.flatMap(({ weight, bias }) => [weight, bias]);
  const zeros = (layers) => layers.map(({ weight, bias }) => ({ weight: weight.map(() => 0), bias: bias.map(() => 0) }));

  /** What each layer is given, and, last, the output. */
  function forward(layers, x) {
    const inputs = [Float64Array.from(x)];
    layers.forEach((layer, i) => {
      const y = linear(layer, inputs[i]);
      inputs.push(i < layers.length - 1 ? y.map(Math.tanh) : y);
    });
    return inputs;
  }

  /** By the chain rule, from the last layer to the first: adds to the gradient of the parameters, returns that of x. */
  function backward(layers, inputs, gradientOfOutput, gradient) {
    let delta = gradientOfOutput;
    for (let i = layers.length - 1; i >= 0; i--) {
      const [x, { weight }] = [inputs[i], layers[i]];
      const back = new Float64Array(x.length);
      for (let row = 0, at = 0; row < delta.length; row++) {
        gradient[i].bias[row] += delta[row];
        for (let j = 0; j < x.length; j++, at++) {
          gradient[i].weight[at] += delta[row] * x[j];
          back[j] += delta[row] * weight[at];
        }
      }
      delta = i > 0 ? back.map((d, j) => d * (1 - x[j] ** 2)) : back; // x of an inner layer is a tanh
    }
    return delta;
  }

  /** The optimizer of Kingma and Ba (2015, algorithm 1) for lists of numbers, which each of its steps changes. */
  function adam(values) {
    const [first, second] = [0, 1].map(() => values.map((list) => new Float64Array(list.length)));
    let t = 0;
    return (gradient, lr) => {
      t += 1;
      values.forEach((list, k) => {
        for (let i = 0; i < list.length; i++) {
          const g = gradient[k][i];
          first[k][i] = 0.9 * first[k][i] + 0.1 * g;
          second[k][i] = 0.999 * second[k][i] + 0.001 * g * g;
          list[i] -= (lr * first[k][i]) / (1 - 0.9 ** t) / (Math.sqrt(second[k][i] / (1 - 0.999 ** t)) + 1e-8);
        }
      });
    };
  }

  return { adam, backward, forward, network, parameters, zeros };
})();
