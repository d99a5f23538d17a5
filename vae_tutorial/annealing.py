"""The former name of `vae_tutorial.ais`; it goes with the next version but one."""

import warnings

from vae_tutorial.ais import ais, reverse_ais

__all__ = ["ais", "reverse_ais"]

warnings.warn(
    "vae_tutorial.annealing is now vae_tutorial.ais: import ais and reverse_ais from there",
    DeprecationWarning,
    stacklevel=2,
)
