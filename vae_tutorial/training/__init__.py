"""Auto-Encoding Variational Bayes: stochastic gradient ascent on the ELBO."""

from vae_tutorial.training.device import best_device
from vae_tutorial.training.examples import Data
from vae_tutorial.training.held_out import evaluate
from vae_tutorial.training.loop import fit
from vae_tutorial.training.step import Objective, take_step

__all__ = ["Data", "Objective", "best_device", "take_step", "fit", "evaluate"]
