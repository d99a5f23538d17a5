r"""Auto-Encoding Variational Bayes: stochastic gradient ascent on the ELBO."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from tqdm import tqdm

from vae_tutorial._validation import require_count, require_finite, require_float
from vae_tutorial.bounds import ElboTerms, elbo_terms
from vae_tutorial.models import VAE


def best_device() -> torch.device:
    """The fastest device at hand: CUDA, else Apple's MPS, else the CPU.

    Example:
        >>> best_device().type in ("cuda", "mps", "cpu")
        True
    """
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


@dataclass
class History:
    """What `fit` measured: one entry per finished epoch, every term in nats per example.

    The training terms are averages over the epoch, taken while the model moved; the validation terms are taken at its
    end, with the same noise every time, so that two epochs differ by the model alone.

    Attributes:
        log_likelihood, kl: the two terms of the ELBO on the training set.
        val_log_likelihood, val_kl: the same on the validation set; empty without one.
        seconds: wall time since the start.
        interrupted: whether training was stopped by the keyboard.
    """

    log_likelihood: list[float] = field(default_factory=list)
    kl: list[float] = field(default_factory=list)
    val_log_likelihood: list[float] = field(default_factory=list)
    val_kl: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    interrupted: bool = False

    @property
    def elbo(self) -> list[float]:
        """The ELBO on the training set."""
        return [ll - kl for ll, kl in zip(self.log_likelihood, self.kl, strict=True)]

    @property
    def val_elbo(self) -> list[float]:
        """The ELBO on the validation set."""
        return [ll - kl for ll, kl in zip(self.val_log_likelihood, self.val_kl, strict=True)]


def fit(
    model: VAE,
    x_train: Tensor,
    x_val: Tensor | None = None,
    *,
    epochs: int,
    seed: int,
    batch_size: int = 128,
    lr: float = 1e-3,
    n_samples: int = 1,
    objective: Callable[..., ElboTerms] = elbo_terms,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> History:
    r"""Train a VAE by Auto-Encoding Variational Bayes (Kingma and Welling, 2014, Algorithm 1), with Adam.

    For each minibatch of M examples: draw :math:`\varepsilon`, estimate the ELBO by ``objective``, follow its gradient
    in :math:`\theta` and :math:`\phi`. The loss is the minibatch mean of −ELBO; N times it is an unbiased
    estimate of −ELBO of the whole training set, the paper's N/M factor times a sum over M examples.

    Ctrl-C (or a notebook's stop button) ends training early: the model keeps the steps it has taken and the history
    its finished epochs.

    Args:
        model: the VAE; trained in place.
        x_train: training examples, shape (N, D).
        x_val: held-out examples, shape (N', D), measured after every epoch; never trained on.
        epochs: passes over ``x_train``.
        seed: fixes the order of the examples and the noise: same seed, same machine, same bits. Layers that draw from
            PyTorch's global state, such as dropout, are not covered.
        batch_size: M.
        lr: Adam's learning rate, a positive number.
        n_samples: noise draws per example and step, the paper's L.
        objective: ``objective(model, x, n_samples, generator=...)`` gives the `ElboTerms` of a minibatch.
        device: where to train; `best_device` when left out. The model returns to its own device afterwards.
        progress: show a progress bar.

    Returns:
        The `History`.

    Raises:
        TypeError: ``x_train`` or ``x_val`` is not a floating-point tensor.
        ValueError: a shape or value is not valid; or, with its epoch and batch, a term stopped being finite: the model
            then keeps the steps before that batch; or, after an epoch, a parameter is no longer finite.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> x = torch.tensor([[0.0, 1.0, 1.0]]).repeat(64, 1)
        >>> model = mlp_vae(3, 8, 2, bernoulli, seed=0)
        >>> how = dict(epochs=20, lr=0.01, progress=False)
        >>> history = fit(model, x, seed=1, **how)
        >>> history.elbo[-1] > history.elbo[0]
        True
    """
    for name, x in {"x_train": x_train, "x_val": x_val}.items():
        if x is not None or name == "x_train":
            require_float(**{name: x})
            require_finite(**{name: x})
            if x.ndim != 2:
                raise ValueError(f"{name} must have shape (N, D), one flat row an example, got {tuple(x.shape)}")
            if x.shape[1] != x_train.shape[1]:
                raise ValueError(f"{name} must have the {x_train.shape[1]} columns of x_train, got {tuple(x.shape)}")
    require_count(epochs=epochs, batch_size=batch_size, n_samples=n_samples)
    if not 0 < lr < float("inf"):
        raise ValueError(f"lr must be a positive number, got {lr}")

    home = next(model.parameters()).device
    device = torch.device(device) if device is not None else best_device()
    model.to(device)
    x_train = x_train.to(device)
    x_val = x_val.to(device) if x_val is not None else None
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=device.type in ("cpu", "cuda"))
    generator = torch.Generator().manual_seed(seed)
    history, start = History(), time.perf_counter()
    bar = tqdm(total=epochs, unit="epoch", disable=not progress)
    try:
        for epoch in range(1, epochs + 1):
            model.train()
            totals = [0.0, 0.0]
            order = torch.randperm(len(x_train), generator=generator).to(device)
            for batch, rows in enumerate(order.split(batch_size), start=1):
                try:
                    terms = objective(model, x_train[rows], n_samples, generator=generator)
                    sums = _finite_sums(terms, n_examples=len(rows))
                except ValueError as error:
                    raise ValueError(f"epoch {epoch}, batch {batch}: {error}") from error
                loss = -terms.elbo.mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                totals = [total + value for total, value in zip(totals, sums, strict=True)]
            for name, parameter in model.named_parameters():
                if not torch.isfinite(parameter).all():
                    raise ValueError(f"epoch {epoch}: the parameter {name} is no longer finite")
            validation = ()
            if x_val is not None:
                model.eval()  # dropout off, and batch statistics left alone: nothing is learned from x_val
                try:
                    validation = evaluate(model, x_val, n_samples, seed=seed, objective=objective)
                except ValueError as error:
                    raise ValueError(f"epoch {epoch}, validation: {error}") from error
            # Appended together, after everything that takes time: an interrupt leaves lists of equal length.
            history.log_likelihood.append(totals[0] / len(x_train))
            history.kl.append(totals[1] / len(x_train))
            history.val_log_likelihood.extend(validation[:1])
            history.val_kl.extend(validation[1:])
            history.seconds.append(time.perf_counter() - start)
            bar.update()
            bar.set_postfix_str(f"ELBO {(history.val_elbo or history.elbo)[-1]:.2f} nats")
    except KeyboardInterrupt:
        history.interrupted = True
    finally:
        bar.close()
        model.to(home).eval()
    return history


@torch.no_grad()
def evaluate(
    model: VAE,
    x: Tensor,
    n_samples: int = 1,
    *,
    seed: int,
    objective: Callable[..., ElboTerms] = elbo_terms,
    batch_size: int = 1000,
) -> tuple[float, float]:
    r"""Both terms of the ELBO, averaged over a data set, without gradients.

    Args:
        model: the VAE.
        x: examples, shape (N, D), on the device of the model.
        n_samples: noise draws per example.
        seed: fixes the noise: the same seed compares two models, or two epochs, under the same draws.
        objective: as for `fit`.
        batch_size: how many examples go through the model at a time; it bounds the memory.

    Returns:
        The mean log-likelihood term and the mean KL term, in nats per example; their difference is the mean ELBO.

    Raises:
        TypeError: as ``objective``.
        ValueError: as ``objective``, or a term is not finite.

    Example:
        >>> from vae_tutorial.likelihoods import normal
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(3, 8, 2, normal(0.0), seed=0)
        >>> log_likelihood, kl = evaluate(model, torch.rand(10, 3), seed=0)
        >>> kl >= 0
        True
    """
    require_float(x=x)
    require_count(n_samples=n_samples, batch_size=batch_size)
    generator = torch.Generator().manual_seed(seed)
    sums = [
        _finite_sums(objective(model, rows, n_samples, generator=generator), n_examples=len(rows))
        for rows in x.split(batch_size)
    ]
    log_likelihood, kl = (math.fsum(column) / len(x) for column in zip(*sums, strict=True))
    return log_likelihood, kl


def _finite_sums(terms: ElboTerms, *, n_examples: int) -> list[float]:
    """Each term summed over the examples of a batch, as a Python number that is known to be finite."""
    sums = []
    for name, values in terms._asdict().items():
        if values.shape != (n_examples,):
            raise ValueError(
                f"{name} must hold one value per example, shape ({n_examples},), got {tuple(values.shape)}"
            )
        sums.append(values.sum().item())
        if not math.isfinite(sums[-1]):
            raise ValueError(f"{name} is not finite: its sum over the batch is {sums[-1]}")
    return sums
