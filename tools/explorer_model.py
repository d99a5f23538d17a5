"""Train the small model of the in-page explorers, and write what their pages load: book/_static/explorers/.

Needs MNIST, and a few minutes of one core. The weights are kept twice, rounded to float16 in both: as a checkpoint,
`model.safetensors`, which tests load, and as scripts, `encoder.js` and `decoder.js`, which pages load. Where the
checkpoint exists it is not trained again: delete it for that. `explorer_pictures.py` draws the pictures.
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
CHECKPOINT = FOLDER / "model.safetensors"
N_EPOCHS, BATCH_SIZE = 60, 256
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


def train(data: datasets.Dataset) -> VAE:
    """The finished model, its weights rounded to float16."""
    model = mlp_vae(784, (128, 128), 2, bernoulli, seed=0)
    n_steps = N_EPOCHS * -(-len(data.x_train) // BATCH_SIZE)
    lr = warmup_cosine(2e-3, n_steps, warmup=200)
    fit(model, data.x_train, epochs=N_EPOCHS, seed=0, batch_size=BATCH_SIZE, lr=lr, objective=fresh_binary,
        device="cpu")  # fmt: skip
    return model.half()


def packed(values: Tensor | np.ndarray, dtype: str) -> str:
    """The numbers as base64 of little-endian ``dtype``."""
    return base64.b64encode(np.asarray(values).astype(dtype).tobytes()).decode()


def write_script(name: str, value: str) -> None:
    (FOLDER / f"{name}.js").write_text(
        f"/* Written by tools/explorer_model.py. */\nExplorers.{name} = {value};\n", "utf-8"
    )


def write_network(name: str, network: nn.Sequential) -> None:
    """One object for each linear layer: weight, row by row, and bias."""
    layers = [
        {part: packed(getattr(layer, part).detach(), "<f2") for part in ("weight", "bias")}
        for layer in network
        if isinstance(layer, nn.Linear)
    ]
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


def write_examples(model: VAE, data: datasets.Dataset, mean_elbo: float) -> None:
    """Codes to draw, digits to start from, and the noise that the numbers of a drawn digit rest on."""
    mu, labels = codes(model, data)
    uniform = torch.rand(784, generator=torch.Generator().manual_seed(0))  # as datasets.binarize draws it
    eps = torch.randn(N_DRAWS, 1, 2, generator=torch.Generator().manual_seed(0))
    write_script("examples", f"""(({{ bytes, float16, float32 }}) => {{
  const rows = (values, length) => Array.from({{ length: values.length / length }}, (_, i) =>
    values.slice(i * length, (i + 1) * length));
  return {{
    limit: {LIMIT},
    meanElbo: {mean_elbo:.2f},
    codes: rows(float16("{packed(mu, "<f2")}"), 2),
    labels: Array.from("{"".join(map(str, labels.tolist()))}", Number),
    names: {[[round(z, 3) for z in place] for place in names(mu, labels).tolist()]},
    digits: rows(Float32Array.from(bytes("{packed(ten_digits(), "u1")}"), (level) => level / 255), 784),
    uniform: float32("{packed(uniform, "<f4")}"),
    eps: rows(float32("{packed(eps, "<f4")}"), 2),
  }};
}})(Explorers.network)""")  # fmt: skip


def main() -> None:
    data = datasets.mnist()
    if not CHECKPOINT.exists():
        checkpoints.save(train(data), CHECKPOINT)
    model = checkpoints.load(CHECKPOINT).float()
    log_likelihood, kl = evaluate(model, data.x_test, 16, seed=0, objective=fresh_binary)
    print(f"Test images, freshly binarized: log-likelihood {log_likelihood:.2f}, KL {kl:.2f} nats")
    write_network("encoder", model.encoder)
    write_network("decoder", model.decoder)
    write_examples(model, data, log_likelihood - kl)
    for path in sorted(FOLDER.glob("*.js")):
        print(f"{path.name:24s}{path.stat().st_size:9,} bytes")


if __name__ == "__main__":
    main()
