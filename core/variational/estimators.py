"""What a fit takes gradients of: the bounds of `flowsuite.core.objective`, on samples of a posterior."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call

from flowsuite.core.objective import (
    doubly_reparameterized_loss,
    forward_kl,
    free_energy,
    importance_weighted_bound,
)
from flowsuite.core.variational.posterior import Posterior

LogDensity = Callable[[Tensor], Tensor]
ESTIMATORS = ("reparameterized", "stl", "iwae", "dreg", "forward")


def stopped_log_prob(flow: Posterior, z: Tensor, context: Tensor | None = None) -> Tensor:
    """`log q(z)` in nats with the parameters of q, and the context, held constant: its gradient is that of z alone.

    The flow is inverted at z. (..., D) -> (...); with a context (B, C), z is (B, D) or (S, B, D).
    """
    frozen = {name: p.detach() for name, p in flow.named_parameters()}
    rows = z.flatten(0, -2)
    if context is not None:
        context = context.detach().repeat(rows.shape[0] // len(context), 1)
    return functional_call(flow, frozen, (rows, context)).view(z.shape[:-1])


def sampled_loss(
    flow: Posterior,
    log_density: LogDensity,
    n: int,
    estimator: str = "reparameterized",
    beta: float = 1.0,
    context: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """A loss whose gradient moves the posterior towards an unnormalised density, from n of its own samples.

    - "reparameterized": `mean(log q - beta log p)`, the reverse divergence, free energy or negative ELBO
      (arXiv 1505.05770);
    - "stl": the same value, the score of q left out of its gradient ("sticking the landing", arXiv 1703.09194): with a
      perfect q it has no variance at all. It inverts the flow;
    - "iwae": the negative importance-weighted bound (arXiv 1509.00519);
    - "dreg": the same value with the doubly reparameterised gradient (arXiv 1810.04152). It inverts the flow;
    - "forward": `KL(p || q)` with self-normalised importance weights. It inverts the flow.

    Args:
        log_density: `log p` up to a constant, in nats: from z (n, D) to (n,), with a context (n, B, D) to (n, B).
        n: samples (of each row of the context).
        estimator: of these.
        beta: multiplies `log p` (joint annealing).
        context: (B, C), for an amortised posterior.

    Returns:
        loss (), samples z, and their `log p - log q`, detached and not annealed.
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    if estimator == "forward":
        return _forward_loss(flow, log_density, n, beta, context, generator)
    z, log_q = flow.rsample_and_log_prob(n, context, generator)
    log_p = log_density(z)
    log_weights = (log_p - log_q).detach()
    if estimator in ("stl", "dreg"):
        log_q = stopped_log_prob(flow, z, context)
    if estimator == "dreg":
        return doubly_reparameterized_loss(beta * log_p - log_q, z), z, log_weights
    if estimator == "iwae":
        return -importance_weighted_bound(beta * log_p - log_q).mean(), z, log_weights
    return free_energy(log_q, log_p, beta), z, log_weights


def _forward_loss(flow, log_density, n, beta, context, generator):
    with torch.no_grad():
        z, log_q = flow.rsample_and_log_prob(n, context, generator)
        log_p = log_density(z)
    rows = z.flatten(0, -2)
    repeated = None if context is None else context.repeat(n, 1)
    scored = flow.log_prob(rows, repeated).view(z.shape[:-1])
    return forward_kl(scored, beta * log_p - log_q), z, log_p - log_q


@torch.no_grad()
def importance_sampled_log_likelihood(
    flow: Posterior,
    log_joint: LogDensity,
    n: int,
    context: Tensor | None = None,
    chunk: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    """`log p(x) ~ log mean_s p(x, z_s) / q(z_s | x)` from n samples, in nats: (B,); () without a context.

    The posterior is amortised once, by the context that an encoder gave for the B examples; samples go through it and
    through `log_joint` `chunk` at a time, and the sum is kept as its logarithm: memory does not grow with n.

    Args:
        log_joint: `log p(x, z)` of z (S, B, D), shape (S, B); (S, D) and (S,) without a context.
        n: samples; published 5000.
        context: (B, C) for an amortised posterior.
        chunk: samples at a time.
    """
    if n < 1 or chunk < 1:
        raise ValueError(f"expected at least 1 sample and 1 at a time, got n={n}, chunk={chunk}")
    total = None
    for start in range(0, n, chunk):
        z, log_q = flow.rsample_and_log_prob(min(chunk, n - start), context, generator)
        part = torch.logsumexp(log_joint(z) - log_q, 0)
        total = part if total is None else torch.logaddexp(total, part)
    return total - torch.tensor(float(n)).log().to(total)
