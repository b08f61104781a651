"""One column of bands per sample."""

import pytest
import torch

from flowsuite.audio.upsample import MelUpsampler, TransposedUpsampler, hop_factors
from tests.audio.flows_made import moved

UPSAMPLERS = {
    "16x16": lambda: MelUpsampler((16, 16)),
    "4": lambda: MelUpsampler((4,)),
    "2x4x6": lambda: MelUpsampler((2, 4, 6)),
    "transposed": lambda: TransposedUpsampler(3, 16, 64),
    "transposed-tight": lambda: TransposedUpsampler(3, 16, 16),
}


@pytest.fixture(params=UPSAMPLERS, ids=str)
def upsampler(request):
    torch.manual_seed(0)
    return moved(UPSAMPLERS[request.param](), 0.05)


@pytest.mark.parametrize("frames", [1, 5])
@torch.no_grad()
def test_length(upsampler, frames):
    mel = torch.randn(2, 3, frames, dtype=torch.float64)
    assert upsampler(mel).shape == (2, 3, upsampler.hop_length * frames)


@torch.no_grad()
def test_frames_behind_a_clip_are_not_there(upsampler):
    mel = torch.randn(2, 3, 6, dtype=torch.float64)
    mel[1, :, 4:] = float("nan")
    up = upsampler(mel, torch.tensor([6, 4]))
    end = 4 * upsampler.hop_length
    torch.testing.assert_close(up[0], upsampler(mel[:1])[0], rtol=0, atol=1e-14)
    torch.testing.assert_close(up[1:, :, :end], upsampler(mel[1:, :, :4]), rtol=0, atol=1e-14)
    assert not up[1, :, end:].any()


def test_parameters():
    assert sum(p.numel() for p in MelUpsampler((16, 16)).parameters()) == 196


@pytest.mark.parametrize("hop, factors", [(256, (16, 16)), (64, (8, 8)), (300, (30, 10)), (512, (32, 16)), (4, (2, 2))])
def test_factors_of_a_hop(hop, factors):
    assert hop_factors(hop) == factors


@pytest.mark.parametrize("hop", [1, 2, 6, 10, 255])
def test_no_factors(hop):
    with pytest.raises(ValueError, match=f"product of two even factors, got {hop}"):
        hop_factors(hop)


def test_refused():
    for factors in ((), (3, 4), (0,)):
        with pytest.raises(ValueError, match="even numbers"):
            MelUpsampler(factors)
    with pytest.raises(ValueError, match="kernel_size >= hop_length, got 8 and 16"):
        TransposedUpsampler(3, 16, 8)
