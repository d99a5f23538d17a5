"""A whole VAE class of somebody else's, examined part by part: which are right, which are not, which were not found."""

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vae_tutorial._printing import printable
from vae_tutorial._validation import require_finite, require_float, require_positive
from vae_tutorial.checks import questions, questions_of_loss
from vae_tutorial.checks.adapt import required
from vae_tutorial.checks.answers import quarantine, usable
from vae_tutorial.checks.claims import Check
from vae_tutorial.checks.compare import short
from vae_tutorial.checks.parts import Missing, Parts

NOT_FOUND = "Not found: "


@dataclass(frozen=True)
class Report:
    """What `examine` found: a `Check` for each part, under its name. True in a condition exactly when all passed."""

    results: dict[str, Check]

    @property
    def passed(self) -> bool:
        """Whether every part was found, and is right."""
        return all(check.passed for check in self.results.values())

    @property
    def missing(self) -> list[str]:
        """The names of the parts that were not found, or not judged."""
        return [name for name, check in self.results.items() if check.mistake.startswith(NOT_FOUND)]

    @property
    def failed(self) -> list[str]:
        """The names of the parts that were found, and are wrong."""
        return [name for name, check in self.results.items() if not check.passed and name not in self.missing]

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        lines = []
        for name, check in self.results.items():
            word = "PASS" if check.passed else "  – " if name in self.missing else "FAIL"
            lines.append(f"{word}  {name:<14}  {check.claim if check.passed else check.mistake}")
        return printable("\n".join(lines))


def examine(model: nn.Module, loss: Callable[..., Any], x: Tensor, *, beta: float = 1.0, **options: Any) -> Report:
    r"""Take a VAE class of your own through all checks, part by part.

    A copy of the model is called, in float64, with noise that is known; your model, its mode and the random state stay
    as they are. From what comes back follow the mean, the spread and :math:`z`; from the loss, called with means,
    spreads and reconstructions of the check's own, follow its terms and their weights.

    Args:
        model: ``model(x)`` gives a reconstruction, means and spreads in this order, and perhaps more, as a tuple, a
            list or a dictionary. A spread is :math:`\log \sigma^2`, :math:`\log \sigma`, :math:`\sigma` or
            :math:`\sigma^2`: which, the sampler tells.
        loss: ``loss(recon, x, mu, log_var)`` gives one number, or several in a tuple or a dictionary: the first that
            depends on both recon and mu is taken. Its arguments are told apart by their names, else by this order; a
            fifth is z. One of ``*arguments`` gets what the model gave.
        x: two examples or more, in the shape that the model takes; a hundred tell more of your data.
        beta: the weight that the KL is meant to have. A loss that must be given beta is given it.
        options: further arguments of ``loss``, by name.

    Returns:
        The `Report`. Its parts are "outputs", "sampler", "spread", "gradients", "rows", "evaluation", "KL",
        "reconstruction", "weights" and "bound".

    Raises:
        TypeError: ``model`` is no module, ``loss`` not callable, or ``x`` not a floating-point tensor.
        ValueError: ``x`` has fewer than two examples or is not finite, or ``beta`` is not above 0.

    Example:
        >>> class Tiny(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.heads, self.decoder = nn.Linear(4, 6), nn.Linear(3, 4)
        ...     def forward(self, x):
        ...         mu, log_var = self.heads(x).chunk(2, -1)
        ...         z = mu + log_var.exp() * torch.randn_like(mu)  # no half
        ...         return self.decoder(z), mu, log_var
        >>> def loss(recon, x, mu, log_var):
        ...     kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum()
        ...     return (recon - x).square().sum() + kl
        >>> x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
        >>> report = examine(Tiny(), loss, x)
        >>> report.failed, report.results["KL"].mistake
        (['KL'], 'The loss takes the second tensor for log σ², the sampler for log σ: one of them is wrong.')
    """
    if not isinstance(model, nn.Module):
        hint = ": make one, Model()" if isinstance(model, type) else ""
        raise TypeError(
            f"model must be a torch.nn.Module, got {getattr(model, '__name__', type(model).__name__)}{hint}"
        )
    if not callable(loss):
        raise TypeError(f"loss must be a function, such as loss(recon, x, mu, log_var), got {type(loss).__name__}")
    require_float(x=x)
    require_finite(x=x)
    if x.ndim < 2 or len(x) < 2:
        raise ValueError(f"x must hold two examples or more, in the shape that the model takes, got {tuple(x.shape)}")
    require_positive(beta=beta)
    if "beta" in required(loss.forward if isinstance(loss, nn.Module) else loss):
        options["beta"] = beta
    with torch.inference_mode(mode=False), quarantine(), _others_kept():
        return Report(_results(model, loss, usable(x).cpu(), beta, options))


@contextmanager
def _others_kept() -> Iterator[None]:
    """Afterwards the random states of NumPy and of Python are where they were."""
    states = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        np.random.set_state(states[0])
        random.setstate(states[1])


def _results(
    model: nn.Module, loss: Callable[..., Any], x: Tensor, beta: float, options: dict[str, Any]
) -> dict[str, Check]:
    routes, known, found = ("your model", "what belongs there"), questions.Known(), {}

    def asked(name: str, question: Callable[[], Check]) -> None:
        torch.default_generator.manual_seed(0)
        try:
            found[name] = question()
        except Missing as error:
            found[name] = Check(name, routes, math.nan, 0.0, mistake=f"{NOT_FOUND}{error}.")
        except Exception as error:  # a learner's model may fail in any way
            found[name] = Check(name, routes, math.nan, 0.0, mistake=f"It raised {short(error)}")

    parts: list[Parts] = []

    def outputs() -> Check:
        parts.append(Parts(model, loss, x, options))
        claim = f"forward gives a reconstruction, and means and spreads of {parts[0].n_latents} latents"
        return questions.verdict(claim, routes, 0.0)

    asked("outputs", outputs)
    for name, question in (
        ("sampler", questions.sampler),
        ("spread", questions.spreads),
        ("gradients", questions.gradients),
        ("rows", questions.rows),
        ("evaluation", questions.evaluation),
        ("KL", questions_of_loss.divergence),
        ("reconstruction", questions_of_loss.reconstruction),
        ("weights", partial(questions_of_loss.weights, beta=beta)),
        ("bound", questions_of_loss.bound),
    ):
        if parts:
            asked(name, partial(question, parts[0], known))
    return found
