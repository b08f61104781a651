"""Batches of pieces of clips with the margins that their mel frames need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from flowsuite.audio.clips import Clips
from flowsuite.audio.features.reflect import fold
from flowsuite.audio.features.spec import MelSpec


class AudioBatch(NamedTuple):
    """Pieces of clips.

    Attributes:
        segment: (B, S) float32. `MelSpectrogram(spec).from_segment(segment)` are F = 1 + (S - n_fft) // hop frames of
            the mels of the whole clips; the waveforms are `segment[:, spec.left :]`, up to F hops of them.
        length: (B,) int64, valid samples of each waveform, counted from `segment[:, spec.left]`.
    """

    segment: Tensor
    length: Tensor


class SegmentSet(Dataset):
    """Pieces of clips, a whole batch of them at once.

    In training an item is `frames` frames, and the samples under them, from a random frame of the clip on (all inside
    the clip). The offsets come from torch's global generator, which the loader seeds from (seed, rank, epoch, batch).
    In evaluation (`frames` None) an item is a whole clip, and the clips stand in the order of their lengths, so that
    neighbours make batches with little padding.

    Features are those of the whole utterance: only the two ends of a clip are reflected, never those of a crop, and
    `spec.peak` is that of the clip. A clip that is shorter than the crop, or than the longest of its batch, is followed
    by zeros behind its reflected tail, and `length` tells.

    A spec that is not centred fills a clip up to whole hops by reflection, half of that in front (`MelSpec.lead`):
    whole clips then begin with those `lead` samples, less than half a hop, which `length` counts.

    Args:
        clips: to take pieces of.
        spec: of the mels.
        frames: of a training item; None: whole clips.
        crop_samples: at most so many valid samples of a training item; None: `frames` hops.
    """

    def __init__(self, clips: Clips, spec: MelSpec, frames: int | None = None, crop_samples: int | None = None):
        if frames is not None and frames < 1:
            raise ValueError(f"frames must be at least 1, got {frames}")
        self.spec, self.frames = spec, frames
        if frames is None:
            clips = clips.subset(clips.lengths.argsort(stable=True))
        else:
            self.most = frames * spec.hop_length if crop_samples is None else crop_samples
        self.clips = clips
        lengths = clips.lengths.tolist()
        self.counts = torch.tensor([spec.frames(n) for n in lengths])
        self.leads = torch.tensor([spec.lead(n) for n in lengths])
        self.ends = torch.tensor([spec.span(0, spec.frames(n), n)[1] for n in lengths])
        self.scales = torch.full((len(clips),), 1 / 32768) if spec.peak is None else spec.peak / clips.peaks.float()

    @property
    def names(self) -> list[str]:
        """Of the clips, in the order of the items."""
        return self.clips.names

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, i: int) -> AudioBatch:
        batch = self.__getitems__([i])
        return AudioBatch(batch.segment[0], batch.length[0])

    def __getitems__(self, indices: Sequence[int]) -> AudioBatch:
        rows = torch.as_tensor(indices, dtype=torch.int64)
        valid = self.clips.lengths[rows] + self.leads[rows]
        if self.frames is None:
            return AudioBatch(self.cut(rows, torch.zeros_like(rows), int(self.counts[rows].max())), valid)
        first = self.draw(rows, valid)
        length = (valid - self.spec.hop_length * first).clamp(max=self.most)
        return AudioBatch(self.cut(rows, first, self.frames), length)

    def draw(self, rows: Tensor, valid: Tensor) -> Tensor:
        """Random first frames (B,), such that the crop holds samples of the clip only; 0 where it is too short."""
        least = (self.leads[rows] > 0).long()
        most = valid // self.spec.hop_length - self.frames
        choices = (most - least + 1).clamp(min=0)
        drawn = least + (torch.rand(len(rows), dtype=torch.float64) * choices).long()
        return torch.where(choices > 0, drawn, 0)

    def cut(self, rows: Tensor, first: Tensor, frames: int) -> Tensor:
        """The samples (B, S) under `frames` frames of the clips `rows` from the frames `first` (B,) on."""
        width = self.spec.hop_length * (frames - 1) + self.spec.n_fft
        start = self.spec.hop_length * first - self.leads[rows] - self.spec.left
        position = start[:, None] + torch.arange(width)
        beyond = position >= self.ends[rows][:, None]
        index = fold(position, self.clips.lengths[rows][:, None])
        segment = self.clips.fetch(rows, index) * self.scales[rows][:, None]
        return segment.masked_fill_(beyond, 0.0)
