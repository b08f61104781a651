"""Motions of a latent, and the mixture over them."""

from __future__ import annotations

import pytest
import torch

from flowsuite.video.advection import Advection
from flowsuite.video.heads import Form, MotionHead
from flowsuite.video.videoflow import VideoFlow


def whole_cells(reach: int) -> Advection:
    """Without the share of neighbouring cells."""
    advection = Advection(reach)
    with torch.no_grad():
        advection.logits.mul_(100)
    return advection


def test_motions_are_all_shifts_within_reach():
    z = torch.randn(2, 3, 7, 7)
    moved = whole_cells(3)(z)
    assert moved.shape == (2, 9, 3, 7, 7)
    for m in range(9):
        down, right = 1 - m // 3, 1 - m % 3
        expected = z.roll((down, right), (2, 3))[..., 1:-1, 1:-1]
        torch.testing.assert_close(moved[:, m, :, 1:-1, 1:-1], expected)


def test_latents_go_on_beyond_the_border_as_they_end():
    z = torch.arange(5.0).expand(1, 1, 5, 5)
    torch.testing.assert_close(whole_cells(5)(z)[0, 10, 0, 2], torch.tensor([0.0, 0.0, 0.0, 1.0, 2.0]))


@pytest.mark.parametrize("reach", [0, 2, -3])
def test_reach_is_odd(reach):
    with pytest.raises(ValueError, match=f"odd number of cells, got {reach}"):
        Advection(reach)


def blob(row: int, column: int) -> torch.Tensor:
    z = 0.05 * torch.randn(1, 2, 8, 8)
    z[:, :, row : row + 2, column : column + 2] += 3.0
    return z


def test_what_moves_is_expected_to_go_on():
    """A blob that went right by one cell: the likeliest motion is the same one, and the mean is the blob moved on."""
    torch.manual_seed(0)
    head = MotionHead(4, 2, 3, 6)
    before, after = blob(3, 2), blob(3, 3)
    found = head(torch.randn(1, 4, 8, 8), after, Form(), before, after)
    right = 3  # row 1, column 0 of the kernels: what is one cell to the left comes here
    assert found.logits.argmax(1).item() == right
    assert found.logits.softmax(1)[0, right] > 0.5
    carried = 0.5 * after.roll(1, 3)  # gates are half open at first
    torch.testing.assert_close(found.mean[0, right, :, 2:6, 2:6], carried[0, :, 2:6, 2:6], atol=0.2, rtol=0)


def test_without_a_last_step_all_motions_are_equal():
    head, nothing = MotionHead(4, 2, 3, 6), torch.zeros(1, 2, 8, 8)
    found = head(torch.randn(1, 4, 8, 8), blob(3, 3), Form(), nothing, blob(3, 3))
    torch.testing.assert_close(found.logits, found.logits.mean().expand(1, 9), atol=1e-5, rtol=0)


def test_bad_arguments():
    with pytest.raises(ValueError, match="reach needs the causal prior"):
        VideoFlow((3, 8, 8), levels=1, steps=1, width=4, prior="window", reach=3)
    with pytest.raises(ValueError, match=r"a level has a mixture or a reach, got mixture 8 and reach \[0, 3\]"):
        VideoFlow((3, 8, 8), levels=2, steps=1, width=4, prior="causal", mixture=8, reach=[0, 3])
    with pytest.raises(ValueError, match="reach must be a number >= 0, or one for each of the 2 levels"):
        VideoFlow((3, 8, 8), levels=2, steps=1, width=4, prior="causal", reach=[3])
