"""Variational inference: flows as posteriors of unnormalised densities, and of latent variables given data."""

from flowsuite.core.variational.diagnostics import effective_sample_size, pareto_k
from flowsuite.core.variational.estimators import (
    ESTIMATORS,
    importance_sampled_log_likelihood,
    sampled_loss,
    stopped_log_prob,
)
from flowsuite.core.variational.posterior import KINDS, Posterior

__all__ = [
    "ESTIMATORS",
    "KINDS",
    "Posterior",
    "effective_sample_size",
    "importance_sampled_log_likelihood",
    "pareto_k",
    "sampled_loss",
    "stopped_log_prob",
]
