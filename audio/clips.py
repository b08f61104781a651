"""Clips as 16-bit samples: all of them in memory, or read from their files piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from flowsuite.audio.clip_files import ClipFile, ClipReader


@dataclass(frozen=True)
class Clips:
    """N clips of different lengths; what holds their samples overrides `fetch`.

    Attributes:
        names: of the clips.
        lengths: (N,) int64, samples.
        peaks: (N,) int64, largest absolute sample, 1 to 32768.
    """

    names: list[str]
    lengths: Tensor
    peaks: Tensor

    def __len__(self) -> int:
        return len(self.names)

    def fetch(self, rows: Tensor, index: Tensor) -> Tensor:
        """Samples `index` (B, S) of the clips `rows` (B,): (B, S) int16."""
        raise NotImplementedError(f"{type(self).__name__} must define fetch(rows, index)")

    def wave(self, row: int) -> Tensor:
        """The whole clip `row`, (n,) float32 in [-1, 1)."""
        return self.fetch(torch.tensor([row]), torch.arange(int(self.lengths[row]))[None])[0].float() / 32768

    def subset(self, rows: Sequence[int]) -> Clips:
        """Some of the clips, in the order of `rows`."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        names = [self.names[i] for i in index.tolist()]
        return replace(self, names=names, lengths=self.lengths[index], peaks=self.peaks[index], **self.columns(index))

    def columns(self, rows: Tensor) -> dict:
        """What else there is of the clips `rows`, for `subset`."""
        return {}


@dataclass(frozen=True)
class PackedClips(Clips):
    """Clips in memory, one behind the other; a batch is one gather.

    Attributes:
        samples: int16, of all clips.
        offsets: (N,) int64, where each begins.
    """

    samples: Tensor
    offsets: Tensor

    @classmethod
    def pack(cls, names: Sequence[str], waves: Sequence[Tensor]) -> PackedClips:
        """From the clips one by one, (n,) int16 each."""
        lengths = torch.tensor([len(wave) for wave in waves])
        peaks = torch.tensor([peak_of(wave) for wave in waves])
        return cls(list(names), lengths, peaks, torch.cat(list(waves)), lengths.cumsum(0) - lengths)

    def fetch(self, rows, index):
        return self.samples[self.offsets[rows][:, None] + index]

    def columns(self, rows):
        return {"offsets": self.offsets[rows]}


@dataclass(frozen=True)
class FileClips(Clips):
    """Clips that stay in their files.

    Attributes:
        files: one a clip.
        reader: that decodes them.
    """

    files: list[ClipFile]
    reader: ClipReader

    def fetch(self, rows, index):
        samples = torch.empty(index.shape, dtype=torch.int16)
        for place, row in enumerate(rows.tolist()):
            first, last = (int(x) for x in index[place].aminmax())
            part = self.reader.part(self.files[row], first, last + 1, int(self.lengths[row]))
            samples[place] = part[index[place] - first]
        return samples

    def columns(self, rows):
        return {"files": [self.files[i] for i in rows.tolist()]}


def peak_of(wave: Tensor) -> int:
    """Largest absolute value of int16 samples; that of -32768 is 32768."""
    low, high = wave.aminmax()
    return max(-int(low), int(high))
