"""How VideoFlow trains, and what is measured of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flowsuite.core.objective import bits_per_dim, importance_weighted_bound
from flowsuite.core.training.module import FlowModule
from flowsuite.video.data_base import VideoBatch, VideoDataModule
from flowsuite.video.generation import sample_figures
from flowsuite.video.quantization import dequantize, quantize
from flowsuite.video.videoflow import VideoFlow

EXAMPLES = 4
AT_BOUND = 0.95  # of the soft bound of log sigma, beyond which its derivative is below a tenth


class VideoModule(FlowModule):
    """Trains a `VideoFlow` on whole clips: all frames in one call of the flow, every frame after the context scored.

    The loss is the bits per dimension of the scored frames, with one draw of dequantisation noise. Logged:
    `bits_per_dim`; `least_log_std`, the smallest log sigma of any prior; in validation and test `bits_per_dim_level<l>`
    of the priors (finest first) and `bits_per_dim_flow` of the log-determinant, which add up to the whole; in tests
    `bits_per_dim_iw`, the importance-weighted bound of whole videos from `test_draws` draws (arXiv 1509.00519).

    Args:
        flow: the model.
        context_frames: frames of a clip that evaluation and generation take as given.
        num_frames: frames of a generated clip, context included.
        train_context: frames that training takes as given; `context_frames` by default, 0 to train the likelihood of
            whole videos, which generation without context needs. From K on, the priors of first frames of a windowed
            model are left as they are, as in the published training.
        reference: scale frames as the reference does, `k / 255 - 0.5 + u / 256`, not `(k + u) / 256 - 0.5`.
        test_draws: draws of dequantisation noise in a test.
        test_samples: continuations of each context in a test, at `temperature`, of which the best, by PSNR and by SSIM,
            the mean and the diversity are logged, and for moving shapes the directions that are hit; 0 for none.
        temperature: of the examples in TensorBoard, and of those.
        balance_steps: over so many steps training gives all components of a mixture the same share of a batch, less and
            less strictly (`Mixture.balanced_log_prob`), so that none of them is lost.
        kwargs: those of `FlowModule`.
    """

    compiles = False
    context_by_option = True

    def __init__(
        self,
        flow: VideoFlow,
        context_frames: int = 3,
        num_frames: int = 13,
        train_context: int | None = None,
        reference: bool = False,
        test_draws: int = 4,
        test_samples: int = 10,
        temperature: float = 1.0,
        balance_steps: int = 0,
        **kwargs,
    ):
        super().__init__(flow, **kwargs)
        if not isinstance(flow, VideoFlow):
            raise TypeError(f"flow must be a VideoFlow, got {type(flow).__name__}")
        if not 0 <= context_frames < num_frames:
            raise ValueError(f"expected 0 <= context_frames < num_frames, got {context_frames}, {num_frames}")
        train_context = context_frames if train_context is None else train_context
        if min(train_context, test_samples, balance_steps) < 0 or test_draws < 1 or not temperature >= 0:
            got = f"{train_context}, {test_samples}, {balance_steps}, {temperature}, {test_draws}"
            wanted = "train_context, test_samples, balance_steps, temperature >= 0 and test_draws >= 1"
            raise ValueError(f"expected {wanted}, got {got}")
        self.context_frames, self.num_frames, self.train_context = context_frames, num_frames, train_context
        self.reference, self.test_draws, self.temperature = reference, test_draws, temperature
        self.test_samples, self.balance_steps = test_samples, balance_steps
        if flow.prior == "window" and train_context >= flow.past:
            for prior in flow.priors:  # the loss never meets it, and DDP wants gradients of all that trains
                prior.freeze_first_frames()
        self._example: Tensor | None = None  # frames (1, T, C, H, W) of a validation clip
        self._least: Tensor | None = None  # smallest log sigma of this validation
        self._told = False

    # Frames and floats

    def dequantize(self, frames: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """uint8 (..., C, H, W) to floats in [-0.5, 0.5), with uniform noise of the width of a bin."""
        return dequantize(frames, generator, self.reference, self.flow.base.anchor.dtype)

    def quantize(self, x: Tensor) -> Tensor:
        """Floats to uint8: the bin, what lies outside clipped, and what is not finite white."""
        return quantize(x)

    def frames_of(self, batch: Any) -> Tensor:
        """The uint8 frames (B, T, C, H, W) of a batch."""
        frames = batch.frames if isinstance(batch, VideoBatch) else FlowModule.unpack(self, batch)[0]
        if frames.dtype != torch.uint8:
            raise TypeError(f"expected uint8 frames with values 0..255, got {frames.dtype}")
        return frames

    def unpack(self, batch):
        """`(x, None)`, x with fresh noise."""
        return self.dequantize(self.frames_of(batch)), None

    # Loss

    def bits(self, log_prob: Tensor, dims: int | None = None) -> Tensor:
        """Bits per dimension of densities of frames in nats, elementwise."""
        dims = self.flow.dims if dims is None else dims
        return 8 + bits_per_dim(log_prob, dims)

    def loss(self, x: Tensor, context: Any, stage: str):
        given = self.train_context if stage == "train" else self.context_frames
        if x.shape[1] <= given:
            raise ValueError(f"clips of {x.shape[1]} frames leave none to score after {given} of context")
        score = self.flow.score(x, given)
        bits = self.bits(score.log_prob).mean()
        figures = {"bits_per_dim": bits, "least_log_std": score.least_log_std}
        if stage != "train":
            levels = score.levels.mean((0, 1))
            parts = bits_per_dim(levels, self.flow.dims).unbind()
            figures |= {f"bits_per_dim_level{level}": part for level, part in enumerate(parts)}
            figures["bits_per_dim_flow"] = bits - sum(parts)
        return bits, figures

    def test_step(self, batch: VideoBatch | Tensor, batch_idx: int) -> None:
        frames = self.frames_of(batch)
        log_prob = torch.stack([self.frame_nats(frames) for _ in range(self.test_draws)])
        loss, figures = self.loss(self.dequantize(frames), None, "test")
        bound = importance_weighted_bound(log_prob.sum(2)) / log_prob.shape[2]
        figures |= {
            "bits_per_dim_mean": bits_per_dim(log_prob, self.flow.dims).mean(),
            "bits_per_dim_iw": bits_per_dim(bound, self.flow.dims).mean(),
        }
        if self.test_samples and self.context_frames:
            moving = isinstance(batch, VideoBatch) and bool((batch.label >= 0).all())
            figures |= sample_figures(self, frames, self.test_samples, moving)
        self._log_evaluation("test", {"loss": loss, **figures}, len(frames))

    def frame_nats(self, frames: Tensor) -> Tensor:
        """One draw of a bound of the log-probability of every scored frame, in nats: uint8 (B, T, ...) -> (B, n)."""
        density = self.flow.frame_log_prob(self.dequantize(frames), self.context_frames)
        return density - self.flow.dims * math.log(256)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Log-probability in nats of what follows the context of every video, one draw, (B,)."""
        return self.frame_nats(self.frames_of(batch)).sum(1)

    def on_train_batch_start(self, batch, batch_idx):
        super().on_train_batch_start(batch, batch_idx)
        self.flow.balance = max(0.0, 1 - self.global_step / self.balance_steps) if self.balance_steps else 0.0

    def _initialize_flow(self, batch):
        self._seed("init")
        super()._initialize_flow(batch)

    def on_fit_start(self) -> None:
        super().on_fit_start()
        data = getattr(self.trainer, "datamodule", None)
        if data is not None and hasattr(data, "size"):
            theirs = (data.channels, *data.size)
            if theirs != self.flow.video_shape:
                raise ValueError(f"the data have frames {theirs} (C, H, W), the model wants {self.flow.video_shape}")
        if isinstance(data, VideoDataModule):
            self.compare_lengths(data)

    def compare_lengths(self, data: VideoDataModule) -> None:
        """Says where windows of the data are not those that the model is configured for."""
        for name, theirs in (
            ("context_frames", {data.context_frames}),
            ("num_frames", {data.num_frames, data.eval_frames}),
        ):
            ours = getattr(self, name)
            if ours not in theirs:
                has = getattr(data, name)
                self.print(f"note: {name} is {has} in the data and {ours} in the model, whose own is what counts there")

    # Validation: what is said of sigma, and the examples

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self._least = None

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            self._example = self.frames_of(batch)[:1]
        super().validation_step(batch, batch_idx)

    def _log_evaluation(self, stage, figures, examples):
        least = figures["least_log_std"]
        self._least = least if self._least is None else torch.minimum(self._least, least)
        super()._log_evaluation(stage, figures, examples)

    def on_validation_epoch_end(self) -> None:
        self.tell_of_bound()
        super().on_validation_epoch_end()

    def tell_of_bound(self) -> None:
        """Says once that sigma has reached its bound, as it does where nothing in a video moves."""
        bound = self.flow.log_std_bound
        if self._told or bound is None or self._least is None or self.trainer.sanity_checking:
            return
        least = float(self._least)
        if least < -AT_BOUND * bound:
            self._told = True
            self.print(
                f"note: log sigma of a prior is down to {least:.2f}, near its bound of -{bound:g}: parts of these "
                "videos stand still, and the bound, not the data, decides on their likelihood"
            )

    @torch.no_grad()
    def example_images(self):
        """A validation clip and continuations of its context, one a row; also as a GIF in the folder of the run."""
        from flowsuite.video.gif import contact_sheet, context_truth_samples, write_gif

        if self._example is None or self._example.shape[1] <= self.context_frames:
            return None
        truth, given = self._example[0], self.context_frames
        x = self.dequantize(self._example[:, :given]) if given else None
        found = self.flow.sample(x, len(truth) - given, EXAMPLES, self.temperature)[0]
        samples = self.quantize(found)
        if self.trainer.log_dir:
            path = Path(self.trainer.log_dir) / "examples" / f"step_{self.global_step:07d}.gif"
            write_gif(path, context_truth_samples(truth, samples, given), 2 if len(truth) < 8 else 8)
        rows = [truth, *(torch.cat((truth[:given], sample)) for sample in samples)]
        return contact_sheet(rows, [len(truth), *[given] * len(samples)]).float() / 255

    # Generation

    def check_given(self, given: int) -> None:
        """Raises `ValueError` if after so few frames a windowed model needs the prior of first frames, and training has
        left that as it was."""
        if self.flow.prior == "window" and given < self.flow.past <= self.train_context:
            raise ValueError(
                f"--given {given}: the model's window needs {self.flow.past} given frames; fewer only if trained with "
                "train_context: 0"
            )

    def generate(
        self,
        n: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        clips: str | None = None,
        frames: int | None = None,
        given: int | None = None,
        each: int = 1,
        first: int = 0,
    ):
        """`n` videos as `Continued`: uint8, the given frames and what the model makes of them.

        Args:
            n: how many.
            context: (n, K, C, H, W) uint8, the given frames.
            temperature: factor on sigma of the priors.
            generator: on this module's device.
            clips: what to continue, instead of `context`: see `flowsuite.video.continuations.read_clips`.
            frames: to generate; those that complete `num_frames` by default.
            given: frames to take of `clips`; `context_frames` by default. A windowed model that was trained behind its
                context needs `past` at least.
            each: samples of a clip before the next clip's turn.
            first: number of the first sample.
        """
        from flowsuite.video.continuations import continue_clips

        return continue_clips(self, n, context, temperature, generator, clips, frames, given, each, first)

    def save_samples(self, samples, out, first):
        from flowsuite.video.continuations import save_continued

        return save_continued(samples, out, first)
