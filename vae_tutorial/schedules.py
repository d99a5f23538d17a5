r"""Numbers that change while a model is trained: the learning rate, and the weight :math:`\beta` of the KL term.

A schedule is a plain function of the step t = 0, 1, 2, …, the number of optimizer steps already taken. `fit` takes one,
or a number, as ``lr`` and as ``beta``; whatever is not found here is a line of your own.
"""

import math
from collections.abc import Callable
from numbers import Integral

from vae_tutorial._validation import require_count, require_number, require_positive

Schedule = Callable[[int], float]
"""A function from the step, a whole number of at least 0, to the value that holds for it."""


def warmup_cosine(peak: float, n_steps: int, warmup: int = 0) -> Schedule:
    r"""Up to ``peak`` along a line, then down to 0 along half a cosine, for a learning rate.

    .. math:: \eta_t = \begin{cases} \eta \, (t + 1) / t_0 & t < t_0 \\
        \tfrac12 \eta \bigl(1 + \cos \frac{\pi (t - t_0)}{T - t_0}\bigr) & t_0 \le t < T \\ 0 & t \ge T \end{cases}

    The descent is that of Loshchilov and Hutter, *SGDR: Stochastic Gradient Descent with Warm Restarts* (2017,
    equation 5), without a restart. The line in front keeps Adam's first steps short, while its averages of the squared
    gradient rest on few of them.

    Args:
        peak: the largest value :math:`\eta`, a positive number.
        n_steps: T, the steps of the whole run: epochs times ``ceil(N / batch_size)``.
        warmup: :math:`t_0`, how many of them lead up to the peak; less than T.

    Returns:
        The schedule. Every value before step T is positive.

    Raises:
        TypeError: ``peak`` is not a number.
        ValueError: ``peak`` is not positive, ``n_steps`` not a whole number of at least 1, or ``warmup`` not one from
            0 to ``n_steps`` - 1.

    Example:
        >>> lr = warmup_cosine(0.1, n_steps=6, warmup=2)
        >>> print(*[f"{lr(t):.3f}" for t in range(7)])
        0.050 0.100 0.100 0.085 0.050 0.015 0.000
    """
    require_count(n_steps=n_steps)
    require_positive(peak=peak)
    if not isinstance(warmup, Integral) or not 0 <= warmup < n_steps:
        raise ValueError(f"warmup must be an integer from 0 to n_steps - 1 = {n_steps - 1}, got {warmup!r}")

    def value(step: int) -> float:
        if step < warmup:
            return peak * ((step + 1) / warmup)
        if step >= n_steps:
            return 0.0
        height = 0.5 * peak * (1 + math.cos(math.pi * ((step - warmup) / (n_steps - warmup))))
        # Close to the end 1 + cos is rounded to 0; the same as a square of what is left is not.
        return height or peak * math.sin(0.5 * math.pi * ((n_steps - step) / (n_steps - warmup))) ** 2

    return value


def linear(start: float, end: float, n_steps: int) -> Schedule:
    r"""From ``start`` to ``end`` along a line, and there it stays.

    .. math:: \beta_t = a + (b - a) \min(t / T, 1)

    From 0 to 1 this raises the weight of the KL term gradually, as do Bowman et al., *Generating Sentences from a
    Continuous Space* (2016), and Sønderby et al., *Ladder Variational Autoencoders* (2016). Only from the step on at
    which it is 1 does training follow the ELBO.

    Args:
        start, end: the values a at step 0 and b from step T on.
        n_steps: T, how many steps the line takes.

    Returns:
        The schedule.

    Raises:
        TypeError: ``start`` or ``end`` is not a number.
        ValueError: one is not finite, or ``n_steps`` is not a whole number of at least 1.

    Example:
        >>> beta = linear(0.0, 1.0, n_steps=4)
        >>> [beta(t) for t in range(6)]
        [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    """
    require_count(n_steps=n_steps)
    start, end = require_number(start=start), require_number(end=end)
    return lambda step: end if step >= n_steps else start + (end - start) * step / n_steps


def cyclical(n_steps: int, n_cycles: int = 4, *, rising: float = 0.5) -> Schedule:
    r"""From 0 to 1 along a line, and again, so that the last cycle starts from codes that already say something.

    .. math:: \beta_t = \min(\tau_t / R, 1), \qquad \tau_t = \frac{M t}{T} - \Bigl\lfloor \frac{M t}{T} \Bigr\rfloor

    That is Fu et al., *Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing* (2019, equations 6
    and 7), with their M = 4 and R = ½ as the defaults.

    Args:
        n_steps: T, the steps of all cycles; from then on the value is 1.
        n_cycles: M, the number of cycles.
        rising: R, the share of a cycle in which the value rises, above 0 and at most 1.

    Returns:
        The schedule.

    Raises:
        TypeError: ``rising`` is not a number.
        ValueError: a count is not a whole number of at least 1, or ``rising`` is not above 0 and at most 1.

    Example:
        >>> beta = cyclical(8, n_cycles=2)
        >>> [beta(t) for t in range(10)]
        [0.0, 0.5, 1.0, 1.0, 0.0, 0.5, 1.0, 1.0, 1.0, 1.0]
    """
    require_count(n_steps=n_steps, n_cycles=n_cycles)
    require_positive(rising=rising)
    if rising > 1:
        raise ValueError(f"rising must be above 0 and at most 1, got {rising!r}")
    return lambda step: 1.0 if step >= n_steps else min((n_cycles * step % n_steps) / n_steps / rising, 1.0)
