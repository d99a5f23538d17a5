"""What `fit` says about likely mistakes that are no errors: once a run, with the remedy."""

import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from vae_tutorial._random import random_state_kept
from vae_tutorial._restoring import in_evaluation_mode
from vae_tutorial._troubleshooting import see
from vae_tutorial.bounds import elbo_terms, iwae_terms
from vae_tutorial.models import VAE
from vae_tutorial.training.step import Objective

LOGITS = ("bernoulli", "continuous_bernoulli")
LEARNED_VARIANCES = ("normal_diag", "sigma_normal")
VARIANCES = "leave constant columns out, or take likelihoods.normal_diag_above(-8.0)"
ENOUGH_ROWS = 16  # so that no column of whole numbers is constant by chance
SMALLEST_LOG_VAR = -20.0  # a standard deviation of 5e-5, of columns that were scaled
NO_VARIANCE = -100.0  # exp(-100) is 0 in float32: the run has diverged, which an error will tell
LARGEST_X = 1e3  # in standard deviations of p(x|z), or in units where they are learned
FAR = 100.0  # standard deviations from the bulk, where only an activation keeps an output in bounds
N_PROBES = 256


class Hints:
    """The hints of one run. They look at one batch without a gradient, and leave model and generators as they were.

    An objective of the user's may change x before the likelihood sees it, by noise for one: then nothing is said of x.
    """

    def __init__(self, model: VAE, objective: Objective = elbo_terms) -> None:
        self.model = model
        self.x_is_modelled = objective in (elbo_terms, iwae_terms)
        self.said: set[str] = set()

    def before(self, x: Tensor) -> None:
        """What the first batch tells before it has been trained on."""
        of_x = (self._scale, self._constant) if self.x_is_modelled else ()
        self._look(x, self._labels, *of_x, self._logits, self._log_var)

    def after(self, x: Tensor, epoch: int) -> None:
        """What a batch tells after an epoch; asked after 1, 2, 4, 8, … of them, so that it costs next to nothing."""
        if self.x_is_modelled and epoch & (epoch - 1) == 0:
            self._look(x, self._variances)

    def _look(self, x: Tensor, *questions: Callable[[Tensor], str | None]) -> None:
        with random_state_kept(), in_evaluation_mode(self.model), torch.no_grad():
            answers = {question.__name__: self._ask(question, x) for question in questions}
        for kind, message in answers.items():
            if message is not None and kind not in self.said:
                self.said.add(kind)
                warnings.warn(message, UserWarning, stacklevel=5)  # where fit was called

    @staticmethod
    def _ask(question: Callable[[Tensor], str | None], x: Tensor) -> str | None:
        try:
            return question(x)
        except Exception:  # no matter for a hint: training will meet it, too, or never give the networks such numbers
            return None

    def _labels(self, x: Tensor) -> str | None:
        if x.shape[1] == 1 and looks_like_labels(x):
            return f"x_train looks like labels, one column of whole numbers: give the examples x. {see('own-data')}"
        return None

    def _scale(self, x: Tensor) -> str | None:
        name = self.model.likelihood.name
        sd = math.exp(0.5 * float(name[len("normal(log_var=") : -1])) if name.startswith("normal(log_var=") else 1.0
        if name.startswith(("normal", "sigma_normal")) and (largest := x.abs().max().item()) > LARGEST_X * sd:
            return (
                f"x reaches {largest:.4g}, where a Gaussian likelihood expects values of order {sd:.2g}: scale the "
                f"columns, x = (x - x.mean(0)) / x.std(0). {see('own-data')}"
            )
        return None

    def _constant(self, x: Tensor) -> str | None:
        name = self.model.likelihood.name
        constant = (x == x[0]).all(0)
        growing = constant.all() if name == "sigma_normal" else constant.any()
        if name in LEARNED_VARIANCES and len(x) >= ENOUGH_ROWS and growing:
            return (
                f"{int(constant.sum())} of the {x.shape[1]} columns of x are constant: their learned variances will "
                f"fall, and the bound rise, without end; {VARIANCES}. {see('falls')}"
            )
        return None

    def _logits(self, x: Tensor) -> str | None:
        name = self.model.likelihood.name
        if name not in LOGITS:
            return None
        mean = self.model.posterior.mean(self.model.encode(x))
        outputs = [self.model.decode(z) for z in (mean, _far(mean))]
        if all(_within(output, 0.0, 1.0) for output in outputs) and _varies(outputs[1]):
            return (
                f"every number that the decoder gives lies in [0, 1]: does it end in a sigmoid? {name} takes logits, "
                f"so leave the sigmoid out. {see('stuck')}"
            )
        return None

    def _log_var(self, x: Tensor) -> str | None:
        if "log_var" not in self.model.posterior.names:
            return None
        which = self.model.posterior.names.index("log_var")
        outputs = [self.model.encode(rows)[which] for rows in (x, _far(x))]
        if all(_within(output, 0.0, math.inf) for output in outputs) and _varies(outputs[1]):
            return (
                "log_var of the encoder is never negative: is there an activation such as relu or softplus on it? "
                f"The logarithm of a variance may be any number, so leave the activation out. {see('log-var')}"
            )
        return None

    def _variances(self, x: Tensor) -> str | None:
        name = self.model.likelihood.name
        if name not in LEARNED_VARIANCES or "_constant" in self.said:
            return None
        log_var = self.model.decode(self.model.posterior.mean(self.model.encode(x))).chunk(2, -1)[1]
        smallest = (log_var.mean(-1) if name == "sigma_normal" else log_var).min().item()
        if NO_VARIANCE < smallest < SMALLEST_LOG_VAR:
            return (
                f"a variance of p(x|z) has fallen to exp({smallest:.1f}), and the bound rises without end as it falls "
                f"on: {VARIANCES}. {see('falls')}"
            )
        return None


def _far(like: Tensor) -> Tensor:
    """Points far outside the bulk, in all directions; the same for every run."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(N_PROBES, like.shape[-1], generator=generator, dtype=torch.float32)
    return FAR * directions.to(like)


def _within(values: Tensor, low: float, high: float) -> bool:
    return bool((values >= low).all() and (values <= high).all())


def _varies(values: Tensor) -> bool:
    """Whether rows differ: what is constant was made so on purpose."""
    return bool((values.amax(0) > values.amin(0)).any())


def remedy(error: Exception, x: Tensor, lr: float) -> str:
    """What to change where a run diverged, or batch norm met one example; nothing where the error is about another."""
    if "more than 1 value per channel" in str(error):  # as PyTorch's batch norm says it
        return f"; one example has no batch statistics: choose another batch_size, or nn.LayerNorm. {see('batch-norm')}"
    if not diverged(error):
        return ""
    if not torch.isfinite(x).all():  # the error says so
        return f". {see('nan')}"
    return (
        f"; x of this batch lies in [{x.min():.4g}, {x.max():.4g}]: scale its columns where they are large, "
        f"lower lr (now {lr:.4g}), or set max_grad_norm=1.0. {see('nan')}"
    )


def diverged(error: Exception) -> bool:
    """Whether an error is about a number that is not finite."""
    return any(word in str(error) for word in ("finite", "overflows"))


def looks_like_labels(values: Tensor) -> bool:
    """Whether a set of examples is one column of small whole numbers, more than two of them."""
    if values.layout != torch.strided or values.is_meta:
        return False
    column = values.detach().reshape(-1)
    if values.ndim == 0 or column.numel() != len(values) or column.is_complex() or not torch.isfinite(column).all():
        return False
    return bool((column == column.round()).all() and column.min() >= 0 and 2 <= column.max() <= 1000)
