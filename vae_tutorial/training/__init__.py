"""Auto-Encoding Variational Bayes: stochastic gradient ascent on the ELBO."""

from vae_tutorial.training.loop import Objective, best_device, evaluate, fit

__all__ = ["Objective", "best_device", "fit", "evaluate"]
