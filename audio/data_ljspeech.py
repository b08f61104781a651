"""LJ Speech 1.1: 13,100 clips of one speaker."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from flowsuite.audio.archives import unpack
from flowsuite.audio.clip_files import ClipFile
from flowsuite.audio.data_base import AudioDataModule
from flowsuite.core.data.splits import draw

CLIPS = 13100
FOLDER = "LJSpeech-1.1"
ARCHIVES = tuple(f"{FOLDER}.tar{suffix}" for suffix in (".bz2", ".gz", ".xz", ""))
PUBLISHED = {"parakeet": 16, "waveglow": 10, "nanoflow": 1310}  # clips held out, from the first on
CLIP_NAME = re.compile(r"[\w-]+")


class LJSpeech(AudioDataModule):
    """LJ Speech 1.1 (public domain): 13,100 clips, 24 hours, 16 bits, 22,050 Hz.

    `root` is the folder `LJSpeech-1.1` with `metadata.csv` and `wavs`, or the one that it's in, or
    `LJSpeech-1.1.tar.bz2`, or the folder that this is in; the archive is unpacked beside itself, once.

    Files at another rate are refused: re-recordings with the same names at 44,100 Hz are about. `resample: true`
    converts them.

    Args:
        root: see above.
        split: "random" draws `val` and `test` clips, the sizes of NVIDIA's tacotron2, with `split_seed`; a smaller copy
            of the corpus is split in proportion, with a notice. Or the first clips as published code holds them out, as
            validation and test split in one: "parakeet" the first 16, "waveglow" (L0SG/WaveFlow also) 10, "nanoflow"
            1,310.
        val: clips of the validation split, of the whole corpus.
        test: clips of the test split, likewise.
        split_seed: of the draw.
        kwargs: those of `AudioDataModule`.
    """

    def __init__(
        self,
        root: str = "data",
        split: str = "random",
        val: int = 100,
        test: int = 500,
        split_seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if split != "random" and split not in PUBLISHED:
            raise ValueError(f"split must be random or one of {', '.join(PUBLISHED)}, got {split!r}")
        if min(val, test) < 1:
            raise ValueError(f"expected val >= 1 and test >= 1, got {val}, {test}")
        self.root, self.split, self.split_seed = Path(root), split, split_seed
        self.sizes = {"val": val, "test": test}
        self._parts: dict[str, list[ClipFile]] | None = None

    def prepare_data(self):
        self.folder()

    def folder(self) -> Path:
        """The folder with `metadata.csv`, unpacked if there is only the archive."""
        root = self.root
        if root.is_file():
            return unpack(root, root.parent / FOLDER, is_wanted)
        for folder in (root, root / FOLDER):
            if (folder / "metadata.csv").is_file():
                return folder
        for archive in (root / name for name in ARCHIVES):
            if archive.is_file():
                return unpack(archive, root / FOLDER, is_wanted)
        raise FileNotFoundError(
            f"{root} is not LJ Speech: expected {FOLDER}/metadata.csv, or {ARCHIVES[0]} from "
            "https://keithito.com/LJ-Speech-Dataset"
        )

    def files(self, split):
        if self._parts is None:
            folder = self.folder()
            names = list(read_metadata(folder / "metadata.csv"))
            self._parts = self.parts([ClipFile(name, folder / "wavs" / f"{name}.wav") for name in names])
        return self._parts[split]

    def parts(self, clips: list[ClipFile]) -> dict[str, list[ClipFile]]:
        """The clips of each split."""
        if self.split != "random":
            held = PUBLISHED[self.split]
            if held >= len(clips):
                raise ValueError(
                    f"the split {self.split!r} holds out the first {held} of {len(clips)} clips: none are left"
                )
            return {"train": clips[held:], "val": clips[:held], "test": clips[:held]}
        sizes = self.sizes
        if len(clips) < CLIPS:
            sizes = {name: max(1, round(size * len(clips) / CLIPS)) for name, size in sizes.items()}
            shown = ", ".join(f"{size} {name}" for name, size in sizes.items())
            warnings.warn(f"{self.root} has {len(clips)} of {CLIPS} clips: split in proportion, {shown}", stacklevel=2)
        return draw(clips, sizes, self.split_seed)


def is_wanted(name: Path) -> bool:
    return name.as_posix() in ("metadata.csv", "README") or (name.parts[:-1] == ("wavs",) and name.suffix == ".wav")


def read_metadata(path: Path) -> dict[str, tuple[str, str]]:
    """`metadata.csv`: for each clip its text as printed and as read aloud.

    UTF-8, no header, fields separated by `|`, quotation marks without meaning. Where the third field is missing the
    second stands for it.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or a line is not of this form or repeats a clip.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text (byte {error.start})") from None
    texts: dict[str, tuple[str, str]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        name, *fields = line.rstrip("\r").split("|")
        if not fields or len(fields) > 2 or not CLIP_NAME.fullmatch(name):
            raise ValueError(f"{path}, line {number}: expected id|text|normalised text, got {line[:60]!r}")
        if name in texts:
            raise ValueError(f"{path}, line {number}: clip {name} was there before")
        texts[name] = fields[0], fields[-1] or fields[0]
    if not texts:
        raise ValueError(f"{path} lists no clips")
    return texts
