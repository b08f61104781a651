"""Where the bits of an image go: the likelihood of a multi-scale flow by level."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.core.numerics import at_least_float32, sum_over_event
from flowsuite.images.flow import ImageFlow


def has_levels(flow: ImageFlow) -> bool:
    return hasattr(flow.body, "forward_parts")


def encode_levels(flow: ImageFlow, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
    """Log-likelihood in nats of every level, (N, L), and the standard latents that leave after each.

    Level l gets `log p(eps_l)` plus the log-det of what lies between level l - 1 and it; the log-det of dequantisation
    and preprocessing is shared by the levels in proportion to their dimensions. The sum over levels is one draw of
    `flow.log_prob(x, context)`.
    """
    if not has_levels(flow):
        raise ValueError(f"{type(flow).__name__} has no levels: expected a multi-scale flow")
    flow.check_images(x)
    flow.check_labels(context)
    y, shared = flow.transform[:2](x)
    parts = flow.body.forward_parts(y, context)
    nats = [
        sum_over_event(flow.base.elementwise_log_prob(at_least_float32(eps)))
        + ladj
        + shared * (eps[0].numel() / flow.dims)
        for eps, ladj in parts
    ]
    return torch.stack(nats, dim=1), [eps for eps, _ in parts]
