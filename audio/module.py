"""How flows on speech train, and what is measured of their sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from flowsuite.audio.conditioning import Mels
from flowsuite.audio.execution import ONCE, execution
from flowsuite.audio.features.mel import MelSpectrogram
from flowsuite.audio.features.spec import MelSpec, as_spec
from flowsuite.audio.samples import Spoken, save_spoken, speak
from flowsuite.audio.segments import AudioBatch
from flowsuite.audio.testing import copy_synthesis_report
from flowsuite.audio.vocoder import Vocoder
from flowsuite.core.training.module import FlowModule

STEPS = 32768  # of 16-bit samples in [0, 1)
EXAMPLE_SECONDS = 3.0


class Clips(NamedTuple):
    """A batch on its way to the device: how long the waveforms are is decided on the CPU, where it costs no wait.

    Attributes:
        wave: (B, n), zeros behind the end of shorter clips.
        segment: (B, S), what the mels are made of.
        lengths: (B,), None if all are n.
        frames: of each clip (B,), None if all have all.
    """

    wave: Tensor
    segment: Tensor
    lengths: Tensor | None
    frames: Tensor | None


class VocoderModule(FlowModule):
    """Trains a `Vocoder` by maximum likelihood of waveforms given the mel spectrograms that it makes of them.

    The loss is `-log p(x | mel) / n` in nats per sample, over the samples that exist. Logged: `ll`, its negative, as
    the mean over clips ("LL" of the published tables, the waveform as it is on its 16-bit grid); in tests also
    `ll_dequantized`, of the waveform with uniform noise of one step of 2^-15 (a lower bound of a discrete
    log-likelihood, plus 15 log 2), and its `bits_per_sample = 15 - ll_dequantized / log 2`.

    After a test, the first `test_clips` clips are copy-synthesised from their own mels, and the metrics of
    `flowsuite.audio.metrics` are printed beside Griffin-Lim's and written with the waves to the run's folder.

    Args:
        flow: a `WaveFlow` or `WaveGlow`.
        spec: of the mels: the name of a preset ("A0" is the default of most public vocoders), or settings by name. It
            is stored in every checkpoint, and must be that of the data.
        dequantize: train on the dequantised waveform.
        test_clips: clips to copy-synthesise after a test; 0 for none.
        test_temperature: factor on the noise, there.
        kwargs: those of `FlowModule`.
    """

    context_by_option = True

    def __init__(
        self,
        flow: Vocoder,
        spec: str | dict[str, Any] = "A0",
        dequantize: bool = False,
        test_clips: int = 8,
        test_temperature: float = 1.0,
        **kwargs,
    ):
        super().__init__(flow, **kwargs)
        if not isinstance(flow, Vocoder):
            raise TypeError(f"flow must be a WaveFlow or a WaveGlow, got {type(flow).__name__}")
        if test_clips < 0 or not test_temperature >= 0:
            raise ValueError(f"expected test_clips and test_temperature >= 0, got {test_clips}, {test_temperature}")
        self.spec: MelSpec = as_spec(spec)
        for name in ("n_mels", "hop_length"):
            mine, flows = getattr(self.spec, name), getattr(flow, name)
            if mine != flows:
                raise ValueError(f"{name} is {mine} in the mel spec and {flows} in the flow: give both the same")
        self.mel = MelSpectrogram(self.spec)
        self.dequantize, self.test_clips, self.test_temperature = dequantize, test_clips, test_temperature
        self.split_names: dict[str, list[str]] = {}
        self._example: Tensor | None = None  # segment (1, S) of a validation clip
        self._sounds: dict[str, Tensor] = {}

    # Data

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self.clips_of(batch) if isinstance(batch, AudioBatch) else batch

    def clips_of(self, batch: AudioBatch) -> Clips:
        """The waveforms under a batch of segments."""
        n = int(batch.length.max())
        ragged = bool((batch.length != n).any())
        wave = batch.segment[:, self.spec.left : self.spec.left + n]
        if not ragged:
            return Clips(wave, batch.segment, None, None)
        wave = wave * (torch.arange(n, device=wave.device) < batch.length[:, None])
        frames = batch.length.new_tensor([self.spec.frames(samples) for samples in batch.length.tolist()])
        return Clips(wave, batch.segment, batch.length, frames)

    def unpack(self, batch):
        """`(x, Mels)` of an `AudioBatch`, the mels made here, on this module's device."""
        if isinstance(batch, AudioBatch):
            batch = self.clips_of(batch)
        if isinstance(batch, Clips):
            with torch.no_grad():
                return batch.wave, Mels(self.mel.from_segment(batch.segment), batch.lengths, batch.frames)
        return super().unpack(batch)

    def on_fit_start(self) -> None:
        super().on_fit_start()
        self.check_data()
        data = getattr(self.trainer, "datamodule", None)
        if hasattr(data, "split_names"):
            self.split_names = {split: data.split_names(split) for split in ("train", "val", "test")}

    def on_validation_start(self) -> None:
        self.check_data()

    def on_test_start(self) -> None:
        self.check_data()
        data = getattr(self.trainer, "datamodule", None)
        if hasattr(data, "split_names"):
            seen = set(self.split_names.get("train", [])) & set(data.split_names("test"))
            if seen:
                were = "clip was a training clip" if len(seen) == 1 else "clips were training clips"
                self.print(f"note: {len(seen)} test {were} of this model, {min(seen)} among them")

    def on_predict_start(self) -> None:
        self.check_data()

    def check_data(self) -> None:
        """That data and model speak of the same features."""
        theirs = getattr(getattr(self.trainer, "datamodule", None), "spec", self.spec)
        if theirs != self.spec:
            what = "; ".join(theirs.differences(self.spec))
            raise ValueError(f"the mel spec of the data is not the model's: {what} (here: data, there: model)")

    # Loss

    def _initialize_flow(self, batch) -> None:
        self.flow_initialized = True  # nothing here starts from the data

    def loss(self, x: Tensor, context: Mels, stage: str):
        if stage == "train":
            log_prob = self.flow(self.dequantized(x, context.lengths) if self.dequantize else x, context)
            samples = x.numel() if context.lengths is None else context.lengths.sum()
            loss = -log_prob.sum() / samples
            return loss, {"ll": -loss}
        figures = {"ll": self.per_sample(x, context).mean()}
        loss = -figures["ll"]
        if stage == "test" or self.dequantize:
            bound = self.per_sample(self.dequantized(x, context.lengths), context).mean()
            figures |= {"ll_dequantized": bound, "bits_per_sample": 15 - bound / torch.log(torch.tensor(2.0))}
            loss = -bound if self.dequantize else loss
        return loss, figures

    def per_sample(self, x: Tensor, context: Mels) -> Tensor:
        """Log-likelihood of each clip divided by its number of samples, in nats: (B,)."""
        log_prob = self.flow(x, context)
        return log_prob / (x.shape[1] if context.lengths is None else context.lengths)

    @staticmethod
    def dequantized(x: Tensor, lengths: Tensor | None) -> Tensor:
        """`x + u / 32768` with u uniform in [0, 1), at the samples that exist."""
        noise = torch.rand_like(x) / STEPS
        if lengths is not None:
            noise = noise * (torch.arange(x.shape[1], device=x.device) < lengths[:, None])
        return x + noise

    # Generation

    def generate(
        self,
        n,
        context=None,
        temperature=1.0,
        generator=None,
        source: str | None = None,
        first: int = 0,
        precision: str = "32",
    ):
        """Waveforms, one for each spectrogram in `context`, or from files.

        Args:
            n: how many.
            context: (n, n_mels, F) or `Mels`; then the result is a tensor (n, samples).
            temperature: factor on the noise.
            generator: on this module's device.
            source: audio files or spectrograms, a file or a folder, which the samples take in turn; then the result is
                a `Spoken`.
            first: number of the first sample.
            precision: "32", or "bf16" for the networks alone.
        """
        how = execution(precision)
        if source is not None:
            return speak(self, n, source, first, temperature, generator, precision)
        if context is None:
            raise ValueError("a vocoder speaks from spectrograms: give --from FILE or FOLDER, of audio or of mels")
        return self.flow.sample(n, context, temperature, generator, how=how)

    def save_samples(self, samples, out, first):
        if not isinstance(samples, Spoken):
            samples = Spoken(list(samples.cpu()), ["sample"] * len(samples))
        return save_spoken(samples, out, first, self.spec.sample_rate)

    # TensorBoard

    def validation_step(self, batch, batch_idx):
        if batch_idx == 0:
            most = self.spec.left + int(EXAMPLE_SECONDS * self.spec.sample_rate) + self.spec.n_fft
            self._example = batch.segment[:1, :most]
        super().validation_step(batch, batch_idx)

    @torch.no_grad()
    def example_images(self):
        """Spectrograms of a validation clip and of its copy-synthesis, which `example_sounds` gives too."""
        from flowsuite.audio.spectrogram import spectrogram_picture

        if self._example is None:
            return None
        synthesis = self.flow.sample(context=self.mel.from_segment(self._example), how=ONCE)[0]
        recording = self._example[0, self.spec.left :][: len(synthesis)]
        self._sounds = {"recording": recording, "synthesis": synthesis[: len(recording)].clamp(-1, 1)}
        return spectrogram_picture(self._sounds, self.spec.sample_rate)

    def example_sounds(self):
        return (self._sounds, self.spec.sample_rate) if self._sounds else None

    # Testing

    def on_test_epoch_end(self) -> None:
        data = getattr(self.trainer, "datamodule", None)
        if self.test_clips and self.trainer.is_global_zero and data is not None:
            figures = copy_synthesis_report(self, data, self.report_folder())
            self.log_dict({f"test/{name}": value for name, value in figures.items()}, rank_zero_only=True)
        super().on_test_epoch_end()

    def report_folder(self) -> Path:
        """The folder of the run whose checkpoint is tested, else the root of all runs."""
        checkpoint = self.trainer.ckpt_path
        if checkpoint and Path(checkpoint).parent.name == "checkpoints":
            return Path(checkpoint).parent.parent
        return Path(self.trainer.default_root_dir)

    # Checkpoints

    def on_save_checkpoint(self, checkpoint):
        super().on_save_checkpoint(checkpoint)
        checkpoint["flowsuite"]["split_names"] = self.split_names

    def on_load_checkpoint(self, checkpoint):
        super().on_load_checkpoint(checkpoint)
        self.split_names = dict(checkpoint["flowsuite"].get("split_names", {}))
