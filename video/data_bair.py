"""BAIR robot pushing, straight from its TFRecords."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.data.tfrecord import parse_example, read_record, record_offsets
from flowsuite.video.data_base import Clip, Clips, VideoDataModule

SIZE = 64
CAMERAS = {"aux1": "image_aux1", "main": "image_main"}
REFERENCE_FRAMES = 13  # what the official code ever sees of a video


class BairClips(Clips):
    """The records of some files, each a video of 64x64 RGB frames; a record is read and checked when it is asked for.

    Args:
        paths: the files.
        camera: "aux1" or "main".
        first: take only so many frames of every video; None: all.
    """

    shape = (3, SIZE, SIZE)

    def __init__(self, paths: list[Path], camera: str = "aux1", first: int | None = None):
        self.paths, self.camera, self.first = paths, CAMERAS[camera], first
        rows = []
        for file, path in enumerate(paths):
            offsets = record_offsets(path, check=True)
            if not offsets:
                raise ValueError(f"{path}: holds no records, an empty file: is its download complete?")
            rows += [(file, record, offset, length) for record, (offset, length) in enumerate(offsets)]
        self.records = np.array(rows, np.int64)

    def __len__(self):
        return len(self.records)

    def clip(self, i):
        file, record, offset, length = (int(n) for n in self.records[i])
        name = f"{self.paths[file]}, record {record}"
        data = read_record(self.paths[file], offset, length, name)
        try:
            features = parse_example(data)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{name}: not a tf.train.Example ({error})") from None
        frames = self.frames(features, name)[: self.first]

        def read(start: int, num_frames: int) -> Tensor:
            pixels = np.frombuffer(b"".join(frames[start : start + num_frames]), np.uint8)
            pixels = pixels.reshape(-1, SIZE, SIZE, 3).transpose(0, 3, 1, 2)
            return torch.from_numpy(np.ascontiguousarray(pixels))

        return Clip(name, len(frames), read)

    def frames(self, features: dict, name: str) -> list[bytes]:
        """The raw frames of a record, in the order of their numbers."""
        frames = []
        while (pixels := features.get(f"{len(frames)}/{self.camera}/encoded")) is not None:
            if not isinstance(pixels, bytes) or len(pixels) != 3 * SIZE**2:
                got = f"{len(pixels)} bytes" if isinstance(pixels, bytes) else "numbers"
                raise ValueError(
                    f"{name}: expected {3 * SIZE**2} bytes of {SIZE}x{SIZE} RGB in frame {len(frames)}, got {got}"
                )
            frames.append(pixels)
        if not frames:
            raise ValueError(f"{name}: has no frames 0/{self.camera}/encoded, expected a record of softmotion30_44k")
        return frames


class BAIR(VideoDataModule):
    """BAIR robot pushing (Ebert et al. 2017, arXiv 1710.05268), action-free: 43,264 train and 256 test videos of 30
    frames, 64x64 RGB.

    Files: `softmotion30_44k/{train,test}/*.tfrecords`, or `{train,test}/*.tfrecords`, in `root`: what
    `bair_robot_pushing_dataset_v0.tar` unpacks to. Checksums are compared as records are read. The validation split
    are the last train files by name.

    Windows start at any of the 30 frames in training, at the first one in evaluation. Always say context and predicted
    frames beside a figure: VideoFlow's has 3 and 10 (`context_frames: 3`, `num_frames: 13`), other papers score 2 and
    14, 2 and 28, or 1 and 15.

    Args:
        root: folder of the data set.
        camera: "aux1", the view that is used everywhere, or "main".
        reference: see only the first 13 frames of every video, as the official code does.
        val_files: train files kept for validation, the last ones by name (256 videos in each).
        kwargs: those of `VideoDataModule`.
    """

    def __init__(self, root: str = "data", camera: str = "aux1", reference: bool = False, val_files: int = 2, **kwargs):
        super().__init__(**kwargs)
        if camera not in CAMERAS:
            raise ValueError(f"camera must be one of {', '.join(CAMERAS)}, got {camera!r}")
        if val_files < 1:
            raise ValueError(f"val_files must be at least 1, got {val_files}")
        self.root, self.camera, self.reference, self.val_files = Path(root), camera, reference, val_files

    def files(self, split: str) -> list[Path]:
        """The files of a split, by name."""
        part = "test" if split == "test" else "train"
        folders = [self.root / "softmotion30_44k" / part, self.root / part]
        folder = next((folder for folder in folders if folder.is_dir()), None)
        if folder is None:
            raise FileNotFoundError(f"{folders[0]} not found: unpack bair_robot_pushing_dataset_v0.tar in {self.root}")
        paths = sorted(folder.glob("*.tfrecords"))
        if split == "test" and paths:
            return paths
        if len(paths) <= (0 if split == "test" else self.val_files):
            raise FileNotFoundError(
                f"{folder} holds {len(paths)} files *.tfrecords: expected more than {self.val_files}"
            )
        return paths[-self.val_files :] if split == "val" else paths[: -self.val_files]

    def make_clips(self, split):
        return BairClips(self.files(split), self.camera, REFERENCE_FRAMES if self.reference else None)
