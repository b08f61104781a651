"""How continuous flows of vectors train: by likelihood, by flow matching, or both."""

from __future__ import annotations

import itertools
import math
from typing import Any

import torch
from torch import Tensor, nn

from flowsuite.core.certificate import Certificate, certify_flow
from flowsuite.core.flow import Flow
from flowsuite.core.matching import FlowMatching, split_at_cnf
from flowsuite.core.objective import negative_log_likelihood
from flowsuite.core.training.continuous_training import ContinuousTraining
from flowsuite.core.training.module import FlowModule
from flowsuite.core.training.pictures import enlarge, write_png
from flowsuite.core.training.plots import density_triptych, points_image, square_around

CERTIFIED = 256  # examples of the first test batch that the certificate looks at
OBJECTIVES = ("likelihood", "flow_matching", "hybrid", "reflow")


class ContinuousFlowModule(ContinuousTraining, FlowModule):
    """Trains a flow with continuous layers; FFJORD (arXiv 1810.01367), RNODE (2002.02798), flow matching (2210.02747).

    The training loss, by `objective`, with D the number of entries of an example:

    - "likelihood": `[-log p(x) + kinetic * int |f|^2 + jacobian * int |J|_F^2] / D`, the mean over the batch;
    - "flow_matching": mean over examples and coordinates of `(v - u)^2`: no solve at all; needs exactly one continuous
      layer, and trains its field only;
    - "hybrid": likelihood (with its penalties) plus `matching_weight` times flow matching;
    - "reflow": flow matching on given pairs of data and noise (rectified flow, 2209.03003), from
      `flowsuite.core.data.Reflow`: the batches are `(x, noise)`. For flows without a context.

    A coarse fixed grid can be exploited: where the training figures fall far below the validation ones (and `val/nfe`
    grows), the field has become too wild for the grid. Penalties, more steps or a fixed end time prevent that.

    Validation and test figures are always the likelihood in evaluation mode (`eval_solver`, `eval_divergence`): `loss`
    in nats per dimension, `nats` per example. Testing also prints a `flowsuite.core.certificate.Certificate`.

    Args:
        flow: the model.
        objective: "likelihood", "flow_matching", "hybrid" or "reflow".
        kinetic, jacobian: weights of the RNODE penalties; 0.01 each as published, 0 for none.
        matching_weight: of the matching loss in "hybrid".
        path, sigma, pairing: of flow matching, see `flowsuite.core.matching.FlowMatching`.
        tight: a test figure is called loose if its certificate is above this error, in nats per example.
        kwargs: those of `FlowModule`.
    """

    def __init__(
        self,
        flow: Flow,
        objective: str = "likelihood",
        kinetic: float = 0.0,
        jacobian: float = 0.0,
        matching_weight: float = 1.0,
        path: str = "linear",
        sigma: float = 0.0,
        pairing: str = "independent",
        tight: float = 0.01,
        **kwargs,
    ):
        super().__init__(flow, **kwargs)
        if objective not in OBJECTIVES:
            raise ValueError(f"unknown objective {objective!r}: expected one of {', '.join(OBJECTIVES)}")
        self.set_penalties(kinetic, jacobian)
        if not 0 <= matching_weight < math.inf:
            raise ValueError(f"matching_weight must be at least 0, got {matching_weight}")
        self.set_tight(tight)
        solves = objective in ("likelihood", "hybrid")
        if not solves and (kinetic or jacobian):
            raise ValueError(f"the objective {objective!r} solves nothing that kinetic or jacobian could penalise")
        if objective != "likelihood":
            split_at_cnf(flow.transform)
        self.objective, self.matching_weight = objective, matching_weight
        self.matching = FlowMatching(path, sigma, pairing)

    def matched_levels(self) -> list[nn.Module]:
        return [self.flow] if self.objective in ("flow_matching", "reflow") else []

    def loss(self, x, context, stage):
        if stage != "train":
            return self.likelihood_loss(x, context)
        if self.objective == "likelihood":
            return self.penalised_loss(x, context)
        if self.objective == "reflow":
            return self.reflow_loss(x, context), {}
        matching = self.matching.flow_loss(self.flow, x, context, take_up=self.objective != "hybrid")
        if self.objective == "flow_matching":
            return matching, {}
        loss, figures = self.penalised_loss(x, context)
        return loss + self.matching_weight * matching, {**figures, "matching": matching}

    def likelihood_loss(self, x: Tensor, context: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """`-log p / D`, the mean over the batch; and `nats` per example."""
        nats = negative_log_likelihood(self.flow(x, context))
        return nats / x[0].numel(), {"nats": nats}

    def penalised_loss(self, x: Tensor, context: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The same with the penalties, also divided by D."""
        dims = x[0].numel()
        return self.penalise(*self.likelihood_loss(x, context), dims, unit=dims)

    def reflow_loss(self, x: Tensor, noise: Any) -> Tensor:
        if not isinstance(noise, Tensor) or noise.shape[0] != x.shape[0]:
            raise ValueError("the objective reflow needs batches (x, noise): take flowsuite.core.data.Reflow as data")
        return self.matching.flow_loss(self.flow, x, noise=noise)

    def certify(self, batch: Any) -> Certificate:
        x, context = self.unpack(batch)
        return certify_flow(self.flow, x[:CERTIFIED], None if context is None else context[:CERTIFIED])

    @torch.no_grad()
    def example_images(self):
        """Data, learnt density and samples of a flow in the plane; None for others."""
        if tuple(self.flow.base.shape) != (2,):
            return None
        batches = self.trainer.datamodule.val_dataloader()
        pairs = [self.unpack(batch) for batch in itertools.islice(batches, 8)]
        if any(context is not None for _, context in pairs):
            return None
        x = torch.cat([x for x, _ in pairs]).to(self.device)
        return enlarge(density_triptych(self.flow.log_prob, x, self.generate(len(x)), 64, 2)).float() / 255

    def save_samples(self, samples, out, first):
        """`samples_<first>.npz` with the array `samples`; in the plane also a picture `samples_<first>.png`."""
        paths = super().save_samples(samples, out, first)
        if samples.ndim == 2 and samples.shape[1] == 2:
            picture = points_image(samples, square_around(samples))
            paths.append(write_png(paths[0].with_suffix(".png"), picture))
        return paths
