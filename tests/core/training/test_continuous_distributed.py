"""Continuous flows on two processes (gloo): gradients of the joined batch, and failures that nobody waits for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytorch_lightning as pl
import torch
from test_distributed import PlainData, start_group, two_processes
from toyrun import prepare_forkserver

from flowsuite.core.ffjord import FFJORD
from flowsuite.core.ode import Adaptive, FixedGrid, SolverError
from flowsuite.core.training.continuous import ContinuousFlowModule

SOLVERS = {
    "adjoint": Adaptive(rtol=1e-7, atol=1e-7),
    "recomputed": FixedGrid("rk4", steps=3),
}
TOLERANCE = {"rtol": 1e-4, "atol": 1e-6}  # an adaptive step depends on the batch


def make_flow(name):
    torch.manual_seed(0)
    return FFJORD(3, (8, 8), 2, batch_norm=True, solver=SOLVERS[name], eval_solver=FixedGrid(steps=3)).double()


def gradients(name, rank, ranks):
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(3)).double().view(ranks, -1, 3)[rank]
    flow = make_flow(name)
    model = torch.nn.parallel.DistributedDataParallel(flow) if ranks > 1 else flow
    (-model(x).mean()).backward()
    return {key: p.grad for key, p in flow.named_parameters()} | dict(flow.named_buffers())


def gradient_process(rank, names, folder):
    torch.set_num_threads(1)
    start_group(rank, folder)
    torch.save({name: gradients(name, rank, 2) for name in names}, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_gradients_are_those_of_the_joined_batch(tmp_path):
    prepare_forkserver(["test_continuous_distributed"])
    two_processes(gradient_process, list(SOLVERS), str(tmp_path))
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for name in SOLVERS:
        for key, value in gradients(name, 0, 1).items():
            torch.testing.assert_close(ranks[0][name][key], value, msg=f"{name}: {key}", **TOLERANCE)
            torch.testing.assert_close(ranks[0][name][key], ranks[1][name][key], rtol=0, atol=0)


class Failing(ContinuousFlowModule):
    """On rank 1, the solve of training step 1 fails, forward in the first continuous layer or on its way back; and so
    does that of all validation batches."""

    where = "forward"

    def training_step(self, batch, batch_idx):
        due = self.global_rank == 1 and self.global_step + self.skipped_updates == 1
        field = self.flow.transform[1].field
        divergence = type(field).exact_divergence
        self.place = "forward"

        def failing(*arguments):
            if due and self.where == self.place:
                raise SolverError("out of evaluations")
            return divergence(field, *arguments)

        field.exact_divergence = failing
        loss = super().training_step(batch, batch_idx)
        self.place = "backward"
        return loss

    def _evaluate(self, batch, stage):
        cnf = self.flow.transform[1]
        cnf.eval_solver = Adaptive(max_nfe=3) if self.global_rank else FixedGrid(steps=3)
        super()._evaluate(batch, stage)


def fit(module, **options):
    pl.seed_everything(7)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )
    trainer.fit(module, datamodule=PlainData(n=24, dims=3, batch_size=4))
    return trainer


def lightning_process(rank, port, folder):
    from pytorch_lightning.strategies import DDPStrategy

    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    os.environ.update(TORCHELASTIC_RUN_ID="test", GROUP_RANK="0", LOCAL_WORLD_SIZE="2")
    results = {}
    for objective, where in (("likelihood", "forward"), ("likelihood", "backward"), ("flow_matching", "nowhere")):
        torch.manual_seed(0)
        blocks = 2 if objective == "likelihood" else 1
        solver = FixedGrid("rk4", steps=2) if where == "forward" else Adaptive(rtol=1e-3, atol=1e-3)
        flow = FFJORD(3, (8, 8), blocks, batch_norm=True, solver=solver, eval_solver=FixedGrid(steps=3))
        kind = Failing if objective == "likelihood" else ContinuousFlowModule
        module = kind(flow, objective, non_finite="skip").double()
        module.where = where
        trainer = fit(module, devices=2, strategy=DDPStrategy(process_group_backend="gloo"))
        results[f"{objective} {where}"] = {
            "state": module.state_dict(),
            "skipped": module.skipped_updates,
            "val": trainer.callback_metrics["val/nats"],
            "failed": trainer.callback_metrics["val/failed_batches"],
            "batches": trainer.num_val_batches[0],
            "failures": len(module._failures),
        }
    torch.save(results, Path(folder) / f"lightning-{rank}.pt")


def test_a_failure_on_one_rank_voids_the_update_on_all(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    prepare_forkserver(["test_continuous_distributed"])
    two_processes(lightning_process, port, str(tmp_path))
    first, second = (torch.load(tmp_path / f"lightning-{rank}.pt", weights_only=True) for rank in range(2))
    for name, expected in (("likelihood forward", 1), ("likelihood backward", 1), ("flow_matching nowhere", 0)):
        a, b = first[name], second[name]
        assert a["skipped"] == b["skipped"] == expected, name
        assert torch.isfinite(a["val"]) and a["val"] == b["val"]
        failed = a["batches"] if name.startswith("likelihood") else 0
        assert a["failed"] == b["failed"] == failed and a["batches"] > 0, name
        for key, value in a["state"].items():
            assert torch.isfinite(value).all(), (name, key)
            torch.testing.assert_close(value, b["state"][key], rtol=0, atol=0)
