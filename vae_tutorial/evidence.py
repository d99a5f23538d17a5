"""Where `Check`, `agree` and `exceeds` were, now in `vae_tutorial.checks`: it goes with the next version but one."""

import warnings

from vae_tutorial.checks.claims import Check, agree, exceeds

__all__ = ["Check", "agree", "exceeds"]

warnings.warn(
    "vae_tutorial.evidence is now part of vae_tutorial.checks: import Check, agree and exceeds from there",
    DeprecationWarning,
    stacklevel=2,
)
