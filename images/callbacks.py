"""Lightning callbacks that the recipes of NICE and RealNVP use."""

from __future__ import annotations

import math

import pytorch_lightning as pl
import torch

from flowsuite.images.nice import NICE
from flowsuite.images.realnvp import RealNVP


class FitWhitening(pl.Callback):
    """Fits the whitening layer of a `NICE`, where it has one, to the training images before the first step, once.

    The fit is part of the checkpoint, so a resumed run keeps it. Rank 0 reads the whole training set and sends the
    result to the others.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        flow = pl_module.flow
        if not isinstance(flow, NICE):
            raise ValueError(f"FitWhitening needs a NICE, got {type(flow).__name__}")
        if flow.whitening is None or flow.whitening.fitted:
            return
        if trainer.datamodule is None:
            raise ValueError("FitWhitening needs a data module, whose training images it reads")
        if trainer.is_global_zero:
            loader = trainer.datamodule.train_dataloader()
            flow.fit_whitening(pl_module.unpack(batch)[0] for batch in loader)
        for buffer in flow.whitening.buffers():
            buffer.copy_(trainer.strategy.broadcast(buffer))


class RealNVPPenalty(pl.Callback):
    """The published L2 penalty of RealNVP: `coefficient` times the sum of squares of all weight-norm magnitudes and of
    the scales of checkerboard couplings, beside the loss in nats per image (arXiv 1605.08803; tensorflow/models).

    `ImageFlowModule` minimises bits/dim, so the penalty is divided by `D log 2` like the likelihood. Its gradient is
    added before clipping; the logged likelihood stays a likelihood.
    """

    def __init__(self, coefficient: float = 5e-5):
        if coefficient < 0:
            raise ValueError(f"coefficient must not be negative, got {coefficient}")
        self.coefficient = coefficient

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not isinstance(pl_module.flow, RealNVP):
            raise ValueError(f"RealNVPPenalty needs a RealNVP, got {type(pl_module.flow).__name__}")

    @torch.no_grad()
    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        weight = self.coefficient / (pl_module.flow.dims * math.log(2))
        for parameter in pl_module.flow.penalized_parameters():
            if parameter.grad is not None:
                parameter.grad.add_(parameter, alpha=2 * weight)
