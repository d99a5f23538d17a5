"""Train the two small models of the in-page explorers, and write what their pages load: book/_static/explorers/.

Needs MNIST, and a few minutes of one core. One has two latent dimensions, the other has twenty. Their weights, rounded
to 255 levels a row, are kept twice: as a checkpoint, `model.safetensors` and `model20.safetensors`, which tests load,
and as scripts, `encoder.js` and the like, which pages load. Where a checkpoint exists it is not trained again: delete
it for that. `explorer_pictures.py` draws the pictures.
"""

import base64
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vae_tutorial import checkpoints, datasets
from vae_tutorial.bounds import ElboTerms, elbo_terms
from vae_tutorial.likelihoods import bernoulli
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.schedules import warmup_cosine
from vae_tutorial.training import evaluate, fit

FOLDER = Path(__file__).resolve().parent.parent / "book" / "_static" / "explorers"
CHECKPOINT, CHECKPOINT_20 = FOLDER / "model.safetensors", FOLDER / "model20.safetensors"
BATCH_SIZE = 256
START = 3  # the digit that the first explorer begins with
N_CODES = 2000  # test images shown in the plane
LIMIT = 4.0  # half the side of the plane
N_DRAWS = 64  # for the log-likelihood of a drawn digit
PEN = 1.9  # half the width of a line in pixels, its gray border included
STROKES = [  # how we write the digits 0 to 9: lines through points of a box of 20×20, (0, 0) at its upper left
    [[(11, 1), (7, 3), (5, 8), (5, 13), (7, 18), (10, 19), (13, 17), (15, 12), (15, 7), (13, 2), (11, 1)]],
    [[(11, 1), (9, 19)]],
    [[(5, 5), (6, 2), (10, 1), (14, 3), (14, 7), (11, 11), (5, 18), (16, 18)]],
    [[(5, 2), (9, 1), (13, 2), (13, 6), (9, 9), (13, 11), (14, 15), (11, 18), (5, 18)]],
    [[(6, 2), (4, 10), (14, 10)], [(14, 2), (12, 19)]],
    [[(15, 2), (7, 2), (6, 9), (11, 8), (14, 11), (14, 16), (9, 19), (4, 18)]],
    [[(12, 1), (7, 6), (5, 12), (6, 17), (10, 19), (14, 17), (14, 13), (10, 11), (6, 13)]],
    [[(4, 3), (15, 2), (11, 10), (8, 19)]],
    [[(10, 9), (6, 6), (7, 2), (11, 1), (14, 4), (12, 7), (7, 12), (6, 17), (10, 19), (14, 16), (13, 12), (10, 9)]],
    [[(14, 5), (10, 9), (6, 7), (6, 3), (10, 1), (14, 3), (14, 8), (12, 19)]],
]


def fresh_binary(model: VAE, x: Tensor, n_samples: int, *, generator: torch.Generator) -> ElboTerms:
    """The objective: every image is binarized anew each time it is used."""
    return elbo_terms(model, datasets.binarize(x, generator), n_samples, generator=generator)


def train(data: datasets.Dataset, hidden: tuple[int, ...], latent_dim: int, epochs: int) -> VAE:
    model = mlp_vae(784, hidden, latent_dim, bernoulli, seed=0)
    n_steps = epochs * -(-len(data.x_train) // BATCH_SIZE)
    lr = warmup_cosine(2e-3, n_steps, warmup=200)
    fit(model, data.x_train, epochs=epochs, seed=0, batch_size=BATCH_SIZE, lr=lr, objective=fresh_binary,
        device="cpu")  # fmt: skip
    return model


def levels(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers from -127 to 127, and for each row a scale of four bits: seven and four bits fit into a float16."""
    scale = weight.abs().amax(1) / 127
    step = 2 ** (scale.log2().floor() - 3).clamp(min=-24)
    scale = (scale / step).ceil() * step
    return (weight / scale[:, None]).round().clamp(-127, 127), scale


def round_to_levels(model: VAE) -> VAE:
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear):
                for _ in range(2):  # the largest may round to where a finer scale does
                    whole, scale = levels(layer.weight)
                    layer.weight.copy_(whole * scale[:, None])
    return model.half()


def packed(values: Tensor | np.ndarray, dtype: str) -> str:
    """The numbers as base64 of little-endian ``dtype``."""
    return base64.b64encode(np.asarray(values).astype(dtype).tobytes()).decode()


def write_script(name: str, value: str) -> None:
    (FOLDER / f"{name}.js").write_text(
        f"/* Written by tools/explorer_model.py. */\nExplorers.{name} = {value};\n", "utf-8"
    )


def write_network(name: str, network: nn.Sequential) -> None:
    """One object for each linear layer: whole numbers row by row, the scale of each row, and the bias."""
    layers = []
    for layer in network:
        if isinstance(layer, nn.Linear):
            level, scale = levels(layer.weight.detach())
            assert torch.equal(level * scale[:, None], layer.weight)  # rounded once is rounded for good
            bias = packed(layer.bias.detach(), "<f2")
            layers.append({"weight": packed(level, "i1"), "scale": packed(scale, "<f2"), "bias": bias})
    write_script(name, json.dumps(layers, indent=1))


def codes(model: VAE, data: datasets.Dataset) -> tuple[Tensor, Tensor]:
    """Means of q(z | x) of the first test images that lie within the plane, and their classes."""
    x = datasets.binarize(data.x_test, torch.Generator().manual_seed(0))
    with torch.no_grad():
        mu, _ = model.encode(x)
    inside = (mu.abs() < LIMIT).all(-1).nonzero()[:N_CODES, 0]
    return mu[inside], data.y_test[inside]


def names(mu: Tensor, labels: Tensor) -> Tensor:
    """Where to write the name of each class: at its median, or so far beside that no two names overlap."""
    places = torch.stack([mu[labels == label].median(0)[0] for label in range(10)])
    for _ in range(200):
        apart = places[:, None] - places
        overlap = (0.5 - torch.linalg.vector_norm(apart, dim=-1)).clamp(min=0)
        places = places + 0.1 * (overlap[..., None] * apart / (apart.norm(dim=-1, keepdim=True) + 1e-6)).sum(1)
    return places


def ten_digits() -> Tensor:
    """The digits of STROKES as MNIST would have them: drawn with a pen in a box of 20×20, centered; 0 to 255."""
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    pixels, images = torch.stack([x, y], -1).view(-1, 1, 2), []
    for strokes in STROKES:
        points = [torch.tensor(stroke, dtype=torch.float32) + 4 for stroke in strokes]  # the margin around the box
        start, end = (torch.cat([stroke[part] for stroke in points]) for part in (slice(-1), slice(1, None)))
        along = end - start
        t = ((pixels - start) * along).sum(-1) / (along**2).sum(-1)
        nearest = start + t.clamp(0, 1)[..., None] * along
        distance = torch.linalg.vector_norm(pixels - nearest, dim=-1).amin(-1)
        images.append((255 * (PEN - distance).clamp(0, 1)).round())
    return torch.stack(images)


def write_start(model: VAE) -> None:
    """What the first explorer shows before its networks have come: a digit, black where it is more than half black."""
    x = (ten_digits()[START] > 127.5).float()
    with torch.no_grad():
        mu, _ = model.encode(x[None])
        mean = torch.sigmoid(model.decode(mu))
    write_script("start", f"""(({{ bytes, float32 }}) => ({{
  digit: Float32Array.from(bytes("{packed(x, "u1")}")),
  mu: float32("{packed(mu, "<f4")}"),
  mean: float32("{packed(mean, "<f4")}"),
}}))(Explorers.network)""")  # fmt: skip


def write_examples(model: VAE, data: datasets.Dataset, mean_elbo: float, mean_elbo_20: float) -> None:
    """Codes to draw, digits to start from, and the noise that the numbers of a drawn digit rest on."""
    mu, labels = codes(model, data)
    uniform = torch.rand(784, generator=torch.Generator().manual_seed(0))  # as datasets.binarize draws it
    eps, eps20 = (torch.randn(N_DRAWS, 1, n, generator=torch.Generator().manual_seed(0)) for n in (2, 20))
    write_script("examples", f"""(({{ bytes, float16, float32 }}) => {{
  const rows = (values, length) => Array.from({{ length: values.length / length }}, (_, i) =>
    values.slice(i * length, (i + 1) * length));
  return {{
    limit: {LIMIT},
    meanElbo: {mean_elbo:.2f},
    meanElbo20: {mean_elbo_20:.2f},
    codes: rows(float16("{packed(mu, "<f2")}"), 2),
    labels: Array.from("{"".join(map(str, labels.tolist()))}", Number),
    names: {[[round(z, 3) for z in place] for place in names(mu, labels).tolist()]},
    digits: rows(Float32Array.from(bytes("{packed(ten_digits(), "u1")}"), (level) => level / 255), 784),
    uniform: float32("{packed(uniform, "<f4")}"),
    eps: rows(float32("{packed(eps, "<f4")}"), 2),
    eps20: rows(float32("{packed(eps20, "<f4")}"), 20),
  }};
}})(Explorers.network)""")  # fmt: skip


def main() -> None:
    data = datasets.mnist()
    if not CHECKPOINT.exists():
        checkpoints.save(round_to_levels(train(data, (128, 128), 2, epochs=60)), CHECKPOINT)
    if not CHECKPOINT_20.exists():
        checkpoints.save(round_to_levels(train(data, (96,), 20, epochs=40)), CHECKPOINT_20)
    models = [checkpoints.load(path).float() for path in (CHECKPOINT, CHECKPOINT_20)]
    elbos = []
    for model in models:
        log_likelihood, kl = evaluate(model, data.x_test, 16, seed=0, objective=fresh_binary)
        print(f"Test images, freshly binarized: log-likelihood {log_likelihood:.2f}, KL {kl:.2f} nats")
        elbos.append(log_likelihood - kl)
    write_network("encoder", models[0].encoder)
    write_network("decoder", models[0].decoder)
    write_network("encoder20", models[1].encoder)
    write_network("decoder20", models[1].decoder)
    write_start(models[1])
    write_examples(models[0], data, *elbos)
    for path in sorted(FOLDER.glob("*.js")):
        print(f"{path.name:24s}{path.stat().st_size:9,} bytes")


if __name__ == "__main__":
    main()
