r"""Normalizing flows: invertible maps of z whose volume change is known, so that a density can follow its points.

.. math:: z' = f(z), \qquad \log q(z') = \log q(z) - \log \left| \det \frac{\partial f}{\partial z} \right|

(Rezende and Mohamed, *Variational Inference with Normalizing Flows*, 2015, section 3.) A `Flow` is called,
``flow(z)``, and gives z′ and the logarithm, one number per point; ``flow.inverse`` goes back. A flow with a
``context`` is a map of its own for each example: the context is what an encoder says of it.

Shapes: (...) leading axes such as K samples and B examples, L latent dimensions, C numbers of context.
"""

import operator
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vae_tutorial._random import initial_weights
from vae_tutorial._validation import (
    require_count,
    require_finite_result,
    require_float,
    require_same_dtype,
    require_seed,
)
from vae_tutorial.masked import Network

__all__ = ["Flow", "Planar", "Coupling", "Autoregressive", "Permutation", "Inverse", "Composition"]

LOG_SCALE_MAX = 4.0
"""Affine flows scale by e^-4 to e^4: far out, where nothing was learned, the exponential would overflow."""


class Flow(nn.Module):
    r"""An invertible map of z, with the logarithm of the absolute value of its Jacobian determinant.

    Write ``push`` for one of your own, and ``pull`` where the way back can be computed; both may take for granted that
    their arguments fit.

    Args:
        latent_dim: L.
        context_dim: C, how many numbers the context has; 0 for a flow without.

    Raises:
        ValueError: ``latent_dim`` is not an integer of at least 1, or ``context_dim`` not one of at least 0.

    Example:
        >>> class Moved(Flow):
        ...     def push(self, z, context):
        ...         return z + 1, z.new_zeros(z.shape[:-1])
        >>> Moved(2)(torch.zeros(1, 2))
        (tensor([[1., 1.]]), tensor([0.]))
    """

    def __init__(self, latent_dim: int, context_dim: int = 0) -> None:
        super().__init__()
        require_count(latent_dim=latent_dim)
        if context_dim != 0:
            require_count(context_dim=context_dim)
        self.latent_dim, self.context_dim = int(latent_dim), int(context_dim)

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""z′ = f(z), and :math:`\log |\det \partial f / \partial z|`.

        Args:
            z: points, shape (..., L).
            context: shape (..., C), with the leading axes of ``z`` or the last of them: (B, C) beside (K, B, L).

        Returns:
            z′, shape (..., L), and the logarithm, shape (...).

        Raises:
            TypeError: ``z`` or ``context`` is not a floating-point tensor, they differ in dtype, or ``context`` is
                missing.
            ValueError: shapes do not fit, the flow takes no context, or a value is not finite.
        """
        self._require(z, context)
        z_new, log_det = self.push(z, context)
        return require_finite_result(z_new, z=z), require_finite_result(log_det, z=z)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""The way back: :math:`f^{-1}(z)`, and the logarithm of the determinant *of this map*, of the inverse.

        At a point and its image, it is minus that of ``forward``.

        Args:
            z: images, shape (..., L).
            context: as for ``forward``.

        Returns:
            Points, shape (..., L), and the logarithm, shape (...).

        Raises:
            TypeError, ValueError: as ``forward``.
            NotImplementedError: a flow of one's own without ``pull``.
        """
        self._require(z, context)
        z_old, log_det = self.pull(z, context)
        return require_finite_result(z_old, z=z), require_finite_result(log_det, z=z)

    def push(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """What ``forward`` gives, of arguments that are known to fit."""
        raise NotImplementedError(f"{type(self).__name__} must have a method push(z, context)")

    def pull(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """What ``inverse`` gives, of arguments that are known to fit."""
        raise NotImplementedError(f"{type(self).__name__} has no method pull(z, context), the way back")

    def extra_repr(self) -> str:
        return f"latent_dim={self.latent_dim}" + (f", context_dim={self.context_dim}" if self.context_dim else "")

    def _require(self, z: Tensor, context: Tensor | None) -> None:
        require_float(z=z)
        if z.shape[-1] != self.latent_dim:
            raise ValueError(f"z must have the {self.latent_dim} latent dimensions of the flow, got {tuple(z.shape)}")
        if not self.context_dim:
            if context is not None:
                raise ValueError(f"{type(self).__name__} was made without context: give context_dim, or leave it out")
            return
        if context is None:
            raise TypeError(f"{type(self).__name__} was made with context_dim={self.context_dim}: give context")
        require_float(context=context)
        require_same_dtype(z=z, context=context)
        *leading, last = context.shape
        if last != self.context_dim or list(z.shape[-1 - len(leading) : -1]) != leading:
            raise ValueError(
                f"context must have shape (..., {self.context_dim}) with the leading axes of z {tuple(z.shape)}, or "
                f"the last of them; got {tuple(context.shape)}"
            )


class Planar(Flow):
    r"""Stretches or squeezes z across one plane (Rezende and Mohamed, 2015, section 4.1; their w is our v).

    .. math:: z' = z + \hat u \tanh(v^\top z + b), \qquad
        \det \frac{\partial z'}{\partial z} = 1 + \hat u^\top v \, (1 - \tanh^2(v^\top z + b))

    It is invertible if :math:`v^\top \hat u > -1`, which their Appendix A.1 makes so for every u:

    .. math:: \hat u = u + \bigl( m(v^\top u) - v^\top u \bigr) \frac{v}{\lVert v \rVert^2}, \qquad
        m(t) = -1 + \log(1 + e^t)

    At v = 0 their formula has a pole: where a context leads v through 0, as it can where L = 1, z' leaps.

    The way back has no formula, but is one equation with one unknown, :math:`v^\top z`, which bisection solves. Where
    the determinant is nearly 0, rounding leaves it a part of the digits.

    Args:
        latent_dim: L, at least 1.
        context_dim: C; u, v and b are then linear functions of the context.
        seed: of u and v to begin with; b is 0.

    Attributes:
        weight: u, v and b, a parameter of shape (2L + 1,).

    Raises:
        TypeError: ``seed`` is not an integer.
        ValueError: one of the sizes is not a fitting integer.

    Example:
        >>> flow = Planar(2, seed=0)
        >>> z = torch.randn(5, 3, 2)
        >>> z_new, log_det = flow(z)
        >>> z_new.shape, log_det.shape
        (torch.Size([5, 3, 2]), torch.Size([5, 3]))
        >>> torch.allclose(flow.inverse(z_new)[0], z, atol=1e-5)
        True
    """

    def __init__(self, latent_dim: int, context_dim: int = 0, *, seed: int) -> None:
        super().__init__(latent_dim, context_dim)
        with initial_weights(seed):
            u_and_v = torch.randn(2 * latent_dim) / latent_dim**0.5
            self.weight = nn.Parameter(torch.cat([u_and_v, torch.zeros(1)]))
            self.of_context = nn.Linear(context_dim, 2 * latent_dim + 1, bias=False) if context_dim else None

    def parameters_at(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        r""":math:`\hat u` and v, shape (..., L) or (L,), b and :math:`1 + v^\top \hat u`, shape (..., 1) or (1,)."""
        weight = self.weight if self.of_context is None else self.weight + self.of_context(context)
        u, v, b = weight.split([self.latent_dim, self.latent_dim, 1], -1)
        v_u = (v * u).sum(-1, keepdim=True)
        slope = nn.functional.softplus(v_u)  # along v, in the plane
        u_hat = u + (slope - 1 - v_u) * v / (v**2).sum(-1, keepdim=True).clamp_min(torch.finfo(v.dtype).tiny)
        return u_hat, v, b, slope

    def push(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        u_hat, v, b, slope = self.parameters_at(context)
        h = torch.tanh((v * z).sum(-1, keepdim=True) + b)
        return z + u_hat * h, _planar_det(slope, h).log().squeeze(-1)

    def pull(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        u_hat, v, b, slope = self.parameters_at(context)
        v_u_hat = slope - 1
        image = (v * z).sum(-1, keepdim=True)  # v'z' = a + v'u_hat tanh(a + b), which rises with a = v'z
        with torch.no_grad():
            low, high = image - v_u_hat.abs(), image + v_u_hat.abs()
            for _ in range(64):
                middle = (low + high) / 2
                too_low = middle + v_u_hat * torch.tanh(middle + b) < image
                low, high = torch.where(too_low, middle, low), torch.where(too_low, high, middle)
        a = middle
        for _ in range(2):  # of Newton's steps: the first lets gradients pass, the second those of gradients
            h = torch.tanh(a + b)
            a = a - (a + v_u_hat * h - image) / _planar_det(slope, h).clamp_min(torch.finfo(z.dtype).eps ** (2 / 3))
        h = torch.tanh(a + b)
        return z - u_hat * h, -_planar_det(slope, h).log().squeeze(-1)


class Coupling(Flow):
    r"""Leaves the first half of z alone, which scales and shifts the second (Dinh et al., *Density Estimation using
    Real NVP*, 2017, section 3.2).

    .. math:: z'_{\le l} = z_{\le l}, \qquad z'_{> l} = z_{> l} \odot e^{s(z_{\le l})} + t(z_{\le l}), \qquad
        \log \det = \textstyle\sum s(z_{\le l})

    with :math:`l = \lfloor L / 2 \rfloor`, and :math:`s = 4 \tanh(\tilde s / 4)` of what the network gives, so that no
    exponential overflows. Both ways cost the same, one pass of the network. Between two of them stands a `Permutation`,
    or half of z would stay as it was.

    Args:
        latent_dim: L, at least 2.
        hidden_dim: the width of the network's hidden layer.
        context_dim: C, numbers that the network sees as well.
        seed: of the network's weights to begin with; its last layer is 0, so that the flow begins as the identity.

    Attributes:
        network: gives s and t.

    Raises:
        TypeError: ``seed`` is not an integer.
        ValueError: one of the sizes is not a fitting integer.

    Example:
        >>> flow = Coupling(3, 16, seed=0)
        >>> z = torch.randn(5, 3)
        >>> torch.equal(flow(z)[0], z)  # to begin with
        True
    """

    def __init__(self, latent_dim: int, hidden_dim: int, context_dim: int = 0, *, seed: int) -> None:
        super().__init__(latent_dim, context_dim)
        if latent_dim < 2:
            raise ValueError(f"latent_dim must be at least 2, so that one half can move the other, got {latent_dim!r}")
        self.n_kept = self.latent_dim // 2
        self.network = Network(self.n_kept, hidden_dim, 2 * (self.latent_dim - self.n_kept), context_dim, seed=seed)

    def push(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        kept, moved = z.split([self.n_kept, self.latent_dim - self.n_kept], -1)
        s, t = _scale_and_shift(self.network(kept, context))
        return torch.cat([kept, moved * torch.exp(s) + t], -1), s.sum(-1)

    def pull(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        kept, moved = z.split([self.n_kept, self.latent_dim - self.n_kept], -1)
        s, t = _scale_and_shift(self.network(kept, context))
        return torch.cat([kept, (moved - t) * torch.exp(-s)], -1), -s.sum(-1)


class Autoregressive(Flow):
    r"""Scales and shifts each dimension as those before it say (Kingma et al., *Improving Variational Inference with
    Inverse Autoregressive Flow*, 2016).

    .. math:: z'_l = z_l \, e^{s_l(z_{<l})} + t_l(z_{<l}), \qquad \log \det = \textstyle\sum_l s_l(z_{<l})

    The Jacobian is triangular. One pass of a masked network gives all s, bounded as in `Coupling`, and t; the way back
    takes L passes, one dimension after the other. ``Inverse(Autoregressive(…))`` has the cheap way back, and is what
    density estimation wants (Papamakarios et al., *Masked Autoregressive Flow*, 2017).

    Args:
        latent_dim: L, at least 1.
        hidden_dim: the width of the network's hidden layer. With fewer than L units, some dimensions move no other.
        context_dim: C, numbers that all of the network sees.
        seed: of the network's weights to begin with; its last layer is 0, so that the flow begins as the identity.

    Attributes:
        network: gives s and t, a masked `vae_tutorial.masked.Network`.

    Raises:
        TypeError: ``seed`` is not an integer.
        ValueError: one of the sizes is not a fitting integer.

    Example:
        >>> flow = Autoregressive(3, 16, seed=0).double()
        >>> z = torch.randn(5, 3, dtype=torch.float64)
        >>> z_new, log_det = flow(z)
        >>> torch.allclose(flow.inverse(z_new)[0], z)
        True
    """

    def __init__(self, latent_dim: int, hidden_dim: int, context_dim: int = 0, *, seed: int) -> None:
        super().__init__(latent_dim, context_dim)
        self.network = Network(latent_dim, hidden_dim, 2 * latent_dim, context_dim, masked=True, seed=seed)

    def push(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        s, t = _scale_and_shift(self.network(z, context))
        return z * torch.exp(s) + t, s.sum(-1)

    def pull(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        old = torch.zeros_like(z)
        for _ in range(self.latent_dim):  # after pass l the first l dimensions are right
            s, t = _scale_and_shift(self.network(old, context))
            old = (z - t) * torch.exp(-s)
        return old, -s.sum(-1)


class Permutation(Flow):
    r"""The dimensions of z in another order, which changes no volume: :math:`\log |\det| = 0`.

    Args:
        order: which dimension comes first, which second, and so on, each of 0, …, L - 1 once.

    Raises:
        TypeError: ``order`` is not a sequence of integers.
        ValueError: it is not such an order.

    Example:
        >>> Permutation([2, 1, 0])(torch.tensor([[1.0, 2.0, 3.0]]))
        (tensor([[3., 2., 1.]]), tensor([0.]))
    """

    def __init__(self, order: Sequence[int]) -> None:
        try:
            indices = tuple(operator.index(i) for i in order)
        except TypeError:
            raise TypeError(f"order must be a sequence of integers, such as [1, 0], got {order!r}") from None
        if not indices or sorted(indices) != list(range(len(indices))):
            raise ValueError(f"order must hold each of 0, …, L - 1 once, got {order!r}")
        super().__init__(len(indices))
        self.order = indices

    def push(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return z[..., self.order], z.new_zeros(z.shape[:-1])

    def pull(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        back = sorted(range(self.latent_dim), key=self.order.__getitem__)
        return z[..., back], z.new_zeros(z.shape[:-1])

    def extra_repr(self) -> str:
        return f"order={self.order}"


class Inverse(Flow):
    r"""A flow the other way round: its ``forward`` is the other's ``inverse``.

    Args:
        flow: the other.

    Raises:
        TypeError: ``flow`` is not a `Flow`.

    Example:
        >>> maf = Inverse(Autoregressive(3, 16, seed=0))  # of a given point the density costs one pass
        >>> z, log_det = maf.inverse(torch.zeros(1, 3))
    """

    def __init__(self, flow: Flow) -> None:
        _require_flows([flow])
        super().__init__(flow.latent_dim, flow.context_dim)
        self.flow = flow

    def push(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.flow.pull(z, context)

    def pull(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.flow.push(z, context)


class Composition(Flow):
    r"""One flow after the other: the logarithms add up, by the chain rule.

    .. math:: f = f_T \circ \dots \circ f_1, \qquad \log \left| \det \frac{\partial f}{\partial z} \right|
        = \sum_{t=1}^{T} \log \left| \det \frac{\partial f_t}{\partial z_{t-1}} \right|

    (Rezende and Mohamed, 2015, section 3.1.)

    Args:
        flows: the first is applied first. Those that take a context are all given the same one.

    Raises:
        TypeError: one of them is not a `Flow`.
        ValueError: there is none, or they differ in ``latent_dim``, or in ``context_dim`` where that is not 0.

    Example:
        >>> flow = Composition(Coupling(2, 8, seed=0), Permutation([1, 0]), Coupling(2, 8, seed=1))
        >>> z_new, log_det = flow(torch.zeros(4, 2))
    """

    def __init__(self, *flows: Flow) -> None:
        _require_flows(flows)
        latent_dims, context_dims = {flow.latent_dim for flow in flows}, {flow.context_dim for flow in flows} - {0}
        if len(latent_dims) != 1 or len(context_dims) > 1:
            raise ValueError(
                "a composition needs at least one flow, all of one latent_dim and, but for 0, one context_dim; got "
                f"{[(flow.latent_dim, flow.context_dim) for flow in flows]}"
            )
        super().__init__(latent_dims.pop(), max(context_dims, default=0))
        self.flows = nn.ModuleList(flows)

    def push(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(z.shape[:-1])
        for flow in self._in_order():
            z, log_det = flow.push(z, context)
            total = total + log_det
        return z, total

    def pull(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(z.shape[:-1])
        for flow in reversed(self._in_order()):
            z, log_det = flow.pull(z, context)
            total = total + log_det
        return z, total

    def _in_order(self) -> list[Flow]:
        return [flow for flow in self.flows if isinstance(flow, Flow)]  # all of them: so for the type checker


def seeds_of_layers(seed: int, n_layers: int) -> list[int]:
    """A seed of its own for each layer."""
    require_count(n_layers=n_layers)
    generator = torch.Generator().manual_seed(require_seed(seed=seed))
    return torch.randint(2**62, (int(n_layers),), generator=generator, device="cpu").tolist()


def reversing(layers: Sequence[Flow]) -> Composition:
    """The layers one after the other, and between any two the dimensions in reverse."""
    turn = range(layers[0].latent_dim)[::-1]
    between = [part for layer in layers for part in (layer, Permutation(turn))]
    return Composition(*between[:-1])


def _planar_det(slope: Tensor, h: Tensor) -> Tensor:
    """1 + v'u_hat (1 - h²), without the difference that is lost where v'u_hat is nearly -1."""
    return h**2 + slope * (1 - h**2)


def _scale_and_shift(output: Tensor) -> tuple[Tensor, Tensor]:
    """The log-scales s, kept within bounds, and the shifts t."""
    s, t = output.chunk(2, -1)
    return LOG_SCALE_MAX * torch.tanh(s / LOG_SCALE_MAX), t


def _require_flows(flows: Sequence[Flow]) -> None:
    for flow in flows:
        if not isinstance(flow, Flow):
            raise TypeError(f"a flow must be a Flow, such as flows.Planar(2, seed=0), got {flow!r}")
