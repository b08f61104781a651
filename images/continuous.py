"""How continuous image flows train: bits/dim, the penalties of RNODE, evaluations of the field in the log."""

from __future__ import annotations

import math
from typing import Any

from flowsuite.core.certificate import Certificate, certify_flow, seeded
from flowsuite.core.training.continuous_training import ContinuousTraining
from flowsuite.images.flow import ImageFlow
from flowsuite.images.module import ImageFlowModule

CERTIFIED, PROBES = 8, 4  # images of the first test batch that the certificate looks at, and probes for each


class ContinuousImageModule(ContinuousTraining, ImageFlowModule):
    """`ImageFlowModule` for flows with continuous layers, such as `ImageFFJORD`.

    The training loss is `[-log p(x) + kinetic * int |f|^2 + jacobian * int |J|_F^2] / (D log 2)`, the mean over the
    batch (RNODE, arXiv 2002.02798): without penalties that is bits/dim, as in validation and test. The log has the
    penalties by D, the evaluations of the field forward and backward, and the end times (see `ContinuousTraining`).
    Testing prints a certificate of the density of a few dequantised images.

    Args:
        flow: an `ImageFlow` with continuous layers.
        kinetic, jacobian: weights of the penalties; 0.01 each as published, 0 for none.
        tight: a test figure is called loose if its certified error is above this, in bits/dim.
        kwargs: those of `ImageFlowModule`.
    """

    def __init__(self, flow: ImageFlow, kinetic: float = 0.0, jacobian: float = 0.0, tight: float = 0.01, **kwargs):
        super().__init__(flow, **kwargs)
        self.set_penalties(kinetic, jacobian)
        self.set_tight(tight)
        self.tight_unit = "bits/dim", flow.dims * math.log(2)

    def loss(self, x, context, stage):
        loss, figures = super().loss(x, context, stage)
        if stage != "train":
            return loss, figures
        return self.penalise(loss, figures, self.flow.dims, unit=self.flow.dims * math.log(2))

    def certify(self, batch: Any) -> Certificate:
        """Of the density of a few images, each with the same dequantisation noise all the time."""
        x, context = self.unpack(batch)
        x, context = x[:CERTIFIED], None if context is None else context[:CERTIFIED]
        with seeded(x, 0):
            dequantised = self.flow.dequantize(x)[0]
        return certify_flow(self.flow.continuous.eval(), dequantised, context, probes=PROBES)
