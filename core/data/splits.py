"""Which clips are for training, validation and test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch

from flowsuite.core.training.seeding import fold_seed

Item = TypeVar("Item")


def draw(items: Sequence[Item], sizes: dict[str, float], seed: int, what: str = "clips") -> dict[str, list[Item]]:
    """ "train" and the parts named in `sizes`, drawn at random and each in the order of `items`.

    Args:
        items: of which every one goes to one part.
        sizes: a share below 1, or a number of them, of each part besides "train".
        seed: of the draw, which is a function of it and of the number of items.
        what: the items are, for messages.

    Raises:
        ValueError: a size is neither, or nothing is left to train on.
    """
    counts = {name: count(name, size, len(items), what) for name, size in sizes.items()}
    left = len(items) - sum(counts.values())
    if left < 1:
        wanted = ", ".join(f"{name} {number}" for name, number in counts.items())
        raise ValueError(f"{wanted} leave none of {len(items)} {what} to train on")
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(fold_seed("split", seed)))
    parts = order.split([*counts.values(), left])
    return {
        name: [items[i] for i in part.sort().values.tolist()]
        for name, part in zip((*counts, "train"), parts, strict=True)
    }


def count(name: str, size: float, total: int, what: str) -> int:
    """A share or a number of `total`, as a number, at least 1."""
    if size <= 0 or (size >= 1 and size != int(size)):
        raise ValueError(f"{name} must be a share between 0 and 1 or a whole number of {what}, got {size}")
    return int(size) if size >= 1 else max(1, round(size * total))
