r"""Networks with one hidden layer, some of which may not look everywhere: output l sees only what comes before l.

A mask, a matrix of zeros and ones beside each matrix of weights, cuts the connections that a number may not have
(Germain et al., *MADE: Masked Autoencoder for Distribution Estimation*, 2015).

Shapes: L numbers in, H hidden units, C numbers of context.
"""

import torch
from torch import Tensor, nn

from vae_tutorial._random import initial_weights
from vae_tutorial._validation import require_count

__all__ = ["Network", "masks"]


def masks(n_in: int, hidden_dim: int, n_out: int) -> tuple[Tensor, Tensor]:
    r"""Which connections an autoregressive network keeps (Germain et al., 2015, section 3).

    Input d has degree d, hidden unit i the degree :math:`m_i = i \bmod L`, and the outputs, n for each input, the
    degrees 1, …, L, 1, …, L. A hidden unit sees the inputs up to its degree, an output the units *below* its own:

    .. math:: M^{\text{in}}_{i d} = [m_i \ge d], \qquad M^{\text{out}}_{d i} = [d > m_i]

    so that output d sees the inputs before d. Units of degree 0 see only the context. With fewer than L units, inputs
    of degree H and above are seen by none.

    Args:
        n_in: L.
        hidden_dim: H.
        n_out: how many outputs, a multiple of L.

    Returns:
        Booleans, shapes (H, L) and (n_out, H).

    Raises:
        ValueError: a size is not an integer of at least 1, or ``n_out`` no multiple of ``n_in``.

    Example:
        >>> first, second = masks(n_in=3, hidden_dim=6, n_out=3)
        >>> (second.int() @ first.int() > 0).int()  # from which input a way leads to which output
        tensor([[0, 0, 0],
                [1, 0, 0],
                [1, 1, 0]], dtype=torch.int32)
    """
    require_count(n_in=n_in, hidden_dim=hidden_dim, n_out=n_out)
    if n_out % n_in:
        raise ValueError(f"n_out must be a multiple of n_in={n_in}, as many for each input, got {n_out!r}")
    of_input = torch.arange(1, n_in + 1)
    of_hidden = torch.arange(hidden_dim) % n_in
    of_output = of_input.repeat(n_out // n_in)
    return of_hidden[:, None] >= of_input, of_output[:, None] > of_hidden


class Network(nn.Module):
    r"""A network with one hidden layer that also sees a context, whole or masked.

    .. math:: V \, h(W z + U c + a) + b, \qquad h(t) = \frac{t}{1 + e^{-t}}

    V and b begin at 0.

    Args:
        n_in: L.
        hidden_dim: H.
        n_out: how many outputs.
        context_dim: C, 0 for none.
        masked: keep only the connections of `masks`.
        seed: of the weights to begin with.

    Raises:
        TypeError: ``seed`` is not an integer.
        ValueError: a size is not a fitting integer.

    Example:
        >>> network = Network(3, 16, 6, masked=True, seed=0)
        >>> network(torch.zeros(4, 3)).shape
        torch.Size([4, 6])
    """

    def __init__(
        self, n_in: int, hidden_dim: int, n_out: int, context_dim: int = 0, *, masked: bool = False, seed: int
    ) -> None:
        super().__init__()
        require_count(n_in=n_in, hidden_dim=hidden_dim, n_out=n_out)
        if context_dim != 0:
            require_count(context_dim=context_dim)
        self.sizes, self.masked = (n_in, hidden_dim, n_out), masked
        if masked:
            masks(*self.sizes)  # says what does not fit
        with initial_weights(seed):
            self.hidden = nn.Linear(n_in, hidden_dim)
            self.of_context = nn.Linear(context_dim, hidden_dim, bias=False) if context_dim else None
            self.output = nn.Linear(hidden_dim, n_out)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Outputs, shape (..., n_out), for ``z`` of shape (..., L) and ``context`` of shape (..., C)."""
        W, V = self.hidden.weight, self.output.weight
        if self.masked:
            first, second = masks(*self.sizes)
            W, V = W * first.to(W.device), V * second.to(V.device)
        t = nn.functional.linear(z, W, self.hidden.bias)
        if self.of_context is not None:
            t = t + self.of_context(context)
        return nn.functional.linear(nn.functional.silu(t), V, self.output.bias)
