"""The prior that the model's own encoder makes of learned pseudo-inputs."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vae_tutorial._validation import require_count, require_number, require_rows, require_seed
from vae_tutorial.priors.mixtures import OfComponents
from vae_tutorial.priors.prior import Encoding


class VampPrior(OfComponents):
    r"""The variational mixture of posteriors of Tomczak and Welling (*VAE with a VampPrior*, 2018).

    .. math:: p(z) = \frac1C \sum_{c=1}^{C} q_\phi(z \mid u_c)

    The components are what the model's own encoder says of C *pseudo-inputs* u, points of the space of x that are
    learned with the rest. So the prior has no parameters but these, follows the encoder wherever it goes, and the
    gradient of a bound reaches the encoder on two ways.

    A pseudo-input stays where data can be: with ``interval`` (a, b) it is :math:`a + (b - a)\, s(v)`, with v the
    parameter and s the logistic function. (The authors' code clips v to [0, 1]; a number outside gets no gradient.)

    The encoder stays the model's: it is not registered here, so it is in ``state_dict`` once, and copies and files hold
    each weight once. A prior belongs to the one `VAE` that it was given to. An encoder with batch statistics takes the
    pseudo-inputs for a batch of their own.

    Args:
        x_dim: D.
        n_components: C.
        seed: of the parameters to begin with, draws from :math:`\mathcal{N}(0, 1)`: equal ones would stay equal. A
            better start is ``start_at``.
        interval: what a number of x may be; None: anything, and u is the parameter itself.

    Attributes:
        raw: v, a parameter of shape (C, D).

    Raises:
        TypeError: ``seed`` is not an integer, or ``interval`` not of numbers.
        ValueError: one of the sizes is not an integer of at least 1, or ``interval`` is not (a, b) with a < b.

    Example:
        >>> from vae_tutorial.likelihoods import bernoulli
        >>> from vae_tutorial.models import mlp_vae
        >>> model = mlp_vae(64, 32, 2, bernoulli, seed=0, prior=VampPrior(64, 10, seed=0))
        >>> model.log_prior(torch.zeros(4, 5, 2)).shape
        torch.Size([4, 5])
        >>> [name for name in model.prior.state_dict()]
        ['raw']
    """

    def __init__(
        self, x_dim: int, n_components: int, *, seed: int, interval: Sequence[float] | None = (0.0, 1.0)
    ) -> None:
        super().__init__()
        require_count(x_dim=x_dim, n_components=n_components)
        self.x_dim, self.n_components = int(x_dim), int(n_components)
        self.seed = seed = require_seed(seed=seed)
        self.interval = None if interval is None else _ends(interval)
        self.raw = nn.Parameter(torch.randn(n_components, x_dim, generator=torch.Generator().manual_seed(seed)))
        self._model: tuple[Encoding] | None = None  # in a tuple, where PyTorch registers no module

    def attach(self, model: Encoding) -> None:
        """Take the encoder of this model, and of none after it.

        Args:
            model: the `VAE` that this prior is given to. Both ``VAE(…, prior=prior)`` and ``model.prior = prior``
                call this.

        Raises:
            ValueError: the prior belongs to another model.
        """
        if self.belongs_to() not in (None, model):
            raise ValueError(
                "this VampPrior belongs to another model, whose encoder makes it: make one for each model; "
                "new.load_state_dict(old.state_dict()) hands the pseudo-inputs over"
            )
        self._model = (model,)

    def belongs_to(self) -> Encoding | None:
        return None if self._model is None else self._model[0]

    def pseudo_inputs(self) -> Tensor:
        """u, shape (C, D), within ``interval``, differentiable in ``raw``."""
        if self.interval is None:
            return self.raw
        low, high = self.interval
        return low + (high - low) * torch.sigmoid(self.raw)

    def start_at(self, x: Tensor) -> None:
        r"""Let the pseudo-inputs begin at examples, where the encoder knows its way, in the place of noise.

        Within ``interval`` they begin a tenth of the way from the example to the middle: at its ends the logistic
        function would be flat. (The authors' code has this start as its option ``use_training_data_init``.)

        Args:
            x: C examples, shape (C, D).

        Raises:
            TypeError: ``x`` is not a floating-point tensor.
            ValueError: ``x`` is not finite, of another shape, or not within ``interval``.
        """
        require_rows(x=x)
        if x.shape != self.raw.shape:
            raise ValueError(f"x must be C examples, shape {tuple(self.raw.shape)}, got {tuple(x.shape)}")
        with torch.no_grad():
            if self.interval is None:
                self.raw.copy_(x)
                return
            low, high = self.interval
            if x.min() < low or x.max() > high:
                raise ValueError(f"x must lie in interval={self.interval}, got [{x.min():.3g}, {x.max():.3g}]")
            self.raw.copy_(torch.logit(0.05 + 0.9 * (x - low) / (high - low)))

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        r""":math:`\log \frac1C`, shape (C,), and the means and log-variances of :math:`q_\phi(z \mid u_c)`, (C, L).

        Raises:
            RuntimeError: the prior belongs to no model yet.
            TypeError: the model's posterior is no diagonal Gaussian.
        """
        if (model := self.belongs_to()) is None:
            raise RuntimeError(
                "a VampPrior has no encoder before it belongs to a model: VAE(…, prior=prior), or model.prior = prior"
            )
        gaussian = model.posterior.gaussian(model.encode(self.pseudo_inputs()))
        if gaussian is None:
            raise TypeError(
                f"a VampPrior needs a Gaussian posterior, such as posteriors.diagonal, got {model.posterior}"
            )
        mu, log_var = gaussian
        return mu.new_full((self.n_components,), -math.log(self.n_components)), mu, log_var

    def extra_repr(self) -> str:
        return f"x_dim={self.x_dim}, n_components={self.n_components}, interval={self.interval}"


def _ends(interval: Sequence[float]) -> tuple[float, float]:
    """The two ends as floats."""
    if isinstance(interval, str) or not isinstance(interval, Sequence) or len(interval) != 2:
        raise ValueError(f"interval must be two numbers (a, b), or None for no limits, got {interval!r}")
    low, high = (require_number(interval=end) for end in interval)
    if not low < high:
        raise ValueError(f"interval must be (a, b) with a < b, got {interval!r}")
    return low, high
