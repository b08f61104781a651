"""Base of the video data modules: sets of clips, and the windows of frames that are cut from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from flowsuite.core.training.data import FlowDataModule

UNKNOWN = -1


class VideoBatch(NamedTuple):
    """Videos of one length, as a loader hands them out.

    Attributes:
        frames: (B, T, C, H, W) uint8 with values 0..255.
        label: (B,) int64, the direction 0..7 of a moving shape; -1 where there is none.
    """

    frames: Tensor
    label: Tensor


class Clip(NamedTuple):
    """One clip of a set.

    Attributes:
        name: for messages: file, and record or frame folder in it.
        length: frames.
        read: from (first frame, number of frames) to (number, C, H, W) uint8.
        label: direction 0..7, or -1.
    """

    name: str
    length: int
    read: Callable[[int, int], Tensor]
    label: int = UNKNOWN


class Clips:
    """A set of clips whose frames have one shape; a data set overrides `__len__`, `clip` and `shape`."""

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__()")

    def clip(self, i: int) -> Clip:
        raise NotImplementedError(f"{type(self).__name__} must define clip(i)")

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every frame: of the first clip's, unless the set knows better."""
        return tuple(self.clip(0).read(0, 1).shape[1:])

    def windows(self, indices: Sequence[int], num_frames: int, start: int | None) -> VideoBatch:
        """`num_frames` frames of each of these clips, from frame `start` on, or from a frame drawn at random if None.

        Raises:
            ValueError: a clip is too short, or its frames are not uint8 of the set's shape; it is named.
        """
        clips = [self.clip(i) for i in indices]
        starts = []
        for clip in clips:
            room = self.room(clip.name, clip.length, num_frames, start)
            starts.append(int(torch.randint(room, ())) if start is None else start)
        videos = [clip.read(first, num_frames) for clip, first in zip(clips, starts, strict=True)]
        wanted = (num_frames, *self.shape)
        for clip, video in zip(clips, videos, strict=True):
            if video.dtype != torch.uint8 or tuple(video.shape) != wanted:
                got = f"{video.dtype} {tuple(video.shape)}"
                raise ValueError(f"{clip.name}: expected uint8 frames {wanted} (T, C, H, W), got {got}")
        return VideoBatch(torch.stack(videos), torch.tensor([clip.label for clip in clips]))

    @staticmethod
    def room(name: str, length: int, num_frames: int, start: int | None) -> int:
        """How many first frames a window may have.

        Raises:
            ValueError: the clip is too short for it, or for one that begins at `start`; `name` is in the message.
        """
        needed = num_frames + (start or 0)
        if length < needed:
            raise ValueError(f"{name}: the clip has {length} frames, fewer than the {needed} of the window")
        return length - num_frames + 1


class WindowSet(Dataset):
    """Windows of the clips of a set, one of each clip; a batch is a `VideoBatch`.

    Args:
        clips: the set.
        num_frames: of each window.
        start: first frame of the windows, None for a random one (drawn from torch's generator, which loaders seed).
    """

    def __init__(self, clips: Clips, num_frames: int, start: int | None = 0):
        self.clips, self.num_frames, self.start = clips, num_frames, start

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, i: int) -> VideoBatch:
        return VideoBatch(*(field[0] for field in self.__getitems__([i])))

    def __getitems__(self, indices: Sequence[int]) -> VideoBatch:
        return self.clips.windows(indices, self.num_frames, self.start)


class VideoDataModule(FlowDataModule):
    """`VideoBatch`es of windows; a data set overrides `make_clips(split)`.

    Args:
        batch_size: videos per process and step.
        num_workers: worker processes of each loader; 0 loads in the training process.
        num_frames: frames of a training window, context included.
        context_frames: how many of them are given; evaluation scores the others.
        eval_frames: frames of the windows of "val" and "test"; None: `num_frames`.
        random_start: whether training windows start anywhere in their clip, or at its first frame.
        eval_start: first frame of the windows of "val" and "test".
    """

    def __init__(
        self,
        batch_size: int = 16,
        num_workers: int = 0,
        num_frames: int = 13,
        context_frames: int = 3,
        eval_frames: int | None = None,
        random_start: bool = True,
        eval_start: int = 0,
    ):
        super().__init__(batch_size, num_workers)
        eval_frames = num_frames if eval_frames is None else eval_frames
        if min(num_frames, eval_frames) < 1 or not 0 <= context_frames < min(num_frames, eval_frames):
            got = f"context_frames {context_frames}, num_frames {num_frames}, eval_frames {eval_frames}"
            raise ValueError(f"expected 0 <= context_frames < num_frames and eval_frames, got {got}")
        if eval_start < 0:
            raise ValueError(f"eval_start must be at least 0, got {eval_start}")
        self.num_frames, self.context_frames, self.eval_frames = num_frames, context_frames, eval_frames
        self.random_start, self.eval_start = random_start, eval_start
        self._clips: dict[str, Clips] = {}

    @property
    def longest_window(self) -> int:
        """Frames that a clip needs for the windows of every split."""
        return max(self.num_frames, self.eval_start + self.eval_frames)

    def make_clips(self, split: str) -> Clips:
        """The clips of "train", "val" or "test"."""
        raise NotImplementedError(f"{type(self).__name__} must define make_clips(split)")

    def clips(self, split: str) -> Clips:
        """The clips of a split, opened once."""
        if split not in self._clips:
            self._clips[split] = self.make_clips(split)
        return self._clips[split]

    @property
    def channels(self) -> int:
        return self.clips("train").shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the frames."""
        return self.clips("train").shape[1:]

    def make_dataset(self, split):
        if split == "train":
            return WindowSet(self.clips(split), self.num_frames, None if self.random_start else 0)
        return WindowSet(self.clips(split), self.eval_frames, self.eval_start)
