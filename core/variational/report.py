"""What is known about a fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from flowsuite.core.variational.checks import describe
from flowsuite.core.variational.diagnostics import GOOD_K, effective_sample_size, pareto_k
from flowsuite.core.variational.posterior import Posterior
from flowsuite.core.variational.quadrature import divergences

GRID_POINTS = 90_000  # of the quadrature
LEAST_KL = -0.01  # nats: below, a divergence is no rounding error


@dataclass
class FitReport:
    """Figures of a fitted posterior, nats.

    Attributes:
        elbo, elbo_error: `E_q[log p - log q]` from fresh samples, a lower bound on the log-normaliser, and its standard
            error.
        log_evidence: the importance-weighted estimate of the log-normaliser from the same samples.
        ess: effective sample size of the importance ratios, a share in (0, 1].
        pareto_k: shape of their tail; above 0.7 nothing that rests on the ratios can be trusted.
        reverse_kl, forward_kl: `KL(q || p)` and `KL(p || q)` by quadrature over `window`, in two dimensions, p being
            normalised there: a mode outside of it counts for nothing.
        log_normalizer, mass: log-normaliser of p over that window, and the share of q inside it.
        steps, seconds: of the fit.
        warnings: what went wrong, a line each.
    """

    elbo: float
    elbo_error: float
    log_evidence: float
    ess: float
    pareto_k: float
    reverse_kl: float | None = None
    forward_kl: float | None = None
    log_normalizer: float | None = None
    mass: float | None = None
    window: tuple[float, float, float, float] | None = None
    steps: int = 0
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        text = (
            f"ELBO {self.elbo:.4f} +- {self.elbo_error:.4f} nats, log evidence {self.log_evidence:.4f}, "
            f"ESS {100 * self.ess:.1f} %, Pareto k {self.pareto_k:.2f}"
        )
        if self.reverse_kl is not None:
            left, right, bottom, top = self.window
            over = f"[{left:.4g}, {right:.4g}] x [{bottom:.4g}, {top:.4g}]"
            text += f", KL(q||p) {self.reverse_kl:.4f}, KL(p||q) {self.forward_kl:.4f} over {over}"
        text += f" ({self.steps} steps, {self.seconds:.1f} s)"
        return "\n".join([text, *(f"warning: {line}" for line in self.warnings)])


@torch.no_grad()
def score(
    flow: Posterior,
    log_density: Callable[[Tensor], Tensor],
    n: int,
    window: Sequence[float] | None = None,
    generator: torch.Generator | None = None,
    chunk: int = 10_000,
) -> tuple[FitReport, Tensor]:
    """The report of a posterior without a context, from n fresh samples, and the samples (n, D).

    In two dimensions the divergences are integrals over `window` (left, right, bottom, top); None for what the samples
    and their surroundings take up.
    """
    parts = []
    for start in range(0, n, chunk):
        z, log_q = flow.rsample_and_log_prob(min(chunk, n - start), generator=generator)
        parts.append((z, log_density(z).double() - log_q.double()))
    z, log_w = (torch.cat(group) for group in zip(*parts, strict=True))
    report = FitReport(
        elbo=float(log_w.mean()),
        elbo_error=float(log_w.std(correction=0)) / math.sqrt(n),
        log_evidence=float(torch.logsumexp(log_w, 0)) - math.log(n),
        ess=effective_sample_size(log_w),
        pareto_k=pareto_k(log_w),
    )
    if not log_w.isfinite().all():
        bad = (~log_w.isfinite()).nonzero()[:, 0]
        report.warnings.append(
            f"log p - log q is {float(log_w[bad[0]]):g} at z = {describe(z[bad[0]])}, and not finite at {len(bad)} of "
            f"{n} samples of the report: its figures are those of a density that is not finite everywhere"
        )
    if report.pareto_k > GOOD_K:
        report.warnings.append(
            f"Pareto k is {report.pareto_k:.2f} > {GOOD_K}: q misses mass of p, importance-weighted figures mislead"
        )
    if z.shape[1] == 2:
        report.window = surroundings(z) if window is None else tuple(map(float, window))
        left, right, bottom, top = report.window
        step = math.sqrt((right - left) * (top - bottom) / GRID_POINTS)
        integrals = divergences(flow.log_prob, log_density, report.window, step, z.device, z.dtype)
        report.reverse_kl, report.forward_kl, report.log_normalizer, report.mass = integrals
        if not all(kl > LEAST_KL for kl in integrals[:2]) or math.isinf(integrals.reverse_kl):  # a NaN is not above
            report.warnings.append(
                f"divergences by quadrature are {integrals[0]:.4g} and {integrals[1]:.4g}: the density is not finite "
                "somewhere in the window, or changes too fast for the grid"
            )
    return report, z


def surroundings(z: Tensor) -> tuple[float, float, float, float]:
    """A window around samples (N, 2) twice as wide and high as they spread."""
    low, high = z.double().amin(0), z.double().amax(0)
    half = (high - low).clamp_min(1e-6)
    middle = (low + high) / 2
    (left, bottom), (right, top) = (middle - half).tolist(), (middle + half).tolist()
    return left, right, bottom, top
