"""Draw what stands in the place of the in-page explorers where no script runs: book/_static/explorers/*.png."""

import io
import math

import matplotlib.pyplot as plt
import torch
from explorer_model import CHECKPOINT, FOLDER, LIMIT, N_DRAWS, codes, names, ten_digits
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from PIL import Image
from torch import nn
from torch.distributions import MultivariateNormal, Normal

from vae_tutorial import checkpoints, datasets
from vae_tutorial.bounds import elbo_terms
from vae_tutorial.datasets import GAUSSIAN_2D_COV, GAUSSIAN_2D_MEAN
from vae_tutorial.gaussian import log_normal, log_standard_normal, reparameterize
from vae_tutorial.likelihoods import normal_diag
from vae_tutorial.models import VAE, mlp_vae
from vae_tutorial.plotting import BLUE, GRAY, GREEN, VERMILION, image_grid, use_book_style
from vae_tutorial.reference import grid

CLASSES = "#0072b2 #e69f00 #009e73 #d55e00 #cc79a7 #56b4e9 #6b6b6b #1a1a1a #a8a000 #8c564b".split()  # explorers.css


def plane(model: VAE, data: datasets.Dataset, ax: Axes) -> None:
    """The encoded test images, each class with its name."""
    mu, labels = codes(model, data)
    ax.scatter(*mu.T, c=[CLASSES[label] for label in labels], s=3, alpha=0.6, linewidths=0)
    for label, place in enumerate(names(mu, labels)):
        box = dict(boxstyle="circle,pad=0.15", facecolor="white", edgecolor=GRAY, alpha=0.85)
        ax.annotate(str(label), place, ha="center", va="center", weight="bold", bbox=box)
    ax.set(xlabel="$z_1$", ylabel="$z_2$", xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), aspect="equal")


def latent(model: VAE, data: datasets.Dataset) -> None:
    _, (left, right) = plt.subplots(1, 2, figsize=(7, 3.5))
    plane(model, data, left)
    steps = torch.linspace(-2.5, 2.5, 11)
    lattice = torch.cartesian_prod(steps.flip(0), steps).flip(-1)  # rows from the top, as an image is drawn
    image_grid(torch.sigmoid(model.decode(lattice)).view(-1, 28, 28), right, n_columns=11)
    right.set_title("decoded, $z$ from −2.5 to 2.5", fontsize=10)


def draw(model: VAE, data: datasets.Dataset) -> None:
    _, axes = plt.subplots(1, 3, figsize=(7, 3), width_ratios=[1, 1.6, 1])
    x = datasets.binarize(ten_digits()[4] / 255, torch.Generator().manual_seed(0))[None]
    mu, log_var = model.encode(x)
    terms = elbo_terms(model, x, N_DRAWS, generator=torch.Generator().manual_seed(0))
    image_grid(x.view(1, 28, 28), axes[0], n_columns=1)
    axes[0].set_title("a digit", fontsize=10)
    plane(model, data, axes[1])
    width, height = 4 * torch.exp(0.5 * log_var[0])  # two standard deviations on either side
    axes[1].add_patch(Ellipse(mu[0].tolist(), width, height, facecolor=VERMILION, alpha=0.9, zorder=3))
    image_grid(torch.sigmoid(model.decode(mu)).view(1, 28, 28), axes[2], n_columns=1)
    axes[2].set_title("reconstruction", fontsize=10)
    lines = [
        f"log-likelihood {terms.log_likelihood.item():.1f}",
        f"KL {terms.kl.item():.1f}",
        f"ELBO {terms.elbo.item():.1f} nats",
    ]
    axes[2].text(0.5, -0.08, "\n".join(lines), transform=axes[2].transAxes, ha="center", va="top")


def elbo() -> None:
    z, cell = grid([-6.0], [6.0], 1201)
    means = torch.cat([z / 2, z**2 / 2], dim=-1)
    x = torch.tensor([[0.1, 0.8]], dtype=torch.float64).expand_as(means)
    log_joint = log_standard_normal(z) + log_normal(x, means, torch.full_like(means, math.log(0.09)))
    evidence = torch.log(torch.exp(log_joint).sum() * cell).item()
    q = Normal(0.82, 0.35)
    weights = torch.exp(q.log_prob(z[:, 0])) * cell
    gap = (weights * (q.log_prob(z[:, 0]) - log_joint + evidence)).sum().item()
    _, (left, right) = plt.subplots(1, 2)
    left.fill_between(z[:, 0], torch.exp(log_joint - evidence), color=GRAY, alpha=0.35, linewidth=0)
    left.plot(z, torch.exp(q.log_prob(z)), color=BLUE)
    left.text(-1.5, 0.55, "posterior", color=GRAY, ha="center")
    left.text(1.35, 1.0, "$q$", color=BLUE)
    left.set(xlim=(-2.5, 2.5), ylim=(0, None), xlabel="$z$", ylabel="density")
    right.barh([1, 1, 0], [evidence, -gap, evidence - gap], left=[0, evidence, 0], color=[GRAY, VERMILION, BLUE])
    right.set(yticks=[0, 1], yticklabels=["ELBO", "log p(x), KL"], xlabel="nats")


def reparameterization() -> None:
    generator = torch.Generator().manual_seed(0)
    eps = torch.randn(3, 40, generator=generator)
    log_var = torch.full((40,), -0.6)
    _, axes = plt.subplots(1, 2, sharey=True)
    for ax, noises, title in zip(axes, [(eps[0], eps[0]), eps[1:]], ["the same noise", "fresh noise"], strict=True):
        for noise, mu, color, low in zip(noises, (-1.0, 1.5), (BLUE, VERMILION), (0.0, -0.12), strict=True):
            z = reparameterize(torch.full((40,), mu), log_var, noise)
            ax.plot(torch.stack([noise, z]), [[1.0] * 40, [low] * 40], color=color, linewidth=0.6, alpha=0.6)
            ax.plot(z, [low] * 40, ".", color=color)
            ax.text(mu, -0.3, f"$\\mu = {mu}$", color=color, ha="center")
        ax.set(title=title, xlabel="$z$", xlim=(-4, 4), ylim=(-0.4, 1.1), yticks=[0, 1], yticklabels=["draws", "noise"])


def smallest() -> None:
    """A run with the settings that the explorer begins with, on fresh examples."""
    truth = MultivariateNormal(torch.tensor(GAUSSIAN_2D_MEAN), torch.tensor(GAUSSIAN_2D_COV))
    generator = torch.Generator().manual_seed(0)
    noise = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    examples = lambda n: truth.loc + noise(n, 2) @ truth.scale_tril.T  # noqa: E731
    model, held_out, losses = mlp_vae(2, 16, 1, normal_diag, seed=1, activation=nn.Tanh), examples(20_000), []
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(2001):
        if step % 20 == 0:
            losses.append(-elbo_terms(model, held_out, eps=noise(1, 20_000, 1)).elbo.mean().item())
        optimizer.zero_grad()
        with torch.enable_grad():
            (-elbo_terms(model, examples(100), eps=noise(1, 100, 1)).elbo.mean()).backward()
        optimizer.step()
    _, (left, middle, right) = plt.subplots(1, 3, figsize=(8, 2.8))
    turn = torch.linspace(0, 2 * math.pi, 100)
    circle = torch.stack([torch.cos(turn), torch.sin(turn)], -1) @ truth.scale_tril.T
    for scale in (2, 1):
        left.fill(*(truth.loc + scale * circle).T, color=GRAY, alpha=0.35, linewidth=0)
    z = torch.linspace(-3, 3, 61)[:, None]
    means, log_vars = model.decode(z).unflatten(-1, (2, 2)).unbind(-2)
    left.plot(*means.T, color=BLUE)
    for i in range(10, 60, 10):
        width, height = 2 * torch.exp(0.5 * log_vars[i])
        left.add_patch(Ellipse(means[i].tolist(), width, height, facecolor=BLUE, edgecolor=BLUE, alpha=0.3))
    left.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    z = torch.linspace(-4, 4, 161)
    middle.fill_between(z, torch.exp(log_standard_normal(z[:, None])), color=GRAY, alpha=0.35, linewidth=0)
    for i in (-2, -1, 0, 1, 2):
        mu, log_var = model.encode(truth.loc[None] + i * math.sqrt(0.75))
        middle.plot(z, Normal(mu[0], torch.exp(0.5 * log_var[0])).log_prob(z).exp(), color=VERMILION, linewidth=0.8)
    mu, log_var = model.encode(held_out[:4000])
    middle.plot(z, Normal(mu, torch.exp(0.5 * log_var)).log_prob(z).exp().mean(0), color=GREEN)
    middle.set(xlabel="$z$", ylabel="density", ylim=(0, None))
    right.plot(range(0, 2001, 20), losses, color=BLUE)
    for mark, name in [(truth.entropy().item(), "floor"), (math.log(2 * math.pi) + 1, "collapsed")]:
        right.axhline(mark, color=GRAY)
        right.text(2000, mark + 0.015, name, ha="right", color=GRAY)
    right.set(xlabel="steps", ylabel="−ELBO, nats", ylim=(2.6, 3.4))


@torch.no_grad()
def main() -> None:
    use_book_style()
    data, model = datasets.mnist(), checkpoints.load(CHECKPOINT).float()
    pictures = dict(latent=(latent, (model, data)), draw=(draw, (model, data)), elbo=(elbo, ()),
                    reparameterization=(reparameterization, ()), smallest=(smallest, ()))  # fmt: skip
    for name, (picture, arguments) in pictures.items():
        picture(*arguments)
        with io.BytesIO() as file:  # a palette takes a third of the bytes
            plt.savefig(file, dpi=150)
            Image.open(file).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
                FOLDER / f"{name}.png", optimize=True
            )
        plt.close()


if __name__ == "__main__":
    main()
