import math
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import TensorDataset

from flowsuite.core.training.data import FlowDataModule
from flowsuite.images.callbacks import FitWhitening, RealNVPPenalty
from flowsuite.images.nice import NICE
from flowsuite.images.realnvp import RealNVP

SHAPE = (1, 4, 4)


class Images(FlowDataModule):
    def make_dataset(self, split):
        images = torch.randint(0, 256, (64, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        return TensorDataset(images, torch.zeros(64))


class Module(pl.LightningModule):
    def __init__(self, flow):
        super().__init__()
        self.flow = flow

    def unpack(self, batch):
        return batch

    def training_step(self, batch, batch_idx):
        return -self.flow.log_prob(batch[0]).mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.0)


def trainer(tmp_path, callback, **options):
    return pl.Trainer(
        accelerator="cpu",
        max_steps=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[callback],
        **options,
    )


def test_whitening_is_fitted_once(tmp_path):
    flow = NICE(SHAPE, couplings=1, hidden_layers=1, hidden_units=4, whitening="zca")
    trainer(tmp_path, FitWhitening()).fit(Module(flow), datamodule=Images(16))
    assert flow.whitening.fitted
    expected = NICE(SHAPE, couplings=1, hidden_layers=1, hidden_units=4, whitening="zca")
    expected.fit_whitening([Images(16).dataset("train").tensors[0]])
    torch.testing.assert_close(flow.whitening.matrix, expected.whitening.matrix, rtol=1e-4, atol=1e-4)
    flow.whitening.mean.zero_()
    trainer(tmp_path, FitWhitening()).fit(Module(flow), datamodule=Images(16))
    assert not flow.whitening.mean.any()


def test_whitening_needs_a_nice(tmp_path):
    flow = RealNVP(SHAPE, n_scales=1, base_dim=2, residual_blocks=1)
    with pytest.raises(ValueError, match="needs a NICE, got RealNVP"):
        trainer(tmp_path, FitWhitening()).fit(Module(flow), datamodule=Images(16))
    flow = NICE(SHAPE, couplings=1, hidden_layers=1, hidden_units=4)
    trainer(tmp_path, FitWhitening()).fit(Module(flow), datamodule=Images(16))


def test_penalty_adds_its_gradient():
    flow = RealNVP(SHAPE, n_scales=1, base_dim=2, residual_blocks=1)
    for parameter in flow.parameters():
        parameter.grad = torch.zeros_like(parameter)
    RealNVPPenalty(0.5).on_before_optimizer_step(None, SimpleNamespace(flow=flow), None)
    penalty = 0.5 * sum(p.square().sum() for p in flow.penalized_parameters()) / (16 * math.log(2))
    for parameter in flow.parameters():
        (expected,) = torch.autograd.grad(penalty, parameter, retain_graph=True, allow_unused=True)
        expected = torch.zeros_like(parameter) if expected is None else expected
        torch.testing.assert_close(parameter.grad, expected)


def test_penalty_needs_a_realnvp(tmp_path):
    flow = NICE(SHAPE, couplings=1, hidden_layers=1, hidden_units=4)
    with pytest.raises(ValueError, match="needs a RealNVP, got NICE"):
        trainer(tmp_path, RealNVPPenalty()).fit(Module(flow), datamodule=Images(16))
