"""Two processes (gloo) compute what one does on the joined batch."""

from __future__ import annotations

import datetime
import multiprocessing
from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from toyflow import ToyData, ToyFlow
from toyrun import prepare_forkserver

from flowsuite.core.flow import Flow
from flowsuite.core.training.module import FlowModule
from flowsuite.core.transform import Compose

BATCH, STEPS = 4, 3


def vector_flow(reversible: bool = False) -> Flow:
    return ToyFlow(noise=False, reversible=reversible)


def small_glow(reversible: bool = False) -> Flow:
    """Glow between floats: no dequantisation, whose noise would differ between one process and two."""
    from flowsuite.images import Glow

    glow = Glow((1, 4, 4), levels=1, steps=2, width=6, reversible=reversible)
    torch.manual_seed(5)
    with torch.no_grad():  # away from the zeros at which the last convolutions start
        for parameter in glow.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return Flow(Compose([*glow.transform[1:]]), glow.base)


def small_realnvp(reversible: bool = False, lag: float = 0.0) -> Flow:
    """RealNVP between floats, whose batch statistics see the images of all ranks."""
    from flowsuite.images import RealNVP

    realnvp = RealNVP((1, 4, 4), n_scales=1, base_dim=4, residual_blocks=1, bn_lag=lag)
    return Flow(realnvp.body, realnvp.base).train()


FLOWS = {
    "vector": (vector_flow, (4,)),
    "glow": (small_glow, (1, 4, 4)),
    "realnvp": (small_realnvp, (1, 4, 4)),
    "realnvp with lag": (partial(small_realnvp, lag=0.3), (1, 4, 4)),
}


def batches(shape: tuple[int, ...]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 + 3 * torch.randn(STEPS, 2 * BATCH, *shape, generator=generator, dtype=torch.float64)


def train(name: str, reversible: bool, rank: int, ranks: int, out: str) -> None:
    """Initialisation and `STEPS` steps of SGD on this rank's share; saves parameters after each."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    make, shape = FLOWS[name]
    flow = make(reversible).double()
    data = batches(shape).view(STEPS, ranks, -1, *shape)[:, rank]
    flow.initialize(data[0])
    states = [{key: value.clone() for key, value in flow.state_dict().items()}]
    model = torch.nn.parallel.DistributedDataParallel(flow) if ranks > 1 else flow
    optimizer = torch.optim.SGD(flow.parameters(), lr=1e-2)
    for x in data:
        optimizer.zero_grad()
        (-model(x).mean()).backward()
        optimizer.step()
        states.append({key: value.clone() for key, value in flow.state_dict().items()})
    torch.save(states, Path(out) / f"{ranks}-{rank}.pt")


def start_group(rank: int, folder: str) -> None:
    torch.distributed.init_process_group(
        "gloo", f"file://{folder}/store", datetime.timedelta(seconds=60), world_size=2, rank=rank
    )


def ddp_process(rank: int, name: str, reversible: bool, folder: str) -> None:
    start_group(rank, folder)
    train(name, reversible, rank, 2, folder)
    torch.distributed.destroy_process_group()


def two_processes(target, *args) -> None:
    prepare_forkserver(["test_distributed"])
    context = multiprocessing.get_context("forkserver")
    processes = [context.Process(target=target, args=(rank, *args)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(90)
        if process.is_alive():
            process.kill()
    assert [process.exitcode for process in processes] == [0, 0]


@pytest.mark.parametrize(("name", "reversible"), [*((name, False) for name in FLOWS), ("vector", True), ("glow", True)])
def test_two_ranks_equal_one_process(tmp_path, name, reversible):
    two_processes(ddp_process, name, reversible, str(tmp_path))
    train(name, reversible, 0, 1, str(tmp_path))
    one, first, second = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in ("1-0", "2-0", "2-1"))
    for step, (a, b, c) in enumerate(zip(one, first, second, strict=True)):
        for key in a:
            torch.testing.assert_close(b[key], c[key], rtol=0, atol=0, msg=f"ranks differ in {key}, step {step}")
            torch.testing.assert_close(a[key], b[key], rtol=1e-9, atol=1e-11)
    assert any(not torch.equal(one[0][key], one[1][key]) for key in one[0])


def lightning_module() -> FlowModule:
    torch.manual_seed(1)
    return FlowModule(ToyFlow(noise=False), lambda p: torch.optim.SGD(p, lr=1e-3), ema_decay=0.9).double()


class PlainData(ToyData):
    """The same vectors, in double precision and without augmentation."""

    def make_dataset(self, split):
        dataset = super().make_dataset(split)
        dataset.augment, dataset.x = False, dataset.x.double()
        return dataset


def fit(batch_size: int, **options) -> tuple[FlowModule, pl.Trainer]:
    pl.seed_everything(7)
    module = lightning_module()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )
    trainer.fit(module, datamodule=PlainData(batch_size=batch_size))
    return module, trainer


def lightning_process(rank: int, folder: str) -> None:
    import os

    from pytorch_lightning.strategies import DDPStrategy

    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1")
    os.environ.update(MASTER_PORT=Path(folder, "port").read_text(), TORCHELASTIC_RUN_ID="test", GROUP_RANK="0")
    os.environ.update(LOCAL_WORLD_SIZE="2")
    module, trainer = fit(4, devices=2, strategy=DDPStrategy(process_group_backend="gloo"))
    torch.save(
        {
            "state": module.state_dict(),
            "ema": module.ema.average,
            "val": trainer.callback_metrics["val/loss"],
            "steps": trainer.global_step,
        },
        Path(folder) / f"lightning-{rank}.pt",
    )


def test_lightning_on_two_ranks_equals_one_process(tmp_path):
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        (tmp_path / "port").write_text(str(probe.getsockname()[1]))
    two_processes(lightning_process, str(tmp_path))
    module, trainer = fit(8)
    ranks = [torch.load(tmp_path / f"lightning-{rank}.pt", weights_only=True) for rank in range(2)]
    assert ranks[0]["steps"] == trainer.global_step == 12
    for result in ranks:
        for key, value in module.state_dict().items():
            torch.testing.assert_close(result["state"][key], value, rtol=1e-9, atol=1e-11)
        for key, value in module.ema.average.items():
            torch.testing.assert_close(result["ema"][key], value, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(result["val"], trainer.callback_metrics["val/loss"], rtol=1e-6, atol=0)
