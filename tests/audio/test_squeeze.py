"""Waveforms as matrices of columns."""

import pytest
import torch

from flowsuite.audio.squeeze import cut_behind, sample_mask, squeeze, unsqueeze


@pytest.mark.parametrize("n", [1, 3, 4, 5, 12])
@pytest.mark.parametrize("shape", [(2,), (2, 3)])
def test_index(shape, n):
    x = torch.randn(*shape, n)
    rows = squeeze(x, 4)
    assert rows.shape == (*shape, 4, -(-n // 4))
    for i in range(4):
        for j in range(rows.shape[-1]):
            at = j * 4 + i
            assert torch.equal(rows[..., i, j], x[..., at] if at < n else torch.zeros(shape))
    assert torch.equal(unsqueeze(rows)[..., :n], x)


def test_mask():
    mask = sample_mask(torch.tensor([5, 0, 8]), 8, 4)
    assert mask.dtype == torch.bool and mask.shape == (3, 4, 2)
    assert unsqueeze(mask).tolist() == [[True] * 5 + [False] * 3, [False] * 8, [True] * 8]


@pytest.mark.parametrize("shape", [(2, 6), (2, 3, 6), (2, 1, 3, 6)])
def test_cut_behind(shape):
    x = torch.randn(shape)
    x[1, ..., 4] = float("nan")
    cut = cut_behind(x, torch.tensor([6, 2]))
    assert torch.equal(cut[0], x[0]) and torch.equal(cut[1, ..., :2], x[1, ..., :2])
    assert not cut[1, ..., 2:].any()
    assert cut_behind(x, None) is x
