"""Moving MNIST: made on the fly from MNIST or scikit-learn's digits, and the test file of the classic version."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.core.data.idx import read_idx
from flowsuite.core.training.files import find_file
from flowsuite.core.training.numpy_files import map_npy
from flowsuite.core.training.seeding import fold_seed
from flowsuite.video.data_base import Clip, Clips, VideoBatch, VideoDataModule
from flowsuite.video.moving_mnist import moving_digits

DIGIT = 32  # side of a digit in SVG's videos
VALIDATION = 5000  # training images of MNIST that only validation videos show
SKLEARN = {"train": (0, 1297), "val": (1297, 1497), "test": (1497, 1797)}


def resize(images: Tensor, side: int) -> Tensor:
    """(N, H, W) uint8 to (N, side, side), bilinear."""
    size = (side, side)
    resized = F.interpolate(images[:, None].float(), size, mode="bilinear", antialias=True, align_corners=False)
    return resized[:, 0].round().clamp(0, 255).to(torch.uint8)


def mnist_images(root: Path, split: str) -> Tensor:
    """(N, 28, 28) digits of a split; those of "train" and "val" are of MNIST's training part."""
    prefix = "t10k" if split == "test" else "train"
    names = [f"{folder}{prefix}-images-idx3-ubyte{gz}" for folder in ("", "MNIST/raw/", "raw/") for gz in ("", ".gz")]
    path = find_file(root, names, "set root to the folder of the MNIST files, or to null for scikit-learn's digits")
    images = read_idx(path)
    if images.ndim != 3 or (split != "test" and len(images) <= VALIDATION):
        raise ValueError(f"{path}: expected more than {VALIDATION} images (N, H, W), got shape {images.shape}")
    part = {"train": slice(None, -VALIDATION), "val": slice(-VALIDATION, None), "test": slice(None)}[split]
    return torch.from_numpy(images[part].copy())


def sklearn_images(split: str) -> Tensor:
    """(N, 8, 8) digits of a split: 1,297 train, 200 val and 300 test ones of a fixed shuffle."""
    from sklearn.datasets import load_digits

    images = torch.from_numpy((load_digits().images * 16).clip(0, 255).astype(np.uint8))
    first, last = SKLEARN[split]
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[first:last]]


class DigitClips(Clips):
    """Videos of moving digits, number 0 to `count - 1` of a seed; a whole batch is made at once."""

    def __init__(self, images: Tensor, count: int, length: int, seed: int, pixels: int, **motion):
        self.images, self.count, self.length, self.seed = images, count, length, seed
        self.pixels, self.motion = pixels, motion

    def __len__(self):
        return self.count

    @property
    def shape(self):
        return 1, self.pixels, self.pixels

    def make(self, indices, num_frames: int, start: Tensor | int) -> Tensor:
        arguments = (self.images, self.seed, indices, num_frames, start, self.length, self.pixels)
        return moving_digits(*arguments, **self.motion)

    def clip(self, i):
        return Clip(f"moving digits {i}", self.length, lambda start, num: self.make([i], num, start)[0])

    def windows(self, indices, num_frames, start):
        room = self.room(f"moving digits {indices[0]}", self.length, num_frames, start)
        first = torch.randint(room, (len(indices),)) if start is None else start
        frames = self.make(indices, num_frames, first)
        return VideoBatch(frames, torch.full((len(indices),), -1))


class SequenceFile(Clips):
    """`mnist_test_seq.npy`: uint8 (20, 10000, 64, 64), frames first; read piece by piece."""

    def __init__(self, path: Path):
        self.path, self.array = path, map_npy(path)
        if self.array.ndim != 4 or self.array.dtype != np.uint8 or not self.array.size:
            got = f"{self.array.dtype} {self.array.shape}"
            raise ValueError(f"{path}: expected uint8 (frames, videos, H, W), got {got}")

    def __len__(self):
        return self.array.shape[1]

    def clip(self, i):
        def read(start: int, num_frames: int) -> Tensor:
            return torch.from_numpy(self.array[start : start + num_frames, i].copy())[:, None]

        return Clip(f"{self.path}, video {i}", len(self.array), read)


class MovingMNIST(VideoDataModule):
    """Stochastic Moving MNIST (SVG, arXiv 1802.07687): 32x32 digits on 64x64 black, grey level.

    Videos are a function of (`seed`, split, number), and the splits show different digits. SVG trains on 5 context and
    10 predicted frames and tests on 25: `num_frames: 15`, `eval_frames: 30`.

    Args:
        root: folder of MNIST's `*-images-idx3-ubyte[.gz]` (or with `MNIST/raw`); None takes scikit-learn's 8x8 digits,
            which need no download.
        digits: in a video.
        deterministic: digits are reflected at walls, so that nothing is random after two frames.
        test_file: `mnist_test_seq.npy` of the classic Moving MNIST (20 frames), to test on.
        clip_frames: frames of a clip, of which windows are cut; None: as many as the longest window.
        videos, val_videos, test_videos: in each split.
        pixels: height and width.
        seed: of the set.
        kwargs: those of `VideoDataModule`.
    """

    def __init__(
        self,
        root: str | None = None,
        digits: int = 2,
        deterministic: bool = False,
        test_file: str | None = None,
        clip_frames: int | None = None,
        videos: int = 50000,
        val_videos: int = 500,
        test_videos: int = 1000,
        pixels: int = 64,
        seed: int = 0,
        num_frames: int = 15,
        context_frames: int = 5,
        **kwargs,
    ):
        super().__init__(num_frames=num_frames, context_frames=context_frames, **kwargs)
        counts = {"train": videos, "val": val_videos, "test": test_videos}
        for name, value in {"digits": digits, **counts}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if pixels <= DIGIT:
            raise ValueError(f"pixels must be above the {DIGIT} of a digit, got {pixels}")
        self.root, self.test_file = None if root is None else Path(root), test_file
        self.counts, self.pixels, self.seed = counts, pixels, seed
        self.clip_frames = self.longest_window if clip_frames is None else clip_frames
        self.motion = {"digits": digits, "deterministic": deterministic}

    def make_clips(self, split):
        if split == "test" and self.test_file is not None:
            return SequenceFile(Path(self.test_file))
        images = sklearn_images(split) if self.root is None else mnist_images(self.root, split)
        seed = fold_seed(self.seed, "moving digits", split)
        return DigitClips(resize(images, DIGIT), self.counts[split], self.clip_frames, seed, self.pixels, **self.motion)
