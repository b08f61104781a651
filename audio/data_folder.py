"""Your own recordings: any folder of audio files."""

from __future__ import annotations

from pathlib import Path

from flowsuite.audio.clip_files import ClipFile
from flowsuite.audio.data_base import AudioDataModule, clip_names
from flowsuite.audio.wave_files import list_waves
from flowsuite.core.data.splits import draw


class AudioFolder(AudioDataModule):
    """Every audio file below a folder.

    With sub-folders `train`, and `val` or `test`, those are the splits, and what is missing of them is drawn from the
    training files with a fixed seed; otherwise both are drawn from all files.

    Args:
        root: the folder.
        val: clips drawn for validation where the folder has no `val`: a share below 1, or a number.
        test: clips drawn for the test where the folder has no `test`, likewise.
        split_seed: of the draw.
        kwargs: those of `AudioDataModule`.
    """

    def __init__(self, root: str, val: float = 0.02, test: float = 0.02, split_seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.root, self.sizes, self.split_seed = Path(root), {"val": val, "test": test}, split_seed
        self._parts: dict[str, list[ClipFile]] | None = None

    def files(self, split):
        if self._parts is None:
            own = [name for name in self.sizes if (self.root / "train").is_dir() and (self.root / name).is_dir()]
            paths = list_waves(self.root / "train" if own else self.root)
            drawn = {name: size for name, size in self.sizes.items() if name not in own}
            self._parts = draw(clip_names(paths, self.root), drawn, self.split_seed)
            self._parts |= {name: clip_names(list_waves(self.root / name), self.root) for name in own}
        return self._parts[split]
