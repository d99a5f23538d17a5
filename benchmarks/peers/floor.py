"""The floor: the matrix products and convolutions of an epoch, and nothing else.

For each layer the output, the gradient of the weights and the gradient of the input, which the first layer does not
need. No activation, bias, noise, loss, optimizer or shuffling. Matrix products are written into buffers that are kept,
convolutions into new ones: PyTorch takes no buffer for them.
"""

import torch

NLL_LAYERS = [(50, 200), (200, 200), (200, 784)]
BATCH_SIZE = {"mlp": 128, "conv": 100, "nll": 10}


def mlp(images):
    B, x = BATCH_SIZE["mlp"], torch.from_numpy(images).float()
    return _products([_linear(B, 784, 400), _linear(B, 400, 40), _linear(B, 20, 400), _linear(B, 400, 784)], x.split(B))


def conv(images):
    """The 7×7 convolutions onto and from a single pixel are matrix products, and taken as such."""
    B, x = BATCH_SIZE["conv"], torch.from_numpy(images).float().view(-1, 1, 28, 28)
    layers = [
        _convolution((B, 1, 28, 28), (B, 16, 14, 14)),
        _convolution((B, 16, 14, 14), (B, 32, 7, 7)),
        _linear(B, 32 * 7 * 7, 40),
        _linear(B, 20, 32 * 7 * 7),
        _convolution((B, 32, 7, 7), (B, 16, 14, 14)),
        _convolution((B, 16, 14, 14), (B, 1, 28, 28)),
    ]
    return _products(layers, x.split(B))


def nll(images):
    """The decoder's products for 5,000 samples of each image, 1,000 at a time, and nothing else."""
    layers = [
        (torch.randn(1000, n_in), torch.randn(n_in, n_out), torch.empty(1000, n_out)) for n_in, n_out in NLL_LAYERS
    ]

    def measure():
        for _ in range(5 * len(images)):
            for inputs, weights, outputs in layers:
                torch.mm(inputs, weights, out=outputs)

    return measure, lambda images: None


def _products(layers, batches):
    """A layer is a function that takes its products; it has an input of its own, the first one is given the images."""
    first, *rest = layers

    def train():
        for x in batches:
            first(x)
            for layer in rest:
                layer()

    return train, lambda images: None


def _linear(batch_size, n_in, n_out):
    W, h, g = torch.randn(n_out, n_in), torch.randn(batch_size, n_in), torch.randn(batch_size, n_out)
    output, weight_gradient, input_gradient = torch.empty_like(g), torch.empty_like(W), torch.empty_like(h)

    def products(x=None):
        rows = h if x is None else x
        torch.mm(rows, W.T, out=output[: len(rows)])  # the last minibatch may be smaller
        torch.mm(g[: len(rows)].T, rows, out=weight_gradient)
        if x is None:
            torch.mm(g, W, out=input_gradient)

    return products


def _convolution(in_shape, out_shape):
    """3×3 with stride 2; transposed where the image grows."""
    transposed = out_shape[-1] > in_shape[-1]
    channels = (in_shape[1], out_shape[1]) if transposed else (out_shape[1], in_shape[1])
    W, h, g = torch.randn(*channels, 3, 3), torch.randn(in_shape), torch.randn(out_shape)
    how = ([2, 2], [1, 1], [1, 1], transposed, [int(transposed)] * 2, 1)  # stride … output padding, groups

    def products(x=None):
        torch.convolution(h if x is None else x, W, None, *how)
        wanted = [x is None, True, False]  # gradients of the input, the weights, a bias
        torch.ops.aten.convolution_backward(g, h if x is None else x, W, None, *how, wanted)

    return products
