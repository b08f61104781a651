"""FlowModule: a flow, and how it trains."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor

from flowsuite.core.flow import Flow
from flowsuite.core.objective import negative_log_likelihood
from flowsuite.core.training.ema import ExponentialMovingAverage
from flowsuite.core.training.files import write_npz
from flowsuite.core.training.finite import FiniteWatch, check_some_update, finite, stack_figures
from flowsuite.core.training.optim import update_all_at_once
from flowsuite.core.training.seeding import fold_seed, global_seed
from flowsuite.core.training.spikes import SpikeGuard


class FlowModule(pl.LightningModule):
    """Trains `flow` by maximum likelihood. A domain overrides the hooks `unpack`, `loss`, `generate`, `save_samples`,
    `finish_samples` and `example_images`; everything else is the same for all.

    - Data-dependent initialisation (`flow.initialize`) is a phase of its own: in float32, before the first step, on the
      first batch of every rank (or `init_batches` of them), never again after that, nor on resuming.
    - All randomness of a step comes from (seed, rank, epoch, batch), so that an interrupted run resumes exactly.
    - `train/loss`, the figures of `loss`, `train/grad_norm` and `lr` are logged, and the mean over the data of the same
      figures under `val/` and `test/`.

    Args:
        flow: the model.
        optimizer: from parameters to an optimiser; in YAML, `class_path: torch.optim.Adam` and its `init_args`.
        lr_scheduler: from an optimiser to a schedule, stepped once an epoch or step as `lr_interval` says.
        lr_interval: "epoch" or "step".
        warmup_steps: the learning rate rises linearly from 0 over so many steps, on top of the schedule.
        ema_decay: keep an exponential moving average of the weights with this decay, and evaluate and sample with it.
        non_finite: "stop" training when loss or gradient is not finite, or "skip" that update and count it; a run that
            has skipped every update ends in an error.
        init_batches: training batches that the data-dependent initialisation sees, together.
        spike_factor: skip, and count, updates whose gradient norm is so many times its running mean (`SpikeGuard`);
            the host then waits for the norm in every step.
        compile: `torch.compile` the transform, after the data-dependent initialisation; the first step then takes a
            minute or more, and the gain is largest for many small layers.
    """

    compiles = True  # whether a step is one pass through `flow.transform`, which can be compiled
    context_by_option = False  # whether `generate` has arguments of its own that stand for a context

    def __init__(
        self,
        flow: Flow,
        optimizer: OptimizerCallable = lambda p: torch.optim.Adam(p, lr=1e-3),
        lr_scheduler: LRSchedulerCallable | None = None,
        warmup_steps: int = 0,
        ema_decay: float | None = None,
        non_finite: str = "stop",
        lr_interval: str = "epoch",
        init_batches: int = 1,
        spike_factor: float | None = None,
        compile: bool = False,
    ):
        super().__init__()
        if compile and not self.compiles:
            raise ValueError(f"{type(self).__name__} has no compile: its step is not one pass through a transform")
        if non_finite not in ("stop", "skip"):
            raise ValueError(f'non_finite must be "stop" or "skip", got {non_finite!r}')
        if lr_interval not in ("epoch", "step"):
            raise ValueError(f'lr_interval must be "epoch" or "step", got {lr_interval!r}')
        if warmup_steps < 0 or init_batches < 1:
            raise ValueError(f"expected warmup_steps >= 0 and init_batches >= 1, got {warmup_steps}, {init_batches}")
        self.flow = flow
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        self.lr_interval, self.warmup_steps = lr_interval, warmup_steps
        self.non_finite, self.init_batches = non_finite, init_batches
        self.spikes = None if spike_factor is None else SpikeGuard(spike_factor)
        self.ema = None if ema_decay is None else ExponentialMovingAverage(self, ema_decay)
        self.config: dict[str, Any] | None = None  # {"class_path", "init_args"} that builds this module again
        self.flow_initialized = False
        self._to_compile = compile
        self.skipped_updates = 0
        self._begin = (0, 0)  # skipped updates and steps of earlier runs, when this one resumes them
        self.latest: dict[str, Tensor] = {}  # figures of the last training step, for the progress bar
        self._watch = FiniteWatch()
        self._update_is_void = False

    # What a domain overrides

    def unpack(self, batch: Any) -> tuple[Tensor, Any]:
        """`(x, context)` of a batch: a tensor is `x` alone, a pair is both."""
        if isinstance(batch, Tensor):
            return batch, None
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise TypeError(f"expected batches that are a tensor x or a pair (x, context), got {type(batch).__name__}")
        return batch[0], batch[1]

    def loss(self, x: Tensor, context: Any, stage: str) -> tuple[Tensor, dict[str, Tensor]]:
        """The scalar to minimise, and figures to log; by default the mean negative log-likelihood in nats."""
        return negative_log_likelihood(self.flow(x, context)), {}

    def generate(
        self,
        n: int,
        context: Any = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """`n` samples of the flow; `generator` must be on this module's device."""
        return self.flow.sample(n, context, temperature, generator)

    def save_samples(self, samples: Tensor, out: Path, first: int) -> list[Path]:
        """Writes samples number `first`, `first + 1`, ... into the folder `out`; the paths of the files written."""
        path = Path(out) / f"samples_{first:06d}.npz"
        write_npz(path, samples=samples.detach().cpu().numpy())
        return [path]

    def finish_samples(self, out: Path, firsts: Sequence[int]) -> str:
        """Called once when all is sampled, with the `first` of every `save_samples`; what to tell the user."""
        return ""

    def discard_samples(self, out: Path, firsts: Sequence[int]) -> None:
        """Called instead where sampling ended early: removes what only `finish_samples` would have made use of."""

    def example_images(self) -> Tensor | None:
        """A picture (C, H, W) in [0, 1] for TensorBoard, drawn after every validation; None for none."""
        return None

    def example_sounds(self) -> tuple[dict[str, Tensor], int] | None:
        """Sounds for TensorBoard, after every validation: name -> wave (n,), and samples a second; None for none."""
        return None

    # Steps

    def forward(self, x: Tensor, context: Any = None) -> Tensor:
        """Log-likelihood in nats, shape (N,)."""
        return self.flow(x, context)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, context = self.unpack(batch)
        loss, figures = self.loss(x, context, "train")
        figures = {"loss": loss.detach(), **{name: value.detach() for name, value in figures.items()}}
        self.latest = figures
        self.log_dict({f"train/{name}": value for name, value in figures.items()}, batch_size=x.shape[0])
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._evaluate(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Log-likelihood of every example in nats, shape (N,)."""
        return self.flow(*self.unpack(batch))

    def _evaluate(self, batch: Any, stage: str) -> None:
        x, context = self.unpack(batch)
        loss, figures = self.loss(x, context, stage)
        self._log_evaluation(stage, {"loss": loss, **figures}, x.shape[0])

    def _log_evaluation(self, stage: str, figures: dict[str, Tensor], examples: int) -> None:
        figures = {f"{stage}/{name}": value for name, value in figures.items()}
        self.log_dict(figures, prog_bar=True, batch_size=examples, sync_dist=True)

    # Randomness as a function of (seed, rank, stage, epoch, batch)

    def _seed(self, stage: str, *position: int) -> None:
        torch.manual_seed(fold_seed(global_seed(), self.global_rank, stage, *position))

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if not self.flow_initialized:
            self._initialize_flow(batch)
        if self._to_compile:
            self.flow.transform.compile(dynamic=False)
            self._to_compile = False
        self._seed("train", self.current_epoch, batch_idx)

    def on_validation_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._seed("val", dataloader_idx, batch_idx)

    def on_test_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._seed("test", dataloader_idx, batch_idx)

    def on_predict_batch_start(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        self._seed("predict", dataloader_idx, batch_idx)

    # Data-dependent initialisation

    def _initialize_flow(self, batch: Any) -> None:
        batches = [batch, *self._more_batches(self.init_batches - 1)]
        xs, contexts = zip(*(self.unpack(b) for b in batches), strict=True)
        self._seed("init")
        with self._whole_parameters():
            self.flow.initialize(join(xs), join(contexts))
        self.flow_initialized = True

    def _whole_parameters(self) -> contextlib.AbstractContextManager:
        """Under FSDP, where a rank holds only its shard, the parameters gathered for the length of a block."""
        from torch.distributed.fsdp import FullyShardedDataParallel

        model = self.trainer.strategy.model
        if isinstance(model, FullyShardedDataParallel):
            return FullyShardedDataParallel.summon_full_params(model, writeback=True)
        return contextlib.nullcontext()

    def _more_batches(self, n: int) -> Iterator[Any]:
        """`n` batches from the far side of the epoch's first one, without disturbing the training loader."""
        if n == 0:
            return
        loader = self.trainer.train_dataloader
        if not hasattr(loader, "peek"):
            raise TypeError("init_batches > 1 needs the loader of a FlowDataModule")
        for batch in loader.peek(1, n):
            yield self.trainer.strategy.batch_to_device(batch)

    # Updates

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = self.optimizer(p for p in self.parameters() if p.requires_grad)
        update_all_at_once(optimizer)
        if self.lr_scheduler is None:
            return {"optimizer": optimizer}
        scheduler = self.lr_scheduler(optimizer)
        config = {"scheduler": scheduler, "interval": self.lr_interval, "monitor": "val/loss"}
        return {"optimizer": optimizer, "lr_scheduler": config}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        grads = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        # With a gradient scaler, infinite gradients are part of the game: the scaler skips those updates itself.
        scaled = self.trainer.precision == "16-mixed"
        figures = {"train/loss": self.latest["loss"]}
        if grads:
            norm = torch.nn.utils.get_total_norm(grads)
            self.log("train/grad_norm", norm)
            if not scaled:
                figures["the gradient norm"] = norm
        if self.spikes is not None and grads and self.spikes.is_spike(float(norm)):
            self._void_update(optimizer)
        elif self.non_finite == "stop":
            self._watch.watch(self.global_step, figures)
        elif not all(map(finite, stack_figures(figures).tolist())):
            self._void_update(optimizer)
        if (self.global_step + 1) % self.trainer.log_every_n_steps == 0:
            self.log("lr", float(optimizer.param_groups[0]["lr"]))
            if self.non_finite == "skip" or self.spikes is not None:
                self.log("train/skipped_updates", float(self.skipped_updates))

    def _void_update(self, optimizer: torch.optim.Optimizer) -> None:
        """Without gradients an optimiser leaves parameters and its own state as they are."""
        optimizer.zero_grad(set_to_none=True)
        self.skipped_updates += 1
        self._update_is_void = True

    def optimizer_step(self, epoch, batch_idx, optimizer, optimizer_closure=None) -> None:
        factor = min(1.0, (self.global_step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        scheduled = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * factor
        self._update_is_void = False
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        for group, lr in zip(optimizer.param_groups, scheduled, strict=True):
            group["lr"] = lr
        if self.ema is not None and not self._update_is_void:
            self.ema.update()

    def on_train_start(self) -> None:
        self._begin = self.skipped_updates, self.global_step

    def on_train_end(self) -> None:
        if self.skipped_updates:
            self.print(f"{self.skipped_updates} of {self.global_step} updates were skipped")
        skipped, step = self._begin
        check_some_update(self.skipped_updates - skipped, self.global_step - step)

    # Evaluation with averaged weights

    def on_fit_start(self) -> None:
        if self.ema is not None:
            self.ema.to(self.device)

    def on_validation_epoch_start(self) -> None:
        self._swap_in()

    def on_test_epoch_start(self) -> None:
        self._swap_in()

    def on_predict_epoch_start(self) -> None:
        self._swap_in()

    def on_validation_epoch_end(self) -> None:
        self._show_examples()
        self._swap_out()

    def on_test_epoch_end(self) -> None:
        self._swap_out()

    def on_predict_epoch_end(self) -> None:
        self._swap_out()

    def _swap_in(self) -> None:
        if self.ema is not None:
            self.ema.to(self.device)
            self.ema.swap_in()

    def _swap_out(self) -> None:
        if self.ema is not None:
            self.ema.swap_out()

    def _show_examples(self) -> None:
        if not self.trainer.is_global_zero or self.trainer.sanity_checking:
            return
        boards = [logger.experiment for logger in self.loggers if hasattr(logger.experiment, "add_image")]
        if not boards:
            return
        self._seed("examples")
        try:
            images, sounds = self.example_images(), self.example_sounds()
        except (RuntimeError, ValueError) as error:  # a picture is not worth the run
            self.print(f"no example images after step {self.global_step}: {str(error).splitlines()[0]}")
            return
        waves, rate = sounds or ({}, 0)
        for board in boards:
            if images is not None:
                board.add_image("samples", images, self.global_step)
            for name, wave in waves.items():
                board.add_audio(name, wave, self.global_step, rate)

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._watch.settle()
        state = {
            "config": self.config,
            "flow_initialized": self.flow_initialized,
            "skipped_updates": self.skipped_updates,
            "seed": int(os.environ["PL_GLOBAL_SEED"]) if "PL_GLOBAL_SEED" in os.environ else None,
        }
        if self.spikes is not None:
            state["spikes"] = self.spikes.state_dict()
        if self.ema is not None:
            state["ema"] = self.ema.state_dict()
            checkpoint["state_dict"].update(self.ema.own_weights())
        checkpoint["flowsuite"] = state

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        from flowsuite.core.training.checkpoint import check_checkpoint, check_same_model

        check_checkpoint(checkpoint)
        check_same_model(checkpoint, self)
        fitting = self._trainer is not None and self.trainer.state.fn == "fit"
        if fitting and "optimizer_states" not in checkpoint:
            raise ValueError("this checkpoint holds weights only: start from it with --weights, not --ckpt_path")
        state = checkpoint["flowsuite"]
        self.flow_initialized = bool(state["flow_initialized"])
        self.skipped_updates = int(state["skipped_updates"])
        if self.ema is not None and "ema" in state:
            self.ema.load_state_dict(state["ema"])
        if self.spikes is not None and "spikes" in state:
            self.spikes.load_state_dict(state["spikes"])


def join(parts: tuple[Any, ...]) -> Any:
    """Batches joined along their first axis; contexts may be None, and must be tensors where there is more than one."""
    if len(parts) == 1 or parts[0] is None:
        return parts[0]
    return torch.cat(parts)
