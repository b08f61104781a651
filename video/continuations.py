"""What `flowsuite sample` makes with a video model: continuations of given clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from flowsuite.core.training.files import write_npz
from flowsuite.core.training.pictures import write_png

if TYPE_CHECKING:
    from flowsuite.video.module import VideoModule

SHEET_ROWS = 16
FILES = (".npy", ".npz", ".gif", ".mp4", ".avi", ".mov", ".mkv", ".webm")


class Continued(NamedTuple):
    """Videos, their first frames given.

    Attributes:
        videos: (N, T, C, H, W) uint8.
        given: how many frames of each were given.
        fps: to show them at.
    """

    videos: Tensor
    given: int
    fps: float


def continue_clips(
    module: VideoModule,
    n: int,
    context: Tensor | None,
    temperature: float,
    generator: torch.Generator | None,
    clips: str | None,
    frames: int | None,
    given: int | None,
    each: int,
    first: int,
) -> Continued:
    """See `VideoModule.generate`."""
    frames = module.num_frames - module.context_frames if frames is None else frames
    given = module.context_frames if given is None else given
    if frames < 1 or given < 0 or each < 1:
        raise ValueError(f"expected frames and each >= 1 and given >= 0, got {frames}, {each}, {given}")
    if clips is not None:
        context = read_clips(module, clips, given, range(first, first + n), each)
    if context is None:
        return unconditional(module, n, frames, temperature, generator)
    if context.shape[0] != n or context.shape[1] < 1:
        raise ValueError(f"expected given frames of {n} videos, got {tuple(context.shape)}")
    module.check_given(context.shape[1])
    context = context.to(module.device)
    together = each if n % each == 0 and first % each == 0 else 1  # so many neighbours share a context
    x = module.dequantize(context[::together], generator)
    found = module.flow.sample(x, frames, together, temperature, generator).flatten(0, 1)
    return Continued(torch.cat((context, module.quantize(found)), dim=1), context.shape[1], speed(frames))


def unconditional(module: VideoModule, n: int, frames: int, temperature: float, generator) -> Continued:
    if module.train_context:
        raise ValueError(
            f"this model was trained to continue videos from {module.train_context} frames: say which with --clips"
        )
    found = module.flow.sample(None, frames, 1, temperature, generator, batch=n)[:, 0]
    return Continued(module.quantize(found), 0, speed(frames))


def speed(frames: int) -> float:
    return 2.0 if frames < 8 else 8.0


def read_clips(module: VideoModule, clips: str, given: int, numbers: range, each: int) -> Tensor:
    """The first `given` frames of the clips of samples with these numbers: (N, given, C, H, W) uint8.

    Args:
        module: decides on the shape of frames.
        clips: a video (file or folder of numbered pictures), an array of videos, a folder of videos, a data module
            by name, or a recipe, of which the test clips are taken.
        given: frames.
        numbers: of the samples; the clips are taken in turn.
        each: neighbouring samples of one clip.
    """
    if given < 1:
        raise ValueError("--given must be at least 1 with --clips")
    dataset = clip_set(module, clips)
    wanted = [(i // each) % len(dataset) for i in numbers]
    distinct = sorted(set(wanted))
    found = dataset.windows(distinct, given, 0).frames
    if tuple(found.shape[2:]) != module.flow.video_shape:
        raise ValueError(
            f"{clips}: frames are {tuple(found.shape[2:])}, the model wants {module.flow.video_shape} (C, H, W)"
        )
    return found[[distinct.index(i) for i in wanted]]


def clip_set(module: VideoModule, clips: str, split: str = "test", options: str = "{}"):
    """The `Clips` that a name or path stands for; of a data module, with `options` as JSON, those of a split."""
    from flowsuite.core.training.inputs import data_module
    from flowsuite.video import data
    from flowsuite.video.data_folder import FileClips
    from flowsuite.video.video_files import ClipReader, list_clips

    path = Path(clips)
    channels, height, width = module.flow.video_shape
    reader = ClipReader(channels, (height, width))
    if path.is_dir():
        return FileClips(list_clips(path), reader, 2**32)
    if path.suffix.lower() in FILES:
        if not path.is_file():
            raise FileNotFoundError(f"no video at {path}")
        return FileClips([path], reader, 2**32)
    modules = {name: getattr(data, name) for name in data.__all__ if name not in ("VideoBatch", "VideoDataModule")}
    return data_module(clips, options, modules, "flowsuite.video.data", "a video file, a folder").clips(split)


def save_continued(samples: Continued, out: Path, first: int) -> list[Path]:
    """`000012.gif` for sample number 12; all of the batch in `samples_<first>.npz` and, some, in `samples_<first>.png`.

    The array `samples` (N, T, C, H, W) holds given and generated frames, the number `given` says how many are given.
    """
    from flowsuite.video.gif import contact_sheet, with_border, write_gif

    videos = samples.videos.cpu()
    paths = [Path(out) / f"samples_{first:06d}.{kind}" for kind in ("npz", "png")]
    write_npz(paths[0], samples=videos.numpy(), given=torch.tensor(samples.given).numpy())
    shown = list(videos[:SHEET_ROWS])
    write_png(paths[1], contact_sheet(shown, [samples.given] * len(shown)))
    for number, video in enumerate(videos, first):
        paths.append(write_gif(Path(out) / f"{number:06d}.gif", with_border(video, samples.given), samples.fps))
    return paths
