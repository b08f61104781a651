"""How continuous image flows train: bits/dim, the penalties of RNODE, evaluations of the field in the log."""

from __future__ import annotations

import math

from flowsuite.core.training.continuous import ContinuousTraining
from flowsuite.images.flow import ImageFlow
from flowsuite.images.module import ImageFlowModule


class ContinuousImageModule(ContinuousTraining, ImageFlowModule):
    """`ImageFlowModule` for flows with continuous layers, such as `ImageFFJORD`.

    The training loss is `[-log p(x) + kinetic * int |f|^2 + jacobian * int |J|_F^2] / (D log 2)`, the mean over the
    batch (RNODE, arXiv 2002.02798): without penalties that is bits/dim, as in validation and test. The log has the
    penalties by D, the evaluations of the field forward and backward, and the end times (see `ContinuousTraining`).

    Args:
        flow: an `ImageFlow` with continuous layers.
        kinetic, jacobian: weights of the penalties; 0.01 each as published, 0 for none.
        kwargs: those of `ImageFlowModule`.
    """

    def __init__(self, flow: ImageFlow, kinetic: float = 0.0, jacobian: float = 0.0, **kwargs):
        super().__init__(flow, **kwargs)
        weights = {"kinetic": kinetic, "jacobian": jacobian}
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"{name} must be at least 0, got {weight}")
        self.penalty_weights = {name: weight for name, weight in weights.items() if weight}
        self.penalties = tuple(self.penalty_weights)

    def loss(self, x, context, stage):
        loss, figures = super().loss(x, context, stage)
        if stage != "train":
            return loss, figures
        for name, weight in self.penalty_weights.items():
            figures[name] = self.solves.penalty(name).mean() / self.flow.dims
            loss = loss + weight * figures[name] / math.log(2)
        return loss, figures
