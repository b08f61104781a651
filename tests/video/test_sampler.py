"""Sampling: orders, copies, contexts of any length, temperatures."""

from __future__ import annotations

import pytest
import torch

from flowsuite.video.sampler import Noise, draw_noise
from tests.video.flows_made import clips, every_prior, tiny
from tests.video.frame_major import sample_frame_major


@every_prior
def test_level_major_is_frame_major(prior):
    flow, context = tiny(prior), clips(2, 3)
    noise = draw_noise(flow, 2, 4, torch.Generator().manual_seed(0))
    temperatures = [0.7, 0.9]
    ours = flow.sample(context, 4, 1, temperatures, noise=noise)[:, 0]
    torch.testing.assert_close(ours, sample_frame_major(flow, context, noise, temperatures), rtol=1e-9, atol=1e-9)


@every_prior
def test_without_context(prior):
    flow = tiny(prior)
    noise = draw_noise(flow, 2, 4, torch.Generator().manual_seed(0))
    ours = flow.sample(None, 4, 1, noise=noise, batch=2)[:, 0]
    none = clips(2, 3)[:, :0]
    torch.testing.assert_close(ours, sample_frame_major(flow, none, noise, [1.0, 1.0]), rtol=1e-9, atol=1e-9)


@every_prior
def test_copies_share_one_encoding(prior):
    flow, context = tiny(prior), clips(2, 3)
    noise = draw_noise(flow, 6, 2, torch.Generator().manual_seed(0))
    ours = flow.sample(context, 2, 3, noise=noise)
    assert ours.shape == (2, 3, 2, 2, 8, 8)
    repeated = flow.sample(context.repeat_interleave(3, 0), 2, 1, noise=noise)
    torch.testing.assert_close(ours.flatten(0, 1), repeated[:, 0], rtol=1e-9, atol=1e-9)


@every_prior
def test_ragged_contexts(prior):
    """A batch of contexts of several lengths gives what each gives alone."""
    flow, context, lengths = tiny(prior), clips(3, 4), torch.tensor([2, 4, 3])
    steps = 4 - 2 + 2
    noise = draw_noise(flow, 3, steps, torch.Generator().manual_seed(0))
    ours = flow.sample(context, 2, lengths=lengths, noise=noise)[:, 0]
    for i, length in enumerate(lengths.tolist()):
        begin = length - 2
        own = Noise(
            [eps[i : i + 1, begin : begin + 2] for eps in noise.eps],
            [u[i : i + 1, begin : begin + 2] for u in noise.uniform],
        )
        alone = flow.sample(context[i : i + 1, :length], 2, noise=own)[:, 0]
        torch.testing.assert_close(ours[i : i + 1], alone, rtol=1e-9, atol=1e-9)


@every_prior
def test_samples_have_the_predicted_moments(prior):
    """Standardised by the predictions, the latents of samples are the noise that they were made of."""
    flow, context = tiny(prior), clips(1, 3)
    if "mixture" in prior:
        pytest.skip("a mixture does not tell which component made a sample")
    noise = draw_noise(flow, 1, 3, torch.Generator().manual_seed(0))
    x = torch.cat((context, flow.sample(context, 3, noise=noise)[:, 0]), 1)
    latents = flow.encode(x)
    for level, pieces in enumerate(flow.predictions(x, 3)):
        (piece,) = pieces
        torch.testing.assert_close(piece.standardize(latents[level][:, 3:]), noise.eps[level], rtol=1e-7, atol=1e-7)


def test_zero_temperature_is_the_mean():
    flow, context = tiny("window3"), clips(1, 3)
    first, second = (flow.sample(context, 2, 1, 0.0, torch.Generator().manual_seed(s)) for s in (0, 1))
    torch.testing.assert_close(first, second)


def test_generator_decides():
    flow, context = tiny("causal-mixture"), clips(2, 3)
    draws = [flow.sample(context, 2, 2, 1.0, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.allclose(draws[0], draws[2])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"temperature": [1.0]}, "one for each of 2 levels"),
        ({"temperature": -1.0}, "temperature >= 0"),
        ({"num_samples": 0}, "num_samples >= 1"),
        ({"lengths": torch.tensor([5, 1])}, "within 0..3"),
        ({"lengths": torch.tensor([1.0, 1.0])}, "integers"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        tiny("window1").sample(clips(2, 3), 2, **arguments)
