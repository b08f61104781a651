"""Variational inference: flows as posteriors of unnormalised densities, and of latent variables given data."""

from flowsuite.core.variational.diagnostics import effective_sample_size, pareto_k
from flowsuite.core.variational.distribution import FlowDistribution
from flowsuite.core.variational.estimators import (
    ESTIMATORS,
    importance_sampled_log_likelihood,
    sampled_loss,
    stopped_log_prob,
)
from flowsuite.core.variational.fit import FittedPosterior, fit_posterior
from flowsuite.core.variational.posterior import KINDS, Posterior
from flowsuite.core.variational.pyro import NamedLogDensity
from flowsuite.core.variational.report import FitReport

__all__ = [
    "ESTIMATORS",
    "KINDS",
    "FitReport",
    "FittedPosterior",
    "FlowDistribution",
    "NamedLogDensity",
    "Posterior",
    "effective_sample_size",
    "fit_posterior",
    "importance_sampled_log_likelihood",
    "pareto_k",
    "sampled_loss",
    "stopped_log_prob",
]
