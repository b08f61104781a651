"""What runs beside training: the checkpoint to resume from, Ctrl-C, and the progress bar."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import Callback, Checkpoint, TQDMProgressBar

from flowsuite.core.training.checkpoint import read_checkpoint
from flowsuite.core.training.files import atomic_write

SYNC_EVERY = 10  # steps between two looks at the other ranks' signals


class CPUThreads(Callback):
    """Sets how many threads torch uses on the CPU, from the start of a run on.

    A small model gains nothing from a second thread, and loses much where other programs want the same cores.
    """

    def __init__(self, num_threads: int):
        if num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, got {num_threads}")
        self.num_threads = num_threads

    def setup(self, trainer, pl_module, stage):
        torch.set_num_threads(self.num_threads)


class LastCheckpoint(Checkpoint):
    """Keeps `last.ckpt`, from which `--ckpt_path last` goes on exactly where it was written.

    It is written after every epoch, every `every_n_steps` steps, and on Ctrl-C or SIGTERM: the step (or validation
    batch) in hand is finished first, so that the state is whole. A second Ctrl-C stops at once and writes nothing.

    Args:
        dirpath: folder of `last.ckpt`; by default `checkpoints` in the logger's folder.
        every_n_steps: batches between two writes within an epoch; 0 for none.
    """

    def __init__(self, dirpath: str | None = None, every_n_steps: int = 1000):
        if every_n_steps < 0:
            raise ValueError(f"every_n_steps must be at least 0, got {every_n_steps}")
        self.dirpath, self.every_n_steps = dirpath, every_n_steps
        self.signal: int | None = None  # received, to be obeyed at the end of the batch
        self.interrupted: tuple[int, Path] | None = None  # (signal, checkpoint) once that is done
        self._previous: dict[int, Any] = {}
        self._path: Path | None = None

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        folder = self.dirpath or os.path.join(trainer.log_dir or trainer.default_root_dir, "checkpoints")
        self._path = Path(trainer.strategy.broadcast(str(folder))) / "last.ckpt"

    def on_train_start(self, trainer, pl_module):
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._receive)
            except ValueError:  # not in the main thread: signals are somebody else's
                return

    def on_train_end(self, trainer, pl_module):
        self._restore_handlers()

    def on_exception(self, trainer, pl_module, exception):
        self._restore_handlers()

    def _restore_handlers(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()

    def _receive(self, number: int, frame: Any) -> None:
        self.signal = number
        signal.signal(number, signal.default_int_handler)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        due = self.every_n_steps and (batch_idx + 1) % self.every_n_steps == 0
        if self._obey(trainer, batch_idx) or (due and not trainer.is_last_batch):
            self._save(trainer)
        self._leave()

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
        if trainer.state.fn == "fit" and not trainer.sanity_checking and self._obey(trainer, batch_idx):
            self._save(trainer)
            self._leave()

    def on_train_epoch_end(self, trainer, pl_module):
        self._save(trainer)

    def _obey(self, trainer: pl.Trainer, batch_idx: int) -> bool:
        """Whether all ranks are to save and leave now."""
        received = self.signal is not None
        if trainer.world_size > 1:
            if batch_idx % SYNC_EVERY:
                return False
            received = trainer.strategy.reduce_boolean_decision(received, all=False)
        if received:
            self.signal = self.signal or signal.SIGINT
            self.interrupted = (self.signal, self._path)
        return received

    def _save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self._path)

    def _leave(self) -> None:
        if self.interrupted is not None:
            raise KeyboardInterrupt


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are on disk whole or not at all, and are read as plain data only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with atomic_write(path) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        return read_checkpoint(path, map_location)


class FlowProgressBar(TQDMProgressBar):
    """Shows the figures of the latest step. They are fetched from the device only when the bar is drawn anew."""

    def __init__(self, refresh_rate: int = 10):
        super().__init__(refresh_rate=refresh_rate)

    def get_metrics(self, trainer, pl_module):
        items = super().get_metrics(trainer, pl_module)
        items.pop("v_num", None)
        if trainer.training:
            items.update({name: float(value) for name, value in pl_module.latest.items()})
        return items

    def print(self, *args, sep: str = " ", **kwargs):
        """Above the bar; plainly where no bar is open, as at the end of a test, whose lines Lightning drops."""
        bars = self._train_progress_bar, self._val_progress_bar, self._test_progress_bar, self._predict_progress_bar
        if any(bar is not None and not bar.disable for bar in bars):
            super().print(*args, sep=sep, **kwargs)
        else:
            print(*args, sep=sep, **kwargs)
