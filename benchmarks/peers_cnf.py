"""Continuous flows as others train them: torchdiffeq with a Hutchinson trace by autograd, and zuko's CNF."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowsuite.core.nets.vector_field import VectorField


class TorchdiffeqCNF(nn.Module):
    """The strategy of FFJORD's and PointFlow's public code, on a field of ours: `log_prob` and `sample` of a batch.

    dopri5 with torchdiffeq's adjoint; one Gaussian probe a solve, its Jacobian product by autograd; a context rides in
    the state, so that the adjoint yields its gradient, and enters the field anew at every evaluation; sampling
    integrates the divergence too. PointFlow learns the end time, FFJORD's code does not.
    """

    def __init__(
        self, field: VectorField, end_time: float = 1.0, train_end_time: bool = False, tolerance: float = 1e-5
    ):
        super().__init__()
        self.field, self.tolerance = field, tolerance
        self.sqrt_end_time = nn.Parameter(torch.tensor(end_time**0.5), requires_grad=train_end_time)
        self.evaluations = 0

    def forward(self, t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        self.evaluations += 1
        x, _, *context = state
        recorded = torch.is_grad_enabled() and x.requires_grad
        with torch.enable_grad():
            x = x if recorded else x.detach().requires_grad_()
            f = self.field(t, x, self.field.condition(context[0]) if context else None)
            product = torch.autograd.grad(f, x, self.probe, create_graph=True)[0]
        return f, -(product * self.probe).sum(-1), *(torch.zeros_like(c) for c in context)

    def solve(self, x: Tensor, context: Tensor | None = None, reverse: bool = False) -> tuple[Tensor, Tensor]:
        from torchdiffeq import odeint_adjoint

        self.probe = torch.randn_like(x)
        state = (x, x.new_zeros(x.shape[:-1]), *(() if context is None else (context,)))
        end = self.sqrt_end_time.square()
        times = torch.stack((end, torch.zeros_like(end)) if reverse else (torch.zeros_like(end), end))
        solution = odeint_adjoint(
            self,
            state,
            times,
            rtol=self.tolerance,
            atol=self.tolerance,
            method="dopri5",
            adjoint_params=parameters(self),
        )
        return solution[0][-1], solution[1][-1]

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(B, ..., D) -> (B, ...), nats."""
        z, delta = self.solve(x, context)
        return torch.distributions.Normal(0, 1).log_prob(z).sum(-1) - delta

    def sample(self, noise: Tensor, context: Tensor | None = None) -> Tensor:
        return self.solve(noise, context, reverse=True)[0]


def parameters(module: nn.Module) -> tuple[Tensor, ...]:
    return tuple(p for p in module.parameters() if p.requires_grad)


def zuko_cnf(features: int, hidden: tuple[int, ...]) -> nn.Module:
    """zuko's CNF as it comes: Fourier time features, ELU, exact trace, its own dopri45 and adjoint."""
    import zuko

    return zuko.flows.CNF(features, hidden_features=hidden)


def count_zuko(flow: nn.Module) -> list[int]:
    """A counter of the evaluations of zuko's field."""
    counter = [0]
    flow.transform.ode.register_forward_pre_hook(lambda *_: counter.__setitem__(0, counter[0] + 1))
    return counter
