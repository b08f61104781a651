"""Base of the audio data modules: files decoded once, split, and cut into segments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowsuite.audio.clip_files import ClipFile, ClipReader
from flowsuite.audio.clip_loading import LoadReport, load_clips
from flowsuite.audio.clips import Clips
from flowsuite.audio.features.spec import MelSpec, as_spec
from flowsuite.audio.segments import SegmentSet
from flowsuite.core.training.data import SPLITS, FlowDataModule
from flowsuite.core.training.files import user_cache
from flowsuite.core.training.loader import FlowLoader


class AudioDataModule(FlowDataModule):
    """`AudioBatch`es of speech, see `SegmentSet`; a data set overrides `files(split)`.

    Args:
        batch_size: training crops per process and step.
        num_workers: worker processes of each loader; 0 loads in the training process.
        spec: of the mels: a `MelSpec`, the name of a preset, or settings by name.
        frames: mel frames of a training crop; 65 of 256 samples are the 16,640 samples of the published code.
        crop_samples: samples of a training crop instead, such as 16,000; the last frame is then only in part used.
        eval_batch_size: whole clips per process and evaluation step, neighbours in length; results do not depend on it.
        resample: convert files of another rate instead of refusing them.
        mono: of several channels their "mean", the "first", or "refuse" them.
        on_error: "stop" at the first clip that is silent or cannot be read, or "skip" such clips, with one warning.
        in_memory: GiB of 16-bit samples that a split may hold in memory (24 hours at 22,050 Hz are 3.6); larger ones
            are read from their files, piece by piece.
        cache: folder for what is measured of clips that are not held in memory; None: `.flowsuite` in the user's
            cache folder.
    """

    def __init__(
        self,
        batch_size: int = 8,
        num_workers: int = 0,
        spec: MelSpec | dict[str, Any] | str = "A0",
        frames: int = 65,
        crop_samples: int | None = None,
        eval_batch_size: int = 1,
        resample: bool = False,
        mono: str = "mean",
        on_error: str = "stop",
        in_memory: float = 4.0,
        cache: str | None = None,
    ):
        super().__init__(batch_size, num_workers)
        self.spec = as_spec(spec)
        if crop_samples is not None:
            frames = -(-crop_samples // self.spec.hop_length)
        if frames < 1 or eval_batch_size < 1:
            got = f"{frames if crop_samples is None else crop_samples}, {eval_batch_size}"
            raise ValueError(f"expected crops of at least 1 frame and eval_batch_size >= 1, got {got}")
        if on_error not in ("stop", "skip"):
            raise ValueError(f'on_error must be "stop" or "skip", got {on_error!r}')
        self.frames, self.crop_samples, self.eval_batch_size = frames, crop_samples, eval_batch_size
        self.reader = ClipReader(self.spec.sample_rate, resample, mono)
        self.on_error, self.in_memory = on_error, in_memory
        self.cache = user_cache("audio") if cache is None else Path(cache)
        self._clips: dict[str, Clips] = {}
        self.reports: dict[str, LoadReport] = {}

    # What a data set defines

    def files(self, split: str) -> list[ClipFile]:
        """The clips of "train", "val" or "test"."""
        raise NotImplementedError(f"{type(self).__name__} must define files(split)")

    # What follows

    def split_names(self, split: str) -> list[str]:
        """The names of the clips of a split, before any is left out for an error: to be kept with a model."""
        return [file.name for file in self.files(split)]

    def clips(self, split: str) -> Clips:
        """The clips of a split, loaded once; `reports[split]` then tells what became of the files."""
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}: expected one of {', '.join(SPLITS)}")
        if split not in self._clips:
            label = f"{type(self).__name__} {split}"
            files = self.files(split)
            self._clips[split], self.reports[split] = load_clips(
                files, self.reader, self.on_error, self.in_memory, self.cache, label
            )
        return self._clips[split]

    def make_dataset(self, split):
        if split == "train":
            return SegmentSet(self.clips(split), self.spec, self.frames, self.crop_samples)
        return SegmentSet(self.clips(split), self.spec)

    def _loader(self, split, shuffle=False):
        size = self.batch_size if split == "train" else self.eval_batch_size
        return FlowLoader(self.dataset(split), size, split, shuffle, self.num_workers)


def clip_names(paths: Sequence[Path], root: Path) -> list[ClipFile]:
    """Clips by their paths below `root`, without the suffix where that tells them apart."""
    plain = [path.relative_to(root).with_suffix("").as_posix() for path in paths]
    if len(set(plain)) < len(plain):
        plain = [path.relative_to(root).as_posix() for path in paths]
    return [ClipFile(name, path) for name, path in zip(plain, paths, strict=True)]
