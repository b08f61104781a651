"""Synthesis piece by piece against synthesis in one go."""

import itertools

import pytest
import torch

from flowsuite.audio.column_noise import ColumnNoise
from flowsuite.audio.conditioning import Mels
from flowsuite.audio.streaming import USUAL_MARGIN, decode_columns, default_margin, reach, stream, streamed, windows
from flowsuite.audio.waveflow import WaveFlow
from flowsuite.audio.waveglow import WaveGlow
from tests.audio.vocoders_made import small_waveflow, small_waveglow


def whole(flow, mel, noise, samples):
    z = noise(0, -(-samples // flow.height))[None].double()
    with torch.no_grad():
        return flow.decode(z, Mels(mel[None], torch.tensor([samples])))[0]


@pytest.fixture(params=[small_waveflow, small_waveglow], ids=["waveflow", "waveglow"])
def flow(request):
    return request.param()


def material(flow, frames=40):
    mel = torch.randn(5, frames, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return mel, ColumnNoise(flow.height, 7, "clip")


@pytest.mark.parametrize("samples", [640, 637, 601])
@pytest.mark.parametrize("chunk", [7, 40, 1000])
def test_pieces_with_the_margin_of_the_reach_are_exact(flow, samples, chunk):
    mel, noise = material(flow)
    joined = streamed(flow, mel, noise, samples, chunk=chunk, margin=reach(flow))
    assert joined.shape == (samples,)
    torch.testing.assert_close(joined, whole(flow, mel, noise, samples), rtol=0, atol=1e-11)


def test_the_reach_is_that_of_the_inverse_and_is_attained():
    """Changing the latent `reach` columns away changes a sample; one column further, nothing."""
    flow = small_waveflow(n_flows=1, permutation="reverse")
    assert reach(flow) == 3 * (1 + 2)
    assert reach(small_waveglow()) == 3 * (1 + 2)
    mel, noise = material(flow)
    z = noise(0, 160)[None].double().requires_grad_()
    gradient = torch.autograd.grad(flow.decode(z, mel[None])[0, 4 * 80 : 4 * 81].square().sum(), z)[0]
    columns = gradient[0].any(0).nonzero()[:, 0]
    assert (int(columns.min()), int(columns.max())) == (80 - 9, 80 + 9)


def test_the_default_margin_is_exact_where_that_is_cheap(flow):
    assert default_margin(flow) == reach(flow)
    published = WaveFlow(channels=2, n_mels=2)
    assert reach(published) == 30600 and default_margin(published) == USUAL_MARGIN
    assert default_margin(WaveGlow(channels=2, n_mels=2)) == reach(WaveGlow(channels=2, n_mels=2)) == 3060


def test_a_margin_that_is_too_small_is_not_exact_but_near(flow):
    mel, noise = material(flow)
    errors = []
    for margin in (0, 2, 6, reach(flow)):
        joined = streamed(flow, mel, noise, chunk=20, margin=margin)
        errors.append(float((joined - whole(flow, mel, noise, 640)).abs().max()))
    assert errors[0] > errors[1] > errors[2] > errors[3] and errors[0] > 1e-3 and errors[3] < 1e-11


@pytest.mark.parametrize("fade", [2, 10, 20])
def test_a_fade_keeps_the_length_and_exact_pieces_exact(flow, fade):
    mel, noise = material(flow)
    reference = whole(flow, mel, noise, 637)
    joined = streamed(flow, mel, noise, 637, chunk=21, margin=reach(flow) + 10, fade=fade)
    torch.testing.assert_close(joined, reference, rtol=0, atol=1e-11)


def test_a_fade_is_linear_from_one_piece_to_the_next(flow):
    mel, noise = material(flow)
    cut, h = 50, flow.height
    old, new = decode_columns(flow, mel, noise, 0, 56, 640), decode_columns(flow, mel, noise, 44, 106, 640)
    around = slice((cut - 4) * h, (cut + 4) * h)
    ramp = (torch.arange(8 * h).double() + 0.5) / (8 * h)
    wanted = (1 - ramp) * old[around] + ramp * new[(cut - 4 - 44) * h :][: 8 * h]
    joined = streamed(flow, mel, noise, chunk=cut, margin=6, fade=8)
    torch.testing.assert_close(joined[around], wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(joined[: around.start], old[: around.start], rtol=0, atol=1e-12)


def test_pieces_come_one_by_one(flow, monkeypatch):
    """The first piece needs the first window only: neither the noise nor the spectrogram behind it."""
    mel, noise = material(flow)
    asked = []

    def watched(start, stop):
        asked.append((start, stop))
        return noise(start, stop)

    mel[:, 20:] = float("nan")
    pieces = stream(flow, mel, watched, chunk=10, margin=3)
    first = list(itertools.islice(pieces, 2))
    assert [len(piece) for piece in first] == [10 * flow.height] * 2
    assert asked == [(0, 13), (7, 23)] and all(piece.isfinite().all() for piece in first)


def test_windows():
    assert list(windows(10, 4, 3)) == [(0, 0, 4, 7), (1, 4, 8, 10), (5, 8, 10, 10)]
    assert list(windows(3, 10, 3)) == [(0, 0, 3, 3)]


def test_bad_settings(flow):
    mel, noise = material(flow, 4)
    for settings, said in {
        "chunk": ({"chunk": 0}, "at least 1 column"),
        "margin": ({"margin": -1}, "margin of at least 0|fade"),
        "fade": ({"margin": 4, "fade": 10}, "fade must be even"),
        "odd": ({"margin": 4, "fade": 3}, "fade must be even"),
        "samples": ({"samples": 65}, "4 frames of 16 samples cannot condition 65"),
        "none": ({"samples": 0}, "cannot condition 0"),
    }.values():
        with pytest.raises(ValueError, match=said):
            list(stream(flow, mel, noise, **settings))
    with pytest.raises(ValueError, match="one spectrogram"):
        list(stream(flow, mel[None], noise))
