from __future__ import annotations

import pytest
import torch

from flowsuite.images.augment import random_flip, random_shift
from flowsuite.images.data import Digits


def test_flip_is_per_image():
    x = torch.arange(64 * 3 * 4 * 5).reshape(64, 3, 4, 5).to(torch.uint8)
    y = random_flip(x)
    flipped = (y == x.flip(-1)).flatten(1).all(1)
    kept = (y == x).flatten(1).all(1)
    assert (flipped ^ kept).all() and 10 < flipped.sum() < 54


def test_shift_moves_whole_pixels_and_repeats_the_border():
    torch.manual_seed(0)
    image = torch.arange(400).reshape(1, 1, 20, 20)
    moved = random_shift(image.expand(200, 2, 20, 20), 0.1)
    seen = set()
    for y in moved[:, 0]:
        dy, dx = int(y[10, 10] // 20) - 10, int(y[10, 10] % 20) - 10
        rows = (torch.arange(20) + dy).clamp(0, 19)
        columns = (torch.arange(20) + dx).clamp(0, 19)
        assert torch.equal(y, image[0, 0][rows][:, columns])
        seen.add((dy, dx))
    assert seen == {(dy, dx) for dy in range(-2, 3) for dx in range(-2, 3)}


def test_shift_of_nothing_is_the_identity():
    x = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(random_shift(x, 0.0), x)
    with pytest.raises(ValueError, match="fraction"):
        random_shift(x, 2.0)


def test_only_training_images_are_augmented():
    plain, moved = Digits(), Digits(shift=0.2, flip=True)
    for split, same in (("train", False), ("val", True), ("test", True)):
        images = [module.dataset(split).__getitems__(range(50))[0] for module in (plain, moved)]
        assert torch.equal(*images) == same
