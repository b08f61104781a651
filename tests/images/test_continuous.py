"""Training and testing of continuous image flows: penalised bits/dim, and a certificate with every test."""

from __future__ import annotations

import math

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import TensorDataset

from flowsuite.core.layers.continuous import record_solves
from flowsuite.core.ode import Adaptive, FixedGrid
from flowsuite.core.training.data import FlowDataModule
from flowsuite.images import ContinuousImageModule
from flowsuite.images.ffjord import ImageFFJORD


class Images(FlowDataModule):
    def make_dataset(self, split):
        generator = torch.Generator().manual_seed(0)
        return TensorDataset(torch.randint(256, (12, 1, 4, 4), dtype=torch.uint8, generator=generator), torch.zeros(12))


def make(eval_solver, **options) -> ContinuousImageModule:
    torch.manual_seed(0)
    flow = ImageFFJORD((1, 4, 4), (4,), num_blocks=1, n_scales=1, alpha=0.05, solver=FixedGrid(steps=2))
    for cnf in (module for module in flow.modules() if hasattr(module, "eval_solver")):
        cnf.eval_solver = eval_solver
    return ContinuousImageModule(flow, **options)


def run_test(module, folder):
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=folder)
    trainer.test(module, datamodule=Images(batch_size=10), verbose=False)
    return trainer


def test_a_test_prints_its_certificate(tmp_path, capsys):
    module = make(Adaptive(rtol=1e-5, atol=1e-5), tight=0.5)
    run_test(module, tmp_path)
    found, printed = module.certificate, capsys.readouterr().out
    assert "likelihood certificate, 8 examples" in printed and "LOOSE" not in printed
    assert "error of the mean over 12 test examples" in printed and "bits/dim" in printed
    assert found.probes == 4 and found.standard_error > 0 and found.divergence == "rademacher"
    assert found.solver_error < 1e-3 and found.round_trip < 1e-3
    assert found.sweep[-1].solver.endswith("float64")
    module.tight = found.solver_error / (16 * math.log(2))
    run_test(module, tmp_path)
    assert "LOOSE: the test figures are not known to" in capsys.readouterr().out


def test_penalties_are_in_bits_per_dim():
    module = make(FixedGrid(), kinetic=0.5, jacobian=0.25)
    x = Images().dataset("train").tensors[0]
    with record_solves(module.penalties) as module.solves:
        loss, figures = module.loss(x, None, "train")
    penalties = 0.5 * figures["kinetic"] + 0.25 * figures["jacobian"]
    assert penalties > 0
    torch.testing.assert_close(loss, figures["bits_per_dim_8bit"] + penalties / math.log(2))


@pytest.mark.parametrize("options", [{"kinetic": -1.0}, {"jacobian": math.inf}, {"tight": 0.0}])
def test_wrong_settings_are_named(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        make(FixedGrid(), **options)
