"""The noise of a synthesis: a function of (seed, column)."""

import pytest
import torch

from flowsuite.audio.column_noise import BLOCK, ColumnNoise


def test_a_column_is_the_same_however_it_is_asked_for():
    noise = ColumnNoise(8, 3, "clip")
    whole = noise(0, 3 * BLOCK)
    assert whole.shape == (8, 3 * BLOCK) and whole.dtype == torch.float32
    for start, stop in ((0, 1), (BLOCK - 1, BLOCK + 1), (5, 2 * BLOCK + 7), (3 * BLOCK - 1, 3 * BLOCK)):
        assert torch.equal(noise(start, stop), whole[:, start:stop])


def test_seeds_names_and_blocks_differ_and_are_normal():
    first, second, third = (ColumnNoise(16, *seed)(0, 2 * BLOCK) for seed in ((0, "a"), (1, "a"), (0, "b")))
    for one, other in ((first, second), (first, third), (first[:, :BLOCK], first[:, BLOCK:])):
        assert abs(float((one * other).mean())) < 0.02
    assert abs(float(first.mean())) < 0.01 and abs(float(first.std()) - 1) < 0.01


def test_temperature_is_a_factor():
    cold, warm = ColumnNoise(4, 0, temperature=0.5), ColumnNoise(4, 0)
    assert torch.equal(cold(10, 20), 0.5 * warm(10, 20))
    assert not ColumnNoise(4, 0, temperature=0.0)(0, 9).any()


@pytest.mark.parametrize("temperature", [-1.0, float("nan"), float("inf")])
def test_bad_temperatures(temperature):
    with pytest.raises(ValueError, match="temperature >= 0"):
        ColumnNoise(4, 0, temperature=temperature)


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (4, 4), (5, 2)])
def test_bad_columns(start, stop):
    with pytest.raises(ValueError, match="0 <= start < stop"):
        ColumnNoise(4, 0)(start, stop)
