"""The readers of `flowsuite.video`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from flowsuite.video.data_bair import BairClips
from flowsuite.video.data_folder import VideoArray
from flowsuite.video.data_mnist import SequenceFile, mnist_images
from flowsuite.video.gif import write_gif
from flowsuite.video.metrics.networks import load_i3d, load_vgg
from flowsuite.video.video_files import ClipReader
from tests.fuzz.harness import Reader
from tests.tfrecords import record
from tests.video.containers import bair_example, pixels, write_mnist, write_pictures, write_video

VIDEO = pixels(5, 16, 20, 3)
READ = ClipReader(size=(8, 8))


def all_frames(clips) -> list[torch.Tensor]:
    """Every frame of every clip."""
    found = [clips.clip(i) for i in range(len(clips))]
    return [clip.read(0, clip.length) for clip in found]


def write_bair(checksum: Callable[[bytes], int] | None) -> Callable[[Path], None]:
    views = pixels(2, 2, 64, 64, 3)
    return lambda path: path.write_bytes(record(bair_example(*views), checksum))


def crc32c(data: bytes) -> int:
    from google_crc32c import value

    return value(data)


def video(codec: str) -> Callable[[Path], None]:
    return lambda path: write_video(path, VIDEO, codec)


def write_gif_file(path: Path) -> None:
    write_gif(path, torch.from_numpy(VIDEO[:3]).permute(0, 3, 1, 2))


def parts(path: Path) -> list[torch.Tensor]:
    return all_frames(VideoArray(str(path), val=1, test=1).make_clips("train"))


READERS = [
    Reader("clip npy", "a.npy", lambda path: np.save(path, VIDEO), READ),
    Reader("clip npz", "a.npz", lambda path: np.savez(path, frames=VIDEO), READ),
    Reader("clip gif", "a.gif", write_gif_file, READ),
    Reader("clip avi", "a.avi", video("ffv1"), READ, share=0.5),
    Reader("clip mp4", "a.mp4", video("mpeg4"), READ, share=0.5),
    Reader("clip mkv", "a.mkv", video("mpeg4"), READ, share=0.5),
    Reader("clip of pictures", "a/0.png", lambda path: pictures(path), lambda path: READ(path.parent)),
    Reader("videos npy", "a.npy", lambda path: np.save(path, VIDEO[None].repeat(4, 0)), parts),
    Reader("videos npz", "a.npz", lambda path: np.savez(path, train_videos=VIDEO[None].repeat(4, 0)), parts),
    Reader("BAIR", "train/a.tfrecords", write_bair(crc32c), lambda path: all_frames(BairClips([path]))),
    Reader(
        "moving MNIST",
        "mnist_test_seq.npy",
        lambda path: np.save(path, pixels(3, 2, 8, 8)),
        lambda path: all_frames(SequenceFile(path)),
    ),
    Reader(
        "MNIST",
        "t10k-images-idx3-ubyte",
        lambda path: write_mnist(path.parent, train=1, test=3),
        lambda path: mnist_images(path.parent, "test"),
    ),
    Reader("I3D", "i3d.pt", lambda path: torch.jit.script(torch.nn.Linear(2, 2)).save(str(path)), load_i3d, share=0.5),
    Reader("VGG", "vgg.pt", lambda path: torch.jit.script(torch.nn.Linear(2, 2)).save(str(path)), load_vgg, share=0.5),
]


def pictures(path: Path) -> None:
    path.parent.rmdir()
    write_pictures(path.parent, VIDEO[:2])
