r"""What z is once x is seen: the distribution :math:`q_\phi(z \mid x)`, as a value that a `VAE` is given.

`diagonal`, a Gaussian with a mean and a variance for each latent dimension, is that of Kingma and Welling (2014).

Shapes: K samples, B examples, L latent dimensions.
"""

from torch import Tensor, nn

from vae_tutorial import formulas


class Posterior(nn.Module):
    r"""A family of distributions over z: what a `VAE` asks of its posterior.

    ``params`` are what the encoder says of each example, as many tensors of shape (B, L) as there are ``names``. Write
    ``sample`` and ``mean`` for one of your own. A module, so that what it learns is among the model's parameters.

    Attributes:
        names: how ``params`` are called, in the encoder's order.
    """

    names: tuple[str, ...] = ()

    def sample(self, params: tuple[Tensor, ...], eps: Tensor) -> tuple[Tensor, Tensor]:
        r"""z, shape (K, B, L), as a differentiable function of standard Gaussian noise, and log q(z|x), shape (K, B).

        Args:
            params: what the encoder says.
            eps: the noise, shape (K, B, L).
        """
        raise NotImplementedError(f"{type(self).__name__} must have a method sample(params, eps)")

    def mean(self, params: tuple[Tensor, ...]) -> Tensor:
        """The mean of z, shape (B, L)."""
        raise NotImplementedError(f"{type(self).__name__} must have a method mean(params)")

    def gaussian(self, params: tuple[Tensor, ...]) -> tuple[Tensor, Tensor] | None:
        """Mean and log-variance where q is a diagonal Gaussian, which a prior may know the KL of; else None."""
        return None


class Diagonal(Posterior):
    r"""The posterior :math:`\mathcal{N}(\mu, \operatorname{diag} \sigma^2)`; its one instance is `diagonal`.

    The encoder gives :math:`\mu` and :math:`\log \sigma^2`.

    Example:
        >>> import torch
        >>> mu, log_var = torch.tensor([[1.0]]), torch.tensor([[0.0]])
        >>> z, log_q = diagonal.sample((mu, log_var), torch.tensor([[[-2.0]]]))
        >>> z, log_q
        (tensor([[[-1.]]]), tensor([[-2.9189]]))
    """

    names = ("mu", "log_var")

    def sample(self, params: tuple[Tensor, ...], eps: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_var = params
        z = formulas.reparameterize(mu, log_var, eps)
        return z, formulas.log_normal(z, mu, log_var)

    def mean(self, params: tuple[Tensor, ...]) -> Tensor:
        return params[0]

    def gaussian(self, params: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        mu, log_var = params
        return mu, log_var


diagonal = Diagonal()
r"""The posterior :math:`\mathcal{N}(\mu_\phi(x), \operatorname{diag} \sigma_\phi^2(x))`."""
