"""Convolutional and residual VAEs: their sizes counted by hand, and what each output may and may not depend on."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from vae_tutorial.architectures import ResidualBlock, conv1d_vae, conv_vae, resnet_vae
from vae_tutorial.bounds import elbo
from vae_tutorial.likelihoods import bernoulli, normal, normal_diag
from vae_tutorial.models import mlp_vae

L, B, K = 3, 5, 2
IMAGES = [(conv_vae, (28, 28)), (conv_vae, (8, 8)), (conv_vae, (8, 12)), (resnet_vae, (28, 28)), (resnet_vae, (8, 12))]
ALL = [*IMAGES, (conv1d_vae, 64), (conv1d_vae, 20)]
IDS = [f"{factory.__name__}-{shape}" for factory, shape in ALL]

every = pytest.mark.parametrize(("factory", "shape"), ALL, ids=IDS)
every_image = pytest.mark.parametrize(("factory", "shape"), IMAGES, ids=IDS[: len(IMAGES)])


def x_dim(shape) -> int:
    return math.prod(np.atleast_1d(shape).tolist())


def values(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights(model):
    return nn.utils.parameters_to_vector(model.parameters())


def count(model) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def shapes(module, rows):
    """The shape after each layer, the batch axis left out."""
    found = []
    for layer in module:
        rows = layer(rows)
        found.append(tuple(rows.shape[1:]))
    return found


def test_conv_vae_has_the_shapes_and_sizes_of_its_source():
    """16 and 32 channels, kernels of 3, code 20, counted by hand; only the second bias of the decoder differs."""
    model = conv_vae((28, 28), 20, bernoulli, seed=0)
    half, quarter = (16, 14, 14), (32, 7, 7)
    x, z = torch.zeros(B, 784), torch.zeros(B, 20)
    assert shapes(model.encoder, x) == [(1, 28, 28), half, half, quarter, quarter, (1568,), (40,)]
    assert shapes(model.decoder, z) == [(1568,), quarter, quarter, half, half, (1, 28, 28), (784,)]
    encoder = [16 * 1 * 9, 16, 32 * 16 * 9, 32, 40 * 32 * 49, 40]
    decoder = [20 * 32 * 49, 32 * 49, 32 * 16 * 9, 16, 16 * 1 * 9, 1]
    assert [parameter.numel() for parameter in model.parameters()] == [*encoder, *decoder]
    as_published = sum(encoder) + sum(decoder) - 32 * 49 + 32  # a transposed convolution has one bias a channel
    assert (count(model), as_published) == (105_257, 103_721)
    assert [type(layer) for layer in model.encoder if isinstance(layer, nn.ReLU)] == 2 * [nn.ReLU]


def test_the_small_and_the_one_dimensional_one_have_the_sizes_counted():
    convolutions = 160 + 4640 + 4624 + 145
    assert count(conv_vae((8, 8), 8, bernoulli, seed=0)) == convolutions + 128 * 16 + 16 + 8 * 128 + 128
    convolutions = (16 * 3 + 16) + (32 * 16 * 3 + 32) + (32 * 16 * 3 + 16) + (16 * 3 + 1)
    model = conv1d_vae(64, L, normal(0.0), seed=0)
    assert count(model) == convolutions + (32 * 16 * 2 * L + 2 * L) + (L * 32 * 16 + 32 * 16)
    assert shapes(model.encoder, torch.zeros(B, 64))[:4] == [(1, 64), (16, 32), (16, 32), (32, 16)]


def order(network):
    """Layers with weights, residual blocks and ReLUs as they follow each other; what only reshapes is left out."""
    letters = {nn.ReLU: "r", ResidualBlock: "B", nn.Flatten: "", nn.Unflatten: ""}
    return "".join(letters.get(type(layer), "w") for layer in network)


def test_a_relu_stands_before_every_layer_that_follows_another():
    for model in (conv_vae((8, 12), L, bernoulli, seed=0), conv1d_vae(8, L, bernoulli, seed=0)):
        assert order(model.encoder) == order(model.decoder) == "wrwrw"
    model = resnet_vae((8, 12), L, bernoulli, seed=0)  # whose blocks begin with one, and whose thin layers have none
    assert (order(model.encoder), order(model.decoder)) == ("wBwBrww", "wwBwBrw")
    assert order(model.encoder[2].correction) == "rwrw"


def test_resnet_vae_is_as_large_as_conv_vae():
    sizes = [count(factory((28, 28), 20, bernoulli, seed=0)) for factory in (conv_vae, resnet_vae)]
    assert abs(sizes[1] / sizes[0] - 1) < 0.1
    blocks = 2 * (2 * (16 * 16 * 9 + 16) + 2 * (32 * 32 * 9 + 32))
    halves_and_doubles = 160 + 4640 + 4624 + 145
    thin = (16 * 32 + 16) + (32 * 16 + 32)
    assert sizes[1] == blocks + halves_and_doubles + thin + (40 * 16 * 49 + 40) + (20 * 16 * 49 + 16 * 49)


def test_the_linear_layers_are_the_convolutions_of_the_source():
    model = conv_vae((28, 28), L, bernoulli, seed=0).double()
    h, z = values(B, 32, 7, 7), values(B, L, seed=1)

    head = model.encoder[-1]
    conv = nn.Conv2d(32, 2 * L, 7).double()
    conv.load_state_dict({"weight": head.weight.unflatten(1, (32, 7, 7)), "bias": head.bias})
    assert conv(h).shape == (B, 2 * L, 1, 1)
    torch.testing.assert_close(head(h.flatten(1)), conv(h).flatten(1), rtol=1e-12, atol=1e-12)

    conv = nn.ConvTranspose2d(L, 32, 7).double()
    first = model.decoder[0]
    with torch.no_grad():
        first.weight.copy_(conv.weight.flatten(1).T)
        first.bias.copy_(conv.bias.repeat_interleave(49))
    torch.testing.assert_close(first(z), conv(z[..., None, None]).flatten(1), rtol=1e-12, atol=1e-12)


@every
@pytest.mark.parametrize("likelihood", [bernoulli, normal_diag], ids=["one parameter", "two parameters"])
def test_rows_go_in_and_rows_come_out(factory, shape, likelihood):
    model = factory(shape, L, likelihood, seed=0)
    mu, log_var = model.encode(torch.rand(B, x_dim(shape)))
    assert mu.shape == log_var.shape == (B, L)
    assert model.decode(torch.zeros(K, B, L)).shape == (K, B, likelihood.n_params * x_dim(shape))
    assert model.decode(torch.zeros(L)).shape == (likelihood.n_params * x_dim(shape),)
    assert model.sample(B).shape == (B, x_dim(shape))
    assert model.likelihood is likelihood and model.latent_dim == L


@every
def test_the_sample_axis_equals_a_loop_and_rows_do_not_see_each_other(factory, shape):
    model, z = factory(shape, L, normal_diag, seed=0).double(), values(K, B, L)
    params = model.decode(z)
    one_by_one = torch.stack([torch.stack([model.decode(z[k, b]) for b in range(B)]) for k in range(K)])
    torch.testing.assert_close(params, one_by_one, rtol=1e-12, atol=1e-12)

    x = values(B, x_dim(shape), seed=1)
    alone = [torch.cat(model.encode(row[None]), -1)[0] for row in x]
    torch.testing.assert_close(torch.cat(model.encode(x), -1), torch.stack(alone), rtol=1e-12, atol=1e-12)
    x.requires_grad_()
    model.encode(x)[0][1].sum().backward()
    assert (x.grad.abs().sum(1) > 0).tolist() == [b == 1 for b in range(B)]


@every
def test_gradients_of_the_bound_reach_every_parameter(factory, shape):
    model = factory(shape, L, normal_diag, seed=0)
    x = values(B, x_dim(shape)).float()
    (-elbo(model, x, generator=torch.Generator().manual_seed(0)).mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@every
def test_parameters_come_one_after_the_other(factory, shape):
    """D means, then D log-variances: the last layer's channels in order, each a whole image."""
    model = factory(shape, L, normal_diag, seed=0)
    last = model.decoder[-2]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.3, -1.7]))
    params = model.decode(torch.randn(B, L, generator=torch.Generator().manual_seed(0)))
    mu, log_var = params.chunk(2, -1)
    assert (mu == torch.tensor(0.3)).all() and (log_var == torch.tensor(-1.7)).all()
    assert torch.equal(model.likelihood.mean(params), mu)


@pytest.mark.parametrize("factory", [conv_vae, resnet_vae])
def test_the_rows_of_a_colour_image_are_its_channels_one_after_the_other(factory):
    """D means of three channels, then D log-variances; and the encoder sees the channels as they lie in the row."""
    model = factory((3, 8, 12), L, normal_diag, seed=0)
    numbers = torch.tensor([0.3, -1.7, 2.5, 0.1, 0.2, -0.4])
    last = model.decoder[-2]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(numbers)
    params = model.decode(values(K, B, L).float())
    assert params.shape == (K, B, 2 * 3 * 8 * 12)
    assert torch.equal(params, numbers.repeat_interleave(8 * 12).expand(K, B, -1))
    image = values(B, 3, 8, 12).float()
    seen = model.encoder[0](image.flatten(1))
    assert torch.equal(seen, image)
    one, other = model.encode(image.flatten(1)), model.encode(image.flip(1).flatten(1))
    assert not torch.allclose(one[0], other[0], atol=1e-3)


def test_one_channel_is_a_gray_image():
    one, gray = conv_vae((1, 8, 12), L, bernoulli, seed=3), conv_vae((8, 12), L, bernoulli, seed=3)
    assert all(map(torch.equal, one.state_dict().values(), gray.state_dict().values()))
    assert list(one.state_dict()) == list(gray.state_dict())


def convolutions(model):
    """The encoder without its linear layer, the decoder without its own: what must commute with shifts."""
    encoder = [layer for layer in model.encoder if not isinstance(layer, (nn.Linear, nn.Flatten))]
    return nn.Sequential(*encoder), nn.Sequential(*list(model.decoder)[2:-1])


@every_image
def test_pixels_stay_where_they_are(factory, shape):
    """Rows are images row by row, the pixel (i, j) is number i·width + j: top right here is top right there."""
    height, width = shape
    model = factory(shape, L, bernoulli, seed=0)
    x = torch.rand(1, height * width, generator=torch.Generator().manual_seed(0), requires_grad=True)
    code_map = convolutions(model)[0](x)
    assert code_map.shape[2:] == (height // 4, width // 4)
    code_map[0, :, 0, -1].sum().backward()
    row, column = divmod(x.grad.abs().argmax().item(), width)
    assert row < height // 2 and column >= width // 2

    image = nn.Sequential(*list(model.decoder)[1:])  # from the coarse map on, what comes before sees all of it
    coarse = torch.zeros(1, math.prod(model.decoder[1].unflattened_size))
    bump = coarse.clone().view(model.decoder[1].unflattened_size)
    bump[0, 0, -1] = 100.0  # top right
    changed = (image(bump.view(1, -1)) - image(coarse)).abs().view(height, width)
    row, column = divmod(changed.argmax().item(), width)
    assert row < height // 2 and column >= width // 2


def conv_16(kind):
    return kind((64, 64), L, bernoulli, seed=0).double()


@pytest.mark.parametrize(("kind", "reach"), [(conv_vae, 1), (resnet_vae, 5)])
def test_a_shift_of_four_pixels_is_a_shift_by_one_of_the_code_map(kind, reach):
    """Exactly, wherever the border is out of reach; a shift of one pixel is none of the code map."""
    down, up = convolutions(conv_16(kind))
    x = values(1, 64 * 64)
    image = x.view(64, 64)
    shifted, by_one = (image.roll((n, n), (0, 1)).reshape(1, -1) for n in (4, 1))
    before, after = (down(rows)[..., reach + 1 : -reach - 1, reach + 1 : -reach - 1] for rows in (x, shifted))
    assert before.shape[-1] >= 3
    torch.testing.assert_close(after[..., 1:, 1:], before[..., :-1, :-1], rtol=1e-12, atol=1e-12)
    assert (down(by_one)[..., 7:-7, 7:-7] - down(x)[..., 7:-7, 7:-7]).abs().max() > 1e-3

    n_channels = {conv_vae: 32, resnet_vae: 16}[kind]
    h = values(1, n_channels, 16, 16, seed=1)
    before, after = up(h), up(h.roll((1, 1), (-2, -1)))
    inner = slice(4 * reach + 4, -4 * reach - 4)
    assert before[..., inner, inner].shape[-1] > 4
    torch.testing.assert_close(
        after[..., inner, inner][..., 4:, 4:], before[..., inner, inner][..., :-4, :-4], rtol=1e-12, atol=1e-12
    )


def test_a_residual_block_adds_its_correction():
    block, h = ResidualBlock(4).double(), values(B, 4, 5, 6)
    first, second = block.correction[1], block.correction[3]
    expected = h + second(torch.relu(first(torch.relu(h))))
    torch.testing.assert_close(block(h), expected, rtol=1e-14, atol=1e-14)
    with torch.no_grad():
        second.weight.zero_()
        second.bias.zero_()
    assert torch.equal(block(h), h)


@every
def test_weights_are_those_of_the_seed(factory, shape):
    before = torch.get_rng_state()
    one, again, other = (weights(factory(shape, L, bernoulli, seed=seed)) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


@every
def test_nothing_is_made_on_another_device_or_in_another_dtype(factory, shape):
    """The meta device refuses tensors of the CPU, so no GPU is needed to find one made inside."""
    model = factory(shape, L, normal_diag, seed=0).to("meta")
    x, z = torch.empty(B, x_dim(shape), device="meta"), torch.empty(K * B, L, device="meta")
    assert model.encoder(x).shape == (B, 2 * L) and model.encoder(x).is_meta
    assert model.decoder(z).shape == (K * B, 2 * x_dim(shape)) and model.decoder(z).is_meta
    assert factory(shape, L, normal_diag, seed=0).double().decode(values(B, L)).dtype == torch.float64


@pytest.mark.parametrize("factory", [conv_vae, resnet_vae])
@pytest.mark.parametrize("shape", [28, (28,), (1, 1, 28, 28), "28", None, torch.zeros(2)])
def test_an_image_shape_that_is_not_two_or_three_numbers_is_refused(factory, shape):
    with pytest.raises(ValueError, match=r"image_shape must be \(height, width\) or \(channels, height, width\), got"):
        factory(shape, L, bernoulli, seed=0)


@pytest.mark.parametrize("factory", [conv_vae, resnet_vae])
@pytest.mark.parametrize("shape", [(28, 30), (7, 8), (0, 4), (-4, 4), (28.0, 28), (True, 4)])
def test_sides_that_cannot_be_halved_twice_are_refused(factory, shape):
    with pytest.raises(ValueError, match=r"image_shape must be multiples of 4 in height and width.*got"):
        factory(shape, L, bernoulli, seed=0)


@pytest.mark.parametrize("channels", [0, -1, 1.5, True, None])
def test_the_number_of_channels_is_a_count(channels):
    with pytest.raises(ValueError, match="channels must be an integer of at least 1, got"):
        conv_vae((channels, 8, 8), L, bernoulli, seed=0)


@pytest.mark.parametrize("n_steps", [30, 0, -4, 64.0, (64,), None])
def test_a_length_that_cannot_be_halved_twice_is_refused(n_steps):
    with pytest.raises(ValueError, match="n_steps must be a multiple of 4.*got"):
        conv1d_vae(n_steps, L, normal(0.0), seed=0)


@pytest.mark.parametrize(("factory", "shape"), [(conv_vae, (8, 8)), (resnet_vae, (8, 8)), (conv1d_vae, 8)])
def test_other_arguments_are_named(factory, shape):
    with pytest.raises(ValueError, match="latent_dim must be an integer of at least 1, got 0"):
        factory(shape, 0, bernoulli, seed=0)
    with pytest.raises(TypeError, match="likelihood must be a Likelihood"):
        factory(shape, L, normal, seed=0)
    model = factory(shape, L, bernoulli, seed=0)
    with pytest.raises(ValueError, match=r"^x of shape \(5, 7\) and torch.float32 does not fit"):
        model.encode(torch.zeros(B, 7))
    with pytest.raises(ValueError, match="latent dimensions"):
        model.decode(torch.zeros(B, L + 1))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            conv_vae((np.int64(8), 12), L, bernoulli, seed=4),
            {"factory": "conv_vae", "image_shape": [8, 12], "latent_dim": L, "seed": 4},
        ),
        (
            resnet_vae(image_shape=torch.Size([8, 8]), latent_dim=L, likelihood=bernoulli, seed=4),
            {"factory": "resnet_vae", "image_shape": [8, 8], "latent_dim": L, "seed": 4},
        ),
        (conv1d_vae(8, L, bernoulli, seed=4), {"factory": "conv1d_vae", "n_steps": 8, "latent_dim": L, "seed": 4}),
        (
            mlp_vae(8, 7, L, bernoulli, seed=4),
            {"factory": "mlp_vae", "x_dim": 8, "hidden_dim": 7, "latent_dim": L, "seed": 4, "activation": "ReLU"},
        ),
    ],
    ids=lambda value: value["factory"] if isinstance(value, dict) else "",
)
def test_a_model_can_say_how_it_was_built(model, expected):
    description = json.loads(json.dumps(model.description))
    arguments = description["arguments"]
    arguments.pop("likelihood")
    assert {"factory": description["factory"], **arguments} == expected
