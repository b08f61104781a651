"""The Free Spoken Digit Dataset: small enough for a laptop."""

from __future__ import annotations

import re
import warnings
from pathlib import Path, PurePosixPath

from flowsuite.audio.clip_files import ClipFile, archive
from flowsuite.audio.data_base import AudioDataModule
from flowsuite.core.data.splits import draw

NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<take>\d+)")
TEST_TAKES = range(5)


class FreeSpokenDigits(AudioDataModule):
    """Spoken digits, 8,000 Hz, `{digit}_{speaker}_{take}.wav`: 3,000 clips of 0.14 to 2.3 s by six speakers.

    Takes 0 to 4 are the test split. The validation split is drawn from the others with a fixed seed; so is a test
    split, with a notice, if takes 0 to 4 are not there.

    Args:
        root: the folder with the files, one with a folder `recordings` of them, or a zip archive of them, which is read
            as it is.
        val: clips of the validation split: a number, or a share below 1.
        test: of the test split, if it's drawn.
        split_seed: of the draw.
        spec: of the mels, see `AudioDataModule`; by default of 8,000 Hz, n_fft 256, hop 64.
        frames: mel frames of a training crop; 32 of 64 samples are a quarter of a second, and most clips are longer.
        kwargs: those of `AudioDataModule`.
    """

    def __init__(
        self,
        root: str,
        val: float = 0.1,
        test: float = 0.1,
        split_seed: int = 0,
        spec: dict | str = "A0-8k",
        frames: int = 32,
        **kwargs,
    ):
        super().__init__(spec=spec, frames=frames, **kwargs)
        self.root, self.val, self.test, self.split_seed = Path(root), val, test, split_seed
        self._parts: dict[str, list[ClipFile]] | None = None

    def files(self, split):
        if self._parts is None:
            clips = list_digits(self.root)
            test = [clip for clip in clips if int(NAME.fullmatch(clip.name)["take"]) in TEST_TAKES]
            rest = [clip for clip in clips if int(NAME.fullmatch(clip.name)["take"]) not in TEST_TAKES]
            if test:
                self._parts = draw(rest, {"val": self.val}, self.split_seed) | {"test": test}
            else:
                self._parts = draw(rest, {"val": self.val, "test": self.test}, self.split_seed)
                size = len(self._parts["test"])
                warnings.warn(f"{self.root} has no takes 0 to 4: the test split is {size} other clips", stacklevel=2)
        return self._parts[split]


def list_digits(root: Path) -> list[ClipFile]:
    """The recordings in a folder or zip archive, in the order of digit, speaker and take; other files are left out."""
    if root.is_dir():
        folder = root / "recordings" if (root / "recordings").is_dir() else root
        found = [ClipFile(path.stem, path) for path in folder.glob("*.wav")]
    else:
        names = [PurePosixPath(name) for name in archive(root, 0).namelist()]
        found = [ClipFile(p.stem, root, str(p)) for p in names if p.suffix == ".wav" and "__MACOSX" not in p.parts]
    clips = [clip for clip in found if NAME.fullmatch(clip.name)]
    if not clips:
        raise ValueError(f"{root} holds no spoken digits: expected files like 7_jackson_32.wav")
    if len({clip.name for clip in clips}) < len(clips):
        raise ValueError(f"{root} holds recordings of the same name in several folders")
    return sorted(clips, key=order)


def order(clip: ClipFile) -> tuple[int, str, int]:
    found = NAME.fullmatch(clip.name)
    return int(found["digit"]), found["speaker"], int(found["take"])
