"""A run that stopped, however, and was resumed ends with the weights of one that did not: bit for bit."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch
from toyflow import SignalAt, ToyData, ToyFlow
from toyrun import TOY, run_cli

from flowsuite.core.training.callbacks import AtomicCheckpointIO, LastCheckpoint
from flowsuite.core.training.checkpoint import build_module
from flowsuite.core.training.lightning_cli import best_checkpoint
from flowsuite.core.training.module import FlowModule

EPOCHS, BATCHES = 3, 6
MODULE = {
    "flow": {"class_path": "toyflow.ToyFlow", "init_args": {}},
    "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01}},
    "lr_scheduler": {"class_path": "torch.optim.lr_scheduler.StepLR", "init_args": {"step_size": 1, "gamma": 0.5}},
    "warmup_steps": 4,
    "ema_decay": 0.9,
}


def module() -> FlowModule:
    return build_module("flowsuite.core.training.module.FlowModule", MODULE, allow=["toyflow"])


def fit(folder, callbacks=(), ckpt_path=None, workers=0, **options) -> FlowModule:
    pl.seed_everything(3)
    model = module()
    callbacks = [*callbacks, Started()] if ckpt_path else callbacks
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        callbacks=[*callbacks, LastCheckpoint(str(folder), every_n_steps=0), best_checkpoint(folder)],
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )
    trainer.fit(model, datamodule=ToyData(num_workers=workers), ckpt_path=ckpt_path, weights_only=True)
    return model


def state(model: FlowModule) -> dict[str, torch.Tensor]:
    return {**model.state_dict(), **{f"ema.{k}": v for k, v in model.ema.average.items()}}


def assert_same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert not different, different


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return state(fit(tmp_path_factory.mktemp("whole")))


class Started(pl.Callback):
    """Makes sure that a resumed run does not begin at the beginning, which would end with the same weights too."""

    def on_train_start(self, trainer, pl_module):
        assert trainer.global_step > 0
        assert pl_module.flow_initialized


class Snapshot(pl.Callback):
    """Saves at one hook of one epoch, in the order in which user callbacks run."""

    def __init__(self, path, hook: str, count: int):
        self.path, self.left = path, count
        setattr(self, hook, self._save)

    def _save(self, trainer, *args, **kwargs):
        self.left -= 1
        if self.left == 0:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("batch", [1, 5, 6, 7, 12, 17])
def test_interrupted_after_a_batch(tmp_path, whole, batch):
    with pytest.raises(SystemExit):
        fit(tmp_path, [SignalAt(batch, "SIGINT")])
    assert_same(state(fit(tmp_path, ckpt_path=str(tmp_path / "last.ckpt"))), whole)


@pytest.mark.parametrize("val", [1, 3, 5])
def test_interrupted_in_validation(tmp_path, whole, val):
    with pytest.raises(SystemExit):
        fit(tmp_path, [SignalAt(None, "SIGINT", val)])
    assert_same(state(fit(tmp_path, ckpt_path=str(tmp_path / "last.ckpt"))), whole)


@pytest.mark.parametrize(
    ("hook", "count"),
    [("on_train_batch_end", 3), ("on_train_batch_end", 6), ("on_train_epoch_end", 1), ("on_validation_end", 2)],
)
def test_resumed_from_a_checkpoint_of_any_hook(tmp_path, whole, hook, count):
    path = tmp_path / "snapshot.ckpt"
    assert_same(state(fit(tmp_path, [Snapshot(path, hook, count)])), whole)
    assert_same(state(fit(tmp_path, ckpt_path=str(path))), whole)


@pytest.mark.parametrize("batch", [4, 8])
def test_validation_within_the_epoch(tmp_path, whole, batch):
    options = {"val_check_interval": 3}
    with pytest.raises(SystemExit):
        fit(tmp_path, [SignalAt(batch, "SIGINT")], **options)
    assert_same(state(fit(tmp_path, ckpt_path=str(tmp_path / "last.ckpt"), **options)), whole)
    best = tmp_path / "best.ckpt"
    assert_same(state(fit(tmp_path, ckpt_path=str(best), **options)), whole)


def test_accumulation_and_fewer_batches(tmp_path):
    options = {"accumulate_grad_batches": 2, "limit_train_batches": 4}
    expected = state(fit(tmp_path / "a", **options))
    for batch in (3, 4, 6):
        folder = tmp_path / str(batch)
        with pytest.raises(SystemExit):
            fit(folder, [SignalAt(batch, "SIGINT")], **options)
        if batch != 3:  # gradients that wait for their second half are not kept
            assert_same(state(fit(folder, ckpt_path=str(folder / "last.ckpt"), **options)), expected)


def test_worker_processes_change_nothing(tmp_path, whole):
    assert_same(state(fit(tmp_path, workers=1)), whole)


def test_killed_run_resumes_from_the_command_line(tmp_path):
    arguments = ["fit", *TOY, "--trainer.max_epochs=3", "--trainer.callbacks+=LastCheckpoint"]
    arguments.append("--trainer.callbacks.every_n_steps=2")
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    code, output = run_cli(arguments, tmp_path / "whole")
    assert code == 0, output
    kill = ["--trainer.callbacks+=toyflow.SignalAt", "--trainer.callbacks.batch=9"]
    code, output = run_cli([*arguments, *kill], tmp_path / "killed")
    assert code == -9, output
    arguments += ["--ckpt_path", "last", "--trainer.callbacks+=test_resume.Started"]
    code, output = run_cli(arguments, tmp_path / "killed")
    assert code == 0, output
    last = "runs/run/version_0/checkpoints/last.ckpt"
    a, b = (torch.load(tmp_path / name / last, weights_only=True) for name in ("whole", "killed"))
    assert a["global_step"] == b["global_step"] == EPOCHS * BATCHES
    assert_same(a["state_dict"], b["state_dict"])
    assert a["flowsuite"]["config"]["init_args"]["flow"]["class_path"] == "toyflow.ToyFlow"
    assert ToyFlow().state_dict().keys() == {name.removeprefix("flow.") for name in a["state_dict"]}
