"""The eight schools: the hierarchical model that every sampler is tried on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from flowsuite.core.targets.shapes import log_normal
from flowsuite.core.targets.target import Target

EFFECTS = (28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0)
ERRORS = (15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0)
PRIOR = 5.0  # standard deviation of mu, and scale of tau's half-Cauchy


class EightSchools(Target):
    """Effects of coaching in eight schools (Rubin 1981; priors of posteriordb):

        mu ~ N(0, 5^2), tau ~ half-Cauchy(0, 5), theta_j ~ N(mu, tau^2), y_j ~ N(theta_j, sigma_j^2)

    on `z = (mu, log tau, eta_1..eta_8)`, (N, 10), Jacobian of the logarithm included. All constants are kept: the
    normaliser is the evidence p(y).

    Args:
        centred: eta is theta, a funnel in (log tau, theta); else `eta = (theta - mu) / tau`.
    """

    dims = 10

    def __init__(self, centred: bool = False):
        super().__init__()
        self.centred = centred
        self.register_buffer("effects", torch.tensor(EFFECTS, dtype=torch.float64))
        self.register_buffer("errors", torch.tensor(ERRORS, dtype=torch.float64))

    def extra_repr(self) -> str:
        return f"centred={self.centred}"

    def theta(self, z: Tensor) -> Tensor:
        """The schools' effects, (N, 10) -> (N, 8)."""
        return z[:, 2:] if self.centred else z[:, :1] + z[:, 1:2].exp() * z[:, 2:]

    def log_density(self, z):
        mu, log_tau, eta = z[:, 0], z[:, 1], z[:, 2:]
        effects, errors = self.effects.to(z), self.errors.to(z)
        prior = log_normal(mu, math.log(PRIOR)) + log_half_cauchy(log_tau)
        if self.centred:
            # ((eta - mu) / tau)^2 with 1 / tau: tau itself underflows first
            scaled = (eta - mu[:, None]) * torch.exp(-log_tau)[:, None]
            prior = prior + (log_normal(scaled) - log_tau[:, None]).sum(1)
        else:
            prior = prior + log_normal(eta).sum(1)
        return prior + log_normal(effects - self.theta(z), errors.log()).sum(1)

    def _tau_posterior(self) -> tuple[Tensor, Tensor]:
        """A grid of log tau (G,), float64, and `log p(y, log tau) + log step` on it, mu and theta integrated out.

        Given tau, y is normal with covariance `diag(sigma^2 + tau^2) + 25 1 1^T`.
        """
        effects, errors = self.effects.double(), self.errors.double()
        log_tau = torch.linspace(-30, 15, 4501, dtype=torch.float64, device=effects.device)
        variance = errors.square() + torch.exp(2 * log_tau)[:, None]
        weight = (1 / variance).sum(1)
        centre = (effects / variance).sum(1)
        quadratic = (effects.square() / variance).sum(1) - centre.square() / (weight + PRIOR**-2)
        log_det = variance.log().sum(1) + torch.log1p(PRIOR**2 * weight)
        log_y = -0.5 * (quadratic + log_det + len(EFFECTS) * math.log(2 * math.pi))
        return log_tau, log_y + log_half_cauchy(log_tau) + math.log(log_tau[1] - log_tau[0])

    def log_normalizer(self):
        """log p(y), one integral over log tau by quadrature."""
        return float(torch.logsumexp(self._tau_posterior()[1], 0))

    def moments(self) -> dict[str, float]:
        """Posterior mean and standard deviation of mu, and mean of log tau, by the same quadrature."""
        log_tau, log_joint = self._tau_posterior()
        share = torch.softmax(log_joint, 0)
        variance = self.errors.double().square() + torch.exp(2 * log_tau)[:, None]
        precision = (1 / variance).sum(1) + PRIOR**-2
        mean = (self.effects.double() / variance).sum(1) / precision
        first, second = (share * mean).sum(), (share * (mean.square() + 1 / precision)).sum()
        return {
            "mu": float(first),
            "mu_std": float((second - first.square()).sqrt()),
            "log_tau": float((share * log_tau).sum()),
        }


def log_half_cauchy(log_tau: Tensor) -> Tensor:
    """Log-density of log tau for `tau ~ half-Cauchy(0, 5)`: `log(2 / (5 pi)) - log(1 + (tau / 5)^2) + log tau`."""
    scaled = log_tau - math.log(PRIOR)
    return math.log(2 / math.pi) - torch.nn.functional.softplus(2 * scaled) + scaled
