"""PointFlow on two processes (gloo): the gradients of the joined batch, by likelihood and by flow matching."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from flowsuite.core.ode import Adaptive, FixedGrid
from flowsuite.pointclouds.encoder import Posterior
from flowsuite.pointclouds.module import PointFlowModule
from tests.pointclouds.small import clouds, small

SOLVERS = {"adjoint": Adaptive(rtol=1e-6, atol=1e-6), "recomputed": FixedGrid("rk4", 3), "matching": None}


class Loss(torch.nn.Module):
    """The loss as a module, whose forward DDP intercepts; that of the module without randomness."""

    def __init__(self, name: str):
        super().__init__()
        # The module freezes what its objective does not reach, so that DDP waits for no gradient.
        objective = "flow_matching" if name == "matching" else "likelihood"
        module = PointFlowModule(small(solver=SOLVERS[name]), objective)
        module.setup("fit")
        self.flow, self.loss = module.flow, module.training_loss
        self.flow.train().encoder.eval()  # the encoder's batch norm is that of a rank alone
        if name == "matching":
            self.flow.latent.base.sample = lambda n: torch.ones(n, 5).double()
            self.flow.point_cnf.draw = lambda n, points: torch.ones(n, points, 3).double()

    def forward(self, x):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "rand", lambda *shape, **options: torch.full(shape, 0.4, **options))
            patch.setattr(Posterior, "sample", lambda self: self.mean + self.log_var.exp())
            return self.loss(x)[0]


def gradients(name: str, rank: int, ranks: int) -> dict[str, torch.Tensor]:
    x = clouds(4, 6).view(ranks, -1, 6, 3)[rank]
    loss = Loss(name)
    model = torch.nn.parallel.DistributedDataParallel(loss) if ranks > 1 else loss
    for _ in range(2):  # DDP notices in the second step what had no gradient in the first
        model.zero_grad()
        model(x).backward()
    found = {key: p.grad for key, p in loss.named_parameters() if p.grad is not None}
    return found | {key: b for key, b in loss.named_buffers() if "running" in key}


def process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", store, datetime.timedelta(seconds=60), world_size=2, rank=rank)
    torch.save({name: gradients(name, rank, 2) for name in SOLVERS}, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_gradients_are_those_of_the_joined_batch(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join((str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")))
    )
    processes = [multiprocessing.get_context("spawn").Process(target=process, args=(r, str(tmp_path))) for r in (0, 1)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(120)
        if one.is_alive():
            one.kill()
    assert [one.exitcode for one in processes] == [0, 0]
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name in SOLVERS:
        expected = gradients(name, 0, 1)
        assert len(expected) > 30
        for key, value in expected.items():
            torch.testing.assert_close(
                ranks[0][name][key],
                value,
                rtol=1e-4,
                atol=1e-5 * max(1, float(value.abs().max())),
                msg=f"{name}: {key}",
            )
            torch.testing.assert_close(ranks[0][name][key], ranks[1][name][key], rtol=0, atol=0)
