"""Variational autoencoders of images with flow posteriors (arXiv 1505.05770, 1803.05649, 1810.01367)."""

from flowsuite.images.vae.model import FlowVAE, Terms

__all__ = ["FlowVAE", "Terms"]
