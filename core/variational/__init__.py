"""Variational inference: flows as posteriors of unnormalised densities, and of latent variables given data."""

from flowsuite.core.variational.posterior import KINDS, Posterior

__all__ = ["KINDS", "Posterior"]
