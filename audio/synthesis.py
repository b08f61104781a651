"""From a checkpoint to sound: batches of clips, or one long clip in pieces."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from flowsuite.audio.column_noise import ColumnNoise
from flowsuite.audio.conditioning import Mels
from flowsuite.audio.denoise import Denoiser
from flowsuite.audio.execution import execution
from flowsuite.audio.features.spec import MelSpec
from flowsuite.audio.module import VocoderModule
from flowsuite.audio.sources import Source, source_of_mel, source_of_wave
from flowsuite.audio.streaming import stream
from flowsuite.audio.waveflow import WaveFlow
from flowsuite.core.training.checkpoint import load_module

CHUNK_SECONDS = 20.0


class Synthesizer:
    """A trained vocoder, ready to speak.

    What it makes of a clip depends on the clip, its name and `seed`, not on what else is in the batch. Clips of more
    than two pieces' length are synthesised in pieces (`flowsuite.audio.streaming`), others in one go.

    Args:
        module: in evaluation mode, on its device.
        temperature: factor on the noise; it may be changed later.
        seed: of the noise.
        denoise: strength of the `Denoiser`, 0.1 is typical; 0: none.
        bias: of the denoiser.
        chunk_seconds: of a piece; 0: everything in one go.
        margin: columns synthesised beyond a piece on either side; None: `default_margin`.
        precision: "32", or "bf16" for the networks alone: waveform, affine maps and sums over layers stay in float32.
            On a CPU without instructions for it bfloat16 is far slower.
        graphs: on a GPU, synthesise WaveFlow by CUDA graphs (`flowsuite.audio.row_synthesis`).
        compiled: `torch.compile` WaveFlow's layers, once for each of a few widths; for many clips.

    Example:
        >>> synthesizer = Synthesizer.load("best.ckpt", temperature=0.9)
        >>> wave = synthesizer.copy(recording)             # (n,) at synthesizer.spec.sample_rate
        >>> wave = synthesizer.vocode(mel, PRESETS["B0"])   # a spectrogram of another toolchain
    """

    def __init__(
        self,
        module: VocoderModule,
        temperature: float = 1.0,
        seed: int = 0,
        denoise: float = 0.0,
        bias: str = "silence",
        chunk_seconds: float = CHUNK_SECONDS,
        margin: int | None = None,
        precision: str = "32",
        graphs: bool = True,
        compiled: bool = False,
    ):
        if not isinstance(module, VocoderModule):
            raise ValueError(f"expected a model of speech, got a {type(module).__name__}")
        if not 0 <= denoise < float("inf"):
            raise ValueError(f"expected a denoising strength >= 0, got {denoise}")
        if not 0 <= chunk_seconds < float("inf") or (margin is not None and margin < 0):
            raise ValueError(f"expected pieces of >= 0 seconds and a margin >= 0, got {chunk_seconds} and {margin}")
        self.module, self.flow, self.spec = module, module.flow, module.spec
        self.how = execution(precision, graphs, compiled)
        if compiled and not isinstance(module.flow, WaveFlow):
            raise ValueError(f"only WaveFlow's layers can be compiled for synthesis, got {type(module.flow).__name__}")
        self.temperature, self.seed, self.strength, self.margin = temperature, seed, denoise, margin
        self.denoiser = Denoiser(self.flow, self.spec, bias) if denoise else None
        self.chunk = round(chunk_seconds * self.spec.sample_rate / self.flow.height)  # columns

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        device: str | torch.device | None = None,
        raw_weights: bool = False,
        allow: Sequence[str] = (),
        **settings,
    ) -> Synthesizer:
        """From a checkpoint; by default to the GPU if there is one. `settings` are those of the class."""
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        module = load_module(path, device, not raw_weights, allow)
        if not isinstance(module, VocoderModule):
            raise ValueError(f"{path} holds a {type(module).__name__}, expected a model of speech")
        return cls(module, **settings)

    def copy(self, recording: Tensor, name: str = "") -> Tensor:
        """Copy-synthesis of a recording (n,): (n,) on the CPU."""
        return self([source_of_wave(name, recording, self.module.mel)])[0]

    def vocode(self, mel: Tensor, spec: MelSpec | None = None, name: str = "") -> Tensor:
        """The wave (n,) of a spectrogram (n_mels, F) that was made with `spec` (None: the model's), on the CPU."""
        return self([source_of_mel(name, mel, self.spec, spec)])[0]

    def noise(self, name: str) -> ColumnNoise:
        return ColumnNoise(self.flow.height, self.seed, name, temperature=self.temperature)

    def in_pieces(self, source: Source) -> bool:
        """Whether a clip is too long to be synthesised in one go."""
        return bool(self.chunk) and source.samples > 2 * self.chunk * self.flow.height

    def __call__(self, sources: Sequence[Source]) -> list[Tensor]:
        """The waves (n,) of clips, on the CPU; those that fit in one go, together."""
        together = [source for source in sources if not self.in_pieces(source)]
        made = iter(self.batch(together))
        return [torch.cat(list(self.pieces(s))) if self.in_pieces(s) else next(made) for s in sources]

    @torch.no_grad()
    def batch(self, sources: Sequence[Source]) -> list[Tensor]:
        """The waves (n,) of clips, side by side in one go."""
        if not sources:
            return []
        anchor, height = self.flow.base.anchor, self.flow.height
        widths = [-(-source.samples // height) for source in sources]
        z = torch.zeros(len(sources), height, max(widths))
        for row, source, width in zip(z, sources, widths, strict=True):
            row[:, :width] = self.noise(source.name)(0, width)
        waves = self.flow.decode(z.to(anchor), batch_mels(sources, anchor), how=self.how)
        if self.denoiser is not None:
            waves = self.denoiser(waves, self.strength)
        waves = waves.cpu()
        return [source.finished(wave[: source.samples]) for source, wave in zip(sources, waves, strict=True)]

    def pieces(self, source: Source) -> Iterator[Tensor]:
        """The wave of one clip in pieces (n,) on the CPU, each as soon as it is made."""
        mel = source.mel.to(self.flow.base.anchor)
        chunk = self.chunk or -(-source.samples // self.flow.height)
        noise = self.noise(source.name)
        made: Iterable[Tensor] = stream(self.flow, mel, noise, source.samples, chunk, self.margin, how=self.how)
        if self.denoiser is not None:
            made = self.denoiser.stream(made, self.strength)
        skip = source.lead
        for piece in made:
            kept = piece[skip:].cpu() * source.gain
            skip = max(0, skip - len(piece))
            if len(kept):
                yield kept


def batch_mels(sources: Sequence[Source], like: Tensor) -> Mels:
    """The spectrograms of clips side by side, on the device and in the precision of `like`."""
    mel = pad_sequence([source.mel.T for source in sources], batch_first=True).transpose(1, 2).to(like)
    lengths = torch.tensor([source.samples for source in sources], device=like.device)
    frames = torch.tensor([source.mel.shape[1] for source in sources], device=like.device)
    return Mels(mel, lengths, frames)
