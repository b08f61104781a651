"""GraphAF trained by two processes (gloo): the updates of the joined batch, and one encoding of the data."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import multiprocessing

from tests.molecules.small import NATS, data, module, trainer

STEPS = 3


class Recorder(pl.Callback):
    """The molecules and the loss of every step, on this rank."""

    def __init__(self):
        self.losses, self.sizes = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(float(pl_module.latest["loss"]))
        self.sizes.append(batch[0].molecules)


def run(folder: Path, ranks: int) -> dict:
    pl.seed_everything(1)
    torch.set_num_threads(1)
    recorder, options = Recorder(), {}
    if ranks > 1:
        options = {"devices": ranks, "strategy": "ddp", "use_distributed_sampler": False}
    model = module({"properties": ["logp"]}, ema_decay=0.9, test_samples=6)
    made = trainer(folder, max_steps=STEPS, callbacks=[recorder], enable_checkpointing=False, **options)
    molecules = data(folder, properties=["logp"], batch_size=8 // ranks)
    made.fit(model, datamodule=molecules)
    judged, drawn = module(test_samples=6, sample_batch=2), []
    generate = judged.generate
    judged.generate = lambda n, *args, **options: drawn.append(n) or generate(n, *args, **options)
    tested = made.test(judged, datamodule=data(folder, batch_size=8 // ranks), verbose=False)[0]
    return {
        "losses": recorder.losses,
        "sizes": recorder.sizes,
        "val": float(made.callback_metrics["test/loss"]),
        "drawn": drawn,
        "tested": {name: float(value) for name, value in tested.items()},
        "state": model.state_dict(),
        "average": model.ema.average,
    }


def process(rank: int, folder: str, port: int) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank)}
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "GROUP_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    os.environ["TORCHELASTIC_RUN_ID"] = "test"
    torch.save(run(Path(folder), 2), Path(folder) / f"{rank}.pt")


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join((str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")))
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=process, args=(rank, str(tmp_path), port)) for rank in (0, 1)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(240)
        if one.is_alive():
            one.kill()
    assert [one.exitcode for one in processes] == [0, 0]
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert all(rank["sizes"] == [4] * STEPS for rank in ranks)
    assert ranks[0]["losses"] != ranks[1]["losses"]  # each its own molecules
    for part in ("state", "average"):
        for name, value in ranks[0][part].items():
            assert torch.equal(value, ranks[1][part][name]), name
    initial = module({"properties": ["logp"]}).state_dict()
    assert any(not torch.equal(value, initial[name]) for name, value in ranks[0]["state"].items())
    assert not torch.equal(ranks[0]["state"]["flow.property_mean"], initial["flow.property_mean"])
    alone = run(tmp_path, 1)
    assert ranks[0]["tested"]["test/loss"] == pytest.approx(alone["tested"]["test/loss"], rel=1e-5)
    assert [rank["drawn"] for rank in ranks] == [[2, 2] * 2, [2] * 2] and alone["drawn"] == [2] * 6
    shares = {name: value for name, value in alone["tested"].items() if name.removeprefix("test/") not in NATS}
    assert {"test/valid", "test/unique", "test/under_5_atoms"} <= shares.keys()
    for name, value in shares.items():
        assert ranks[0]["tested"][name] == pytest.approx(value, nan_ok=True), name
    assert len(list((tmp_path / ".flowsuite").glob("*.npz"))) == 2  # with and without properties: each encoded once
