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
    bounds: int = 1,
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
        bounds: without a context, of how many bounds of n samples each the loss is the mean.

    Returns:
        loss (), samples z, and their `log p - log q`, detached and not annealed: (n, D), (n,), or with a context or
        several bounds (n, B, D), (n, B).
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}, got {estimator!r}")
    draw = _Draw(flow, log_density, n, context, bounds, generator)
    if estimator == "forward":
        with torch.no_grad():
            z, log_q, log_p = draw()
        return forward_kl(draw.score(z), beta * log_p - log_q), z, log_p - log_q
    z, log_q, log_p = draw()
    log_weights = (log_p - log_q).detach()
    if estimator in ("stl", "dreg"):
        log_q = stopped_log_prob(flow, z, context)
    if estimator == "dreg":
        return doubly_reparameterized_loss(beta * log_p - log_q, z), z, log_weights
    if estimator == "iwae":
        return -importance_weighted_bound(beta * log_p - log_q).mean(), z, log_weights
    return free_energy(log_q, log_p, beta), z, log_weights


class _Draw:
    """Samples of a posterior and both densities there: (n, D), (n,), (n,), or with B columns (n, B, D), (n, B), (n, B).

    A column is a row of the context, or without one a bound of its own.
    """

    def __init__(self, flow, log_density, n, context, bounds, generator):
        if bounds < 1 or (bounds > 1 and context is not None):
            raise ValueError(f"bounds must be at least 1, and 1 with a context, got {bounds}")
        self.flow, self.log_density, self.n, self.bounds = flow, log_density, n, bounds
        self.context, self.generator = context, generator

    def __call__(self) -> tuple[Tensor, Tensor, Tensor]:
        if self.bounds == 1:
            z, log_q = self.flow.rsample_and_log_prob(self.n, self.context, self.generator)
            return z, log_q, self.log_density(z)
        z, log_q = self.flow.rsample_and_log_prob(self.n * self.bounds, None, self.generator)
        z = z.unflatten(0, (self.n, self.bounds))
        return z, log_q.view(z.shape[:-1]), self.log_density(z.flatten(0, 1)).view(z.shape[:-1])

    def score(self, z: Tensor) -> Tensor:
        """`log q(z)` by the inverse, differentiable in the parameters."""
        context = None if self.context is None else self.context.repeat(self.n, 1)
        return self.flow.log_prob(z.flatten(0, -2), context).view(z.shape[:-1])


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
