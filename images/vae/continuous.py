"""How variational autoencoders with continuous posteriors train."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flowsuite.core.certificate import Certificate, certify
from flowsuite.core.training.continuous_training import ContinuousTraining
from flowsuite.core.variational.posterior import push_samples
from flowsuite.images.vae.model import FlowVAE
from flowsuite.images.vae.module import VAEModule

CERTIFIED = 8  # images of the first test batch that the certificate looks at


class ContinuousVAEModule(ContinuousTraining, VAEModule):
    """`VAEModule` for a `FlowVAE` whose posterior is "cnf" (arXiv 1810.01367, section 5.4).

    The evaluations of the fields are logged, a solve that fails is handled as `non_finite` says, and testing prints a
    certificate of the bound at fixed noise (see `ContinuousTraining`).

    Args:
        flow: a `FlowVAE` with posterior "cnf".
        tight: a test figure is called loose if its certified error is above this, in nats per image.
        kwargs: those of `VAEModule`.
    """

    def __init__(self, flow: FlowVAE, tight: float = 0.01, **kwargs):
        super().__init__(flow, **kwargs)
        self.set_tight(tight)
        self.tight_unit = ("nats per image", 1.0)

    def certify(self, batch: Any) -> Certificate:
        """Of the bound of a few images, each with one draw of noise that is the same all the time."""
        x = self.unpack(batch)[0][:CERTIFIED]
        generator = torch.Generator(self.device).manual_seed(0)
        noise = self.flow.posterior.base.sample(len(x), generator=generator)

        def bound(flow: FlowVAE, noise: Tensor) -> Tensor:
            z, ladj = push_samples(flow.posterior.layers, noise, flow.features(x))
            log_q = flow.posterior.base.log_prob(noise) - ladj
            return flow.log_likelihood(z[None], x)[0] + flow.log_prior(z) - log_q

        def round_trip() -> Tensor:
            context = self.flow.features(x)
            z = push_samples(self.flow.posterior.layers, noise, context)[0]
            return self.flow.posterior.encode(z, context)

        return certify(self.flow, bound, noise, round_trip)
