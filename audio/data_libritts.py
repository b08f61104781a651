"""LibriTTS: many readers of audio books."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flowsuite.audio.clip_files import ClipFile
from flowsuite.audio.data_base import AudioDataModule, clip_names
from flowsuite.audio.wave_files import list_waves

PARTS = (
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
)


class LibriTTS(AudioDataModule):
    """LibriTTS (arXiv:1904.02882), or LibriTTS-R, which has the same form: 585 hours of 2,456 readers, 24,000 Hz.

    `{part}/{reader}/{chapter}/{reader}_{chapter}_{...}.wav` in `root` or in `root/LibriTTS`. The parts say what is for
    what: no reader is in two of them.

    Args:
        root: folder of the data set.
        train: parts to train on.
        val: parts to validate on.
        test: parts to test on.
        spec: of the mels, see `AudioDataModule`; by default of 24,000 Hz.
        kwargs: those of `AudioDataModule`.
    """

    def __init__(
        self,
        root: str = "data",
        train: Sequence[str] = ("train-clean-100", "train-clean-360"),
        val: Sequence[str] = ("dev-clean",),
        test: Sequence[str] = ("test-clean",),
        spec: dict | str = "A0-24k",
        **kwargs,
    ):
        super().__init__(spec=spec, **kwargs)
        self.root = Path(root)
        self.parts = {
            name: [value] if isinstance(value, str) else list(value)
            for name, value in (("train", train), ("val", val), ("test", test))
        }
        for part in {part for parts in self.parts.values() for part in parts} - set(PARTS):
            raise ValueError(f"unknown part {part!r} of LibriTTS: expected one of {', '.join(PARTS)}")

    def files(self, split):
        roots = [self.root, *(self.root / name for name in ("LibriTTS", "LibriTTS_R"))]
        clips: list[ClipFile] = []
        for part in self.parts[split]:
            root = next((root for root in roots if (root / part).is_dir()), None)
            if root is None:
                raise FileNotFoundError(f"{self.root / part} not found: expected the part {part} of LibriTTS there")
            clips += clip_names(list_waves(root / part), root)
        return clips
