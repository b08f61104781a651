"""Posteriors of normflows and zuko, and ours, behind one face: a loss of samples, nothing else."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from flowsuite.core.variational import Posterior, sampled_loss

DIMS, HIDDEN, BINS = 2, 64, 8
LogDensity = Callable[[Tensor], Tensor]


class Fitted:
    """A flow and its reverse divergence from a density: `loss(n, beta) = mean(log q - beta log p)` over n samples.

    Attributes:
        module: what holds the parameters.
        loss: differentiable, ().
    """

    def __init__(self, module: nn.Module, loss: Callable[[int, float], Tensor]):
        self.module, self.loss = module, loss

    @torch.no_grad()
    def negative_elbo(self, n: int) -> float:
        self.module.eval()
        value = float(self.loss(n, 1.0))
        self.module.train()
        return value


def ours(kind: str, n_layers: int, log_density: LogDensity) -> Fitted:
    options = {"hidden_features": HIDDEN} if kind in ("affine", "spline") else {}
    flow = Posterior(DIMS, kind, n_layers, options=options)
    return Fitted(flow, lambda n, beta: sampled_loss(flow, log_density, n, beta=beta)[0])


def normflows(kind: str, n_layers: int, log_density: LogDensity) -> Fitted:
    """Planar (tanh) or radial layers as they come, the diagonal Gaussian before them learned."""
    import normflows as nf

    class Target(nn.Module):
        def log_prob(self, z: Tensor) -> Tensor:
            return log_density(z)

    make = {"planar": nf.flows.Planar, "radial": nf.flows.Radial}[kind]
    flows = [make((DIMS,)) for _ in range(n_layers)]
    model = nf.NormalizingFlow(nf.distributions.DiagGaussian(DIMS), flows, Target())
    return Fitted(model, lambda n, beta: model.reverse_kld(n, beta))


def zuko(kind: str, n_layers: int, log_density: LogDensity) -> Fitted:
    """Affine couplings, or splines turned round as zuko's tutorial does for inference: sampled in one pass."""
    from zuko.flows import NSF, Flow, RealNVP

    if kind == "affine":
        flow = RealNVP(DIMS, transforms=n_layers, hidden_features=(HIDDEN,))
    else:
        splines = NSF(DIMS, transforms=n_layers, bins=BINS, hidden_features=(HIDDEN, HIDDEN))
        flow = Flow(splines.transform.inv, splines.base)

    def loss(n: int, beta: float) -> Tensor:
        z, log_q = flow().rsample_and_log_prob((n,))
        return (log_q - beta * log_density(z)).mean()

    return Fitted(flow, loss)


MAKERS = {"ours": ours, "normflows": normflows, "zuko": zuko}
