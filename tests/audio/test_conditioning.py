"""What a vocoder takes as its context."""

import pytest
import torch

from flowsuite.audio.conditioning import Conditioning, Mels, as_conditioning, as_mels

MEL = torch.zeros(2, 3, 5)


def test_forms():
    lengths = torch.tensor([3, 4])
    assert as_mels(MEL, "X") == Mels(MEL, None, None)
    assert as_mels((MEL, lengths), "X").lengths is lengths
    assert as_mels(Mels(MEL, lengths, lengths), "X").frames is lengths


@pytest.mark.parametrize(
    "context, message",
    [
        (None, r"X needs a context: the mel spectrograms \(B, n_mels, frames\)"),
        (MEL[0], r"X expected mel spectrograms \(B, n_mels, frames\), got shape \(3, 5\)"),
        (MEL.long(), "X expected mel spectrograms of floating-point numbers, got torch.int64"),
        (Mels(MEL, torch.tensor([3])), r"one length for each of 2 clips, got \(1,\)"),
        (Mels(MEL, None, torch.tensor([3, 1, 1])), r"one number of frames for each of 2 clips, got \(3,\)"),
    ],
)
def test_refused(context, message):
    with pytest.raises(ValueError, match=message):
        as_mels(context, "X")


def test_layers_need_a_conditioning():
    condition = Conditioning(MEL)
    assert as_conditioning(condition, "X") is condition
    for other in (None, MEL):
        with pytest.raises(ValueError, match="X needs a Conditioning as context"):
            as_conditioning(other, "X")
