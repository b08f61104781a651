"""The losses of variational autoencoders, from the bounds of the core."""

from __future__ import annotations

from torch import Tensor

from flowsuite.core.objective import (
    doubly_reparameterized_loss,
    free_energy,
    importance_weighted_bound,
    warmed_up_elbo_loss,
)
from flowsuite.core.variational import Posterior, stopped_log_prob
from flowsuite.images.vae.model import Terms

OBJECTIVES = ("elbo", "stl", "iwae", "dreg")


def bound_loss(
    posterior: Posterior, terms: Terms, objective: str, joint: bool, beta: float, free_nats: float = 0.0
) -> Tensor:
    """The negative of a bound, in nats, mean over the images: () .

    - "elbo": the mean over draws of `log p(x, z) - log q(z|x)`;
    - "stl": its value, the score of q left out of the gradient (arXiv 1703.09194). It inverts the posterior;
    - "iwae": the importance-weighted bound (arXiv 1509.00519);
    - "dreg": its value, with the doubly reparameterised gradient (arXiv 1810.04152). It inverts the posterior.

    Args:
        posterior: that the terms were drawn from.
        terms: of S draws of each image.
        joint: beta multiplies the whole log joint; otherwise the divergence `log q(z|x) - log p(z)` alone.
        beta: see `flowsuite.images.vae.annealing.Annealing`.
        free_nats: floor of the mean divergence, for "elbo" and "stl" without `joint`.
    """
    log_q = stopped_log_prob(posterior, terms.z, terms.context) if objective in ("stl", "dreg") else terms.log_q
    if objective in ("elbo", "stl"):
        if joint:
            return free_energy(log_q, terms.log_likelihood + terms.log_prior, beta)
        return warmed_up_elbo_loss(terms.log_likelihood, terms.log_prior, log_q, beta, free_nats)
    if joint:
        log_weights = beta * (terms.log_likelihood + terms.log_prior) - log_q
    else:
        log_weights = terms.log_likelihood + beta * (terms.log_prior - log_q)
    if objective == "dreg":
        return doubly_reparameterized_loss(log_weights, terms.z)
    return -importance_weighted_bound(log_weights).mean()
