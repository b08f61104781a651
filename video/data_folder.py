"""Your own videos: folders of clips, arrays of clips; and KTH, which is such a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from flowsuite.core.data.splits import draw
from flowsuite.core.training.numpy_files import GIB, load_npz, map_npy
from flowsuite.video.arrays import channels_first, to_tensor
from flowsuite.video.data_base import Clip, Clips, VideoDataModule
from flowsuite.video.video_files import ClipReader, list_clips


class FileClips(Clips):
    """Clips that are decoded when they are asked for, and kept as long as there is room.

    Args:
        paths: of the clips.
        read: path to (T, C, H, W) uint8.
        most: bytes of decoded frames that are kept; beyond that a clip is decoded each time.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[Path], Tensor], most: int = 4 * GIB):
        self.paths, self.read, self.left = list(paths), read, most
        self.kept: dict[int, Tensor] = {}

    def __len__(self):
        return len(self.paths)

    def frames(self, i: int) -> Tensor:
        if i in self.kept:
            return self.kept[i]
        video = self.read(self.paths[i])
        if video.numel() <= self.left:
            self.kept[i] = video
            self.left -= video.numel()
        return video

    def clip(self, i):
        video = self.frames(i)
        return Clip(str(self.paths[i]), len(video), lambda start, num: video[start : start + num])


class ArrayClips(Clips):
    """Some clips of one array.

    Args:
        array: (N, T, C, H, W) uint8, in memory or mapped.
        name: for messages.
        rows: which of the N.
    """

    def __init__(self, array: np.ndarray, name: str, rows: Sequence[int] | None = None):
        self.array, self.name, self.rows = array, name, range(len(array)) if rows is None else rows

    def __len__(self):
        return len(self.rows)

    def clip(self, i):
        video = self.array[self.rows[i]]
        return Clip(
            f"{self.name}, video {self.rows[i]}", len(video), lambda start, num: to_tensor(video[start : start + num])
        )


class VideoFolder(VideoDataModule):
    """Every clip below a folder: videos (through the package av), GIFs, `.npy` and `.npz` of one clip each, and folders
    of numbered pictures such as SVG's `processed_data/{train,test}/<file>/<k>/<i>.png`.

    With sub-folders `train`, and `val` or `test`, those are the splits, and what is missing of them is drawn from the
    training clips with a fixed seed; otherwise both are drawn from all clips.

    Args:
        root: the folder.
        size: height and width that frames are brought to: one number, or both; None keeps them.
        channels: 1 (grey) or 3 (RGB).
        crop: scale the shorter side and cut out the middle; otherwise squeeze the picture into shape.
        stride: take every so many-th frame.
        val, test: clips drawn for these splits where the folder has none: a share below 1, or a number.
        split_seed: of the draw.
        in_memory: GiB of decoded frames that a split may keep.
        kwargs: those of `VideoDataModule`.
    """

    def __init__(
        self,
        root: str,
        size: int | list[int] | None = 64,
        channels: int = 3,
        crop: bool = True,
        stride: int = 1,
        val: float = 0.05,
        test: float = 0.05,
        split_seed: int = 0,
        in_memory: float = 4.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.root, self.shares, self.split_seed = Path(root), {"val": val, "test": test}, split_seed
        self.in_memory = in_memory
        size = (size, size) if isinstance(size, int) else size
        if size is not None and len(size) != 2:
            raise ValueError(f"size must be one number or height and width, got {list(size)}")
        self.reader = ClipReader(channels, None if size is None else tuple(size), crop, stride)
        self._parts: dict[str, list[Path]] | None = None

    def parts(self) -> dict[str, list[Path]]:
        """The clips of every split."""
        own = [name for name in self.shares if (self.root / "train").is_dir() and (self.root / name).is_dir()]
        paths = list_clips(self.root / "train" if own else self.root)
        drawn = {name: share for name, share in self.shares.items() if name not in own}
        return draw(paths, drawn, self.split_seed) | {name: list_clips(self.root / name) for name in own}

    def make_clips(self, split):
        if self._parts is None:
            self._parts = self.parts()
        return FileClips(self._parts[split], self.reader, int(self.in_memory * GIB))


PERSONS = {"train": range(1, 17), "val": range(17, 21), "test": range(21, 26)}


class KTH(VideoFolder):
    """KTH actions (Schuldt et al. 2004): 25 persons, six actions, grey, 160x120 at 25 frames per second.

    Files: `person<NN>_<action>_d<k>_uncomp.avi`, anywhere in `root`. Persons 21 to 25 are the test split, as in SVG
    (arXiv 1802.07687), and 17 to 20 are kept for validation.

    Args:
        root: folder of the data set.
        actions: words that the file names have one of, such as ["walking"]; None takes all.
        kwargs: those of `VideoFolder`; frames are grey, and squeezed to 64x64.
    """

    def __init__(
        self,
        root: str = "data",
        actions: list[str] | None = None,
        channels: int = 1,
        crop: bool = False,
        num_frames: int = 20,
        context_frames: int = 10,
        **kwargs,
    ):
        super().__init__(
            root, channels=channels, crop=crop, num_frames=num_frames, context_frames=context_frames, **kwargs
        )
        self.actions = actions

    def parts(self):
        found = {split: [] for split in PERSONS}
        for path in list_clips(self.root):
            match = re.match(r"person(\d\d)_", path.name)
            if match and (self.actions is None or any(action in path.name for action in self.actions)):
                split = next((name for name, numbers in PERSONS.items() if int(match[1]) in numbers), None)
                if split:
                    found[split].append(path)
        for split, paths in found.items():
            if not paths:
                numbers = PERSONS[split]
                raise FileNotFoundError(
                    f"{self.root}: no videos of persons {numbers[0]} to {numbers[-1]} ({split}), expected files such "
                    "as person01_walking_d1_uncomp.avi"
                )
        return found


class VideoArray(VideoDataModule):
    """Clips in one file: `.npz` with `train_videos`, and if at hand `val_videos` and `test_videos`; or one array in a
    `.npz` or `.npy`. Splits that are not there are drawn from the training clips.

    Videos are uint8 (N, T, H, W), (N, T, H, W, C) or (N, T, C, H, W). A `.npy` stays on disk.

    Args:
        path: the file; pickled objects in it are refused.
        val, test: clips drawn for these splits where the file has none: a share below 1, or a number.
        split_seed: of the draw.
        time_first: the first two axes are frames and videos, as in Moving MNIST's test file.
        max_gib: what a `.npz` may expand to.
        kwargs: those of `VideoDataModule`.
    """

    def __init__(
        self,
        path: str,
        val: float = 0.05,
        test: float = 0.05,
        split_seed: int = 0,
        time_first: bool = False,
        max_gib: float = 16.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.path, self.shares, self.split_seed = Path(path), {"val": val, "test": test}, split_seed
        self.time_first, self.max_gib = time_first, max_gib
        self._parts: dict[str, ArrayClips] | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the file, one of them called "train_videos"."""
        if self.path.suffix.lower() == ".npy":
            return {"train_videos": map_npy(self.path)}
        arrays = load_npz(self.path, int(self.max_gib * GIB))
        if len(arrays) == 1:
            return {"train_videos": next(iter(arrays.values()))}
        if "train_videos" not in arrays:
            raise ValueError(f"{self.path}: no array train_videos, it has {', '.join(arrays) or 'none'}")
        return arrays

    def parts(self) -> dict[str, ArrayClips]:
        """The clips of every split."""
        arrays = {}
        for name, array in self.arrays().items():
            array = np.swapaxes(array, 0, 1) if self.time_first and array.ndim > 3 else array
            arrays[name] = channels_first(array, f"{self.path} ({name})", 5)
        missing = {name: share for name, share in self.shares.items() if f"{name}_videos" not in arrays}
        rows = draw(range(len(arrays["train_videos"])), missing, self.split_seed)
        return {
            split: ArrayClips(arrays["train_videos"], str(self.path), rows[split])
            if split in rows
            else ArrayClips(arrays[f"{split}_videos"], f"{self.path} ({split}_videos)")
            for split in ("train", "val", "test")
        }

    def make_clips(self, split):
        if self._parts is None:
            self._parts = self.parts()
        return self._parts[split]
