"""VCTK: about 110 speakers of English."""

from __future__ import annotations

from pathlib import Path

from flowsuite.audio.clip_files import ClipFile
from flowsuite.audio.data_base import AudioDataModule
from flowsuite.audio.wave_files import list_waves
from flowsuite.core.data.splits import draw

FOLDERS = ("wav48_silence_trimmed", "wav48")


class VCTK(AudioDataModule):
    """The VCTK corpus, 44 hours at 48,000 Hz, brought to the rate of `spec`.

    Version 0.92 has `wav48_silence_trimmed/p225/p225_001_mic1.flac`, older ones `wav48/p225/p225_001.wav`, in `root` or
    in a folder in it. Validation and test are speakers of their own, drawn with a fixed seed.

    Args:
        root: folder of the data set.
        microphone: 1 or 2, of version 0.92; a few speakers have no recordings by the second.
        val: speakers of the validation split: a number, or a share below 1.
        test: speakers of the test split, likewise.
        split_seed: of the draw.
        resample: the files are at 48,000 Hz and the presets of mels are not, so this is on.
        kwargs: those of `AudioDataModule`.
    """

    def __init__(
        self,
        root: str = "data",
        microphone: int = 1,
        val: float = 4,
        test: float = 8,
        split_seed: int = 0,
        resample: bool = True,
        **kwargs,
    ):
        super().__init__(resample=resample, **kwargs)
        if microphone not in (1, 2):
            raise ValueError(f"microphone must be 1 or 2, got {microphone}")
        self.root, self.microphone, self.split_seed = Path(root), microphone, split_seed
        self.sizes = {"val": val, "test": test}
        self._parts: dict[str, list[ClipFile]] | None = None

    def files(self, split):
        if self._parts is None:
            by_speaker = list_speakers(find_folder(self.root), self.microphone)
            parts = draw(sorted(by_speaker), self.sizes, self.split_seed, "speakers")
            self._parts = {name: [c for s in speakers for c in by_speaker[s]] for name, speakers in parts.items()}
        return self._parts[split]


def find_folder(root: Path) -> Path:
    """The folder of recordings, in `root` or one level below."""
    for name in FOLDERS:
        for folder in (root, root / name, *sorted(root.glob(f"*/{name}"))):
            if folder.name == name and folder.is_dir():
                return folder
    raise FileNotFoundError(f"{root} is not VCTK: expected a folder {' or '.join(FOLDERS)}")


def list_speakers(folder: Path, microphone: int) -> dict[str, list[ClipFile]]:
    """The clips of each speaker; in files of two microphones, those of one."""
    clips: dict[str, list[ClipFile]] = {}
    for path in list_waves(folder):
        name, both, number = path.stem.partition("_mic")
        if not both or number == str(microphone):
            clips.setdefault(path.parent.name, []).append(ClipFile(name, path))
    return clips
