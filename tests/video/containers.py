"""Writes a few videos in each container that the data sets are distributed in."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from tests.tfrecords import example, record


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def bair_example(aux1: np.ndarray, main: np.ndarray) -> bytes:
    """Two views (T, 64, 64, 3) as softmotion30_44k has them, with actions and states."""
    features: dict[str, bytes | list[float]] = {}
    for i in range(len(aux1)):
        features[f"{i}/action"] = [0.1, 0.2, 0.3, 0.4]
        features[f"{i}/endeffector_pos"] = [1.0, 2.0, 3.0]
        features[f"{i}/image_aux1/encoded"] = aux1[i].tobytes()
        features[f"{i}/image_main/encoded"] = main[i].tobytes()
    return example(features)


def write_bair(root: Path, files: int = 4, records: int = 2, frames: int = 15) -> dict[str, np.ndarray]:
    """File name -> (records, 2 views, T, 64, 64, 3)."""
    from google_crc32c import value  # the bitwise one takes seconds for these files

    written = {}
    for part, count in (("train", files), ("test", 1)):
        folder = root / "softmotion30_44k" / part
        folder.mkdir(parents=True)
        for k in range(count):
            name = f"traj_{k * records}_to_{(k + 1) * records - 1}.tfrecords"
            videos = pixels(records, 2, frames, 64, 64, 3, seed=k + 100 * (part == "test"))
            data = b"".join(record(bair_example(*video), value) for video in videos)
            (folder / name).write_bytes(data)
            written[f"{part}/{name}"] = videos
    return written


def write_video(path: Path, frames: np.ndarray, codec: str = "ffv1") -> None:
    """(T, H, W, 3) uint8 as a video file; FFV1 loses nothing."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_pictures(folder: Path, frames: np.ndarray) -> None:
    """(T, H, W, 3) as SVG's `<i>.png`."""
    from PIL import Image

    folder.mkdir(parents=True)
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{i}.png")


def write_mnist(root: Path, train: int = 5010, test: int = 10) -> dict[str, np.ndarray]:
    """MNIST's image files in the IDX format."""
    root.mkdir(parents=True, exist_ok=True)
    written = {"train": pixels(train, 28, 28), "t10k": pixels(test, 28, 28, seed=1)}
    for prefix, images in written.items():
        header = struct.pack(">4i", 2051, *images.shape)
        (root / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
    return written
