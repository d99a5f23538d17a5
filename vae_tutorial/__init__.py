"""Variational autoencoders, derived, coded and checked: the companion package of the book.

One module is one idea. Import them by name, ``from vae_tutorial import gaussian``, or take the functions
from where they live, ``from vae_tutorial.gaussian import kl_standard_normal``.
"""

__version__ = "0.1.0"
