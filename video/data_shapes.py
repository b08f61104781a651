"""The embedded data set: moving shapes, drawn when asked for."""

from __future__ import annotations

import torch

from flowsuite.core.training.seeding import fold_seed
from flowsuite.video.data_base import Clip, Clips, VideoBatch, VideoDataModule
from flowsuite.video.shapes import BACKGROUNDS, Shapes, draw_shapes, render


class ShapeClips(Clips):
    """Moving shapes number 0 to `count - 1` of a seed; a whole batch is drawn at once.

    Args:
        count: videos.
        length: frames of each.
        seed: of the set.
        pixels, background, speed, supersample: as `render` has them.
    """

    def __init__(self, count: int, length: int, seed: int, pixels: int, **look):
        self.count, self.length, self.seed, self.pixels, self.look = count, length, seed, pixels, look

    def __len__(self):
        return self.count

    @property
    def shape(self):
        return 3, self.pixels, self.pixels

    def shapes(self, indices) -> Shapes:
        """What moves in these videos."""
        return draw_shapes(self.seed, indices)

    def clip(self, i):
        def read(start: int, num_frames: int) -> torch.Tensor:
            return render(shapes, num_frames, start, self.pixels, **self.look)[0]

        shapes = self.shapes([i])
        return Clip(f"shape {i}", self.length, read, int(shapes.direction))

    def windows(self, indices, num_frames, start):
        room = self.room(f"shape {indices[0]}", self.length, num_frames, start)
        shapes = self.shapes(indices)
        first = torch.randint(room, (len(indices),)) if start is None else start
        frames = render(shapes, num_frames, first, self.pixels, **self.look)
        return VideoBatch(frames, shapes.direction)


class MovingShapes(VideoDataModule):
    """The Stochastic Movement Dataset: a shape of random kind, colour and size that starts in the middle and moves in
    one of eight directions (`VideoBatch.label`), see `flowsuite.video.shapes`. Nothing to download.

    Videos are a function of (`seed`, split, number) alone. What cannot be predicted of a video from its first frame
    are the 3 bits of the direction.

    Args:
        pixels: height and width.
        clip_frames: frames of a clip, of which windows are cut; None: as many as the longest window. The official
            generator makes 5: from the sixth frame on shapes begin to leave the picture.
        background: "black" as in the official generator, or "grey" (128) as in the paper.
        speed: units (a tenth of the picture) per frame along an axis.
        videos, val_videos, test_videos: in each split.
        seed: of the set.
        supersample: lines in a row of pixels, for smooth edges.
        kwargs: those of `VideoDataModule`.
    """

    def __init__(
        self,
        pixels: int = 64,
        clip_frames: int | None = None,
        background: str = "black",
        speed: float = 1.0,
        videos: int = 10000,
        val_videos: int = 500,
        test_videos: int = 500,
        seed: int = 0,
        supersample: int = 8,
        num_frames: int = 3,
        context_frames: int = 1,
        **kwargs,
    ):
        super().__init__(num_frames=num_frames, context_frames=context_frames, **kwargs)
        if background not in BACKGROUNDS:
            raise ValueError(f"background must be one of {', '.join(BACKGROUNDS)}, got {background!r}")
        counts = {"train": videos, "val": val_videos, "test": test_videos}
        for name, value in {"pixels": pixels, "supersample": supersample, **counts}.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.pixels, self.counts, self.seed = pixels, counts, seed
        self.clip_frames = self.longest_window if clip_frames is None else clip_frames
        self.look = {"background": background, "speed": speed, "supersample": supersample}

    def make_clips(self, split):
        return ShapeClips(
            self.counts[split], self.clip_frames, fold_seed(self.seed, "shapes", split), self.pixels, **self.look
        )
