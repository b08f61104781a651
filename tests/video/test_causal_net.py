"""The causal net: sequences may be cut anywhere."""

from __future__ import annotations

import pytest
import torch

from flowsuite.video.causal_net import CausalNet
from flowsuite.video.window_net import WindowNet, dilations_for


def net(**options) -> CausalNet:
    torch.manual_seed(0)
    made = CausalNet(3, 4, 2, 6, **options).double()
    for parameter in made.parameters():
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return made.eval()


@pytest.mark.parametrize("options", [{}, {"activation": "relu", "dilations": (1, 2)}])
@pytest.mark.parametrize("cuts", [[1, 5], [3], [1, 2, 3, 4, 5]])
@torch.no_grad()
def test_pieces_give_what_the_whole_gives(options, cuts):
    made, x = net(**options), torch.randn(2, 6, 3, 5, 5, dtype=torch.float64)
    whole, state = made(x)
    pieces, states = [], None
    for piece in x.tensor_split(cuts, dim=1):
        y, states = made(piece, states)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)
    for ours, theirs in zip(states, state, strict=True):
        torch.testing.assert_close(ours, theirs)


@torch.no_grad()
def test_nothing_comes_from_the_future():
    made, x = net(), torch.randn(1, 5, 3, 4, 4, dtype=torch.float64)
    other = x.clone()
    other[:, 3:] += 1
    torch.testing.assert_close(made(other)[0][:, :3], made(x)[0][:, :3])
    assert not torch.allclose(made(other)[0][:, 3:], made(x)[0][:, 3:])


def test_dilations():
    assert dilations_for((8, 8), True) == (1, 2)
    assert dilations_for((9, 9), True) == (1, 2, 4)
    assert dilations_for((4, 16), True) == (1,)
    assert dilations_for((32, 32), False) == (1,)


@torch.no_grad()
def test_only_what_the_last_slot_needs_is_computed():
    made = WindowNet(2, 2, past=6, blocks=3, width=4)
    assert made.outputs_of_blocks() == [5, 3, 1]
    slots = [torch.randn(1, 2, 4, 4) for _ in range(6)]
    assert [len(made.run_block(made.blocks[0], slots, 5, None)), made(slots).shape] == [5, (1, 2, 4, 4)]
