"""A clip counts the same alone, in a padded batch and on its way through the module."""

import pytest
import torch

from flowsuite.audio.clips import PackedClips
from flowsuite.audio.features import MelSpectrogram
from flowsuite.audio.features.spec import MelSpec
from flowsuite.audio.module import VocoderModule
from flowsuite.audio.segments import AudioBatch, SegmentSet
from tests.audio.flows_made import waveflow, waveglow
from tests.audio.waves_made import samples

SPECS = {
    "centred": MelSpec(8000, 64, 16, 64, 3, fmax=4000.0),
    "uncentred": MelSpec(8000, 64, 16, 64, 3, fmax=4000.0, centred=False, peak=0.999),
}
LENGTHS = (1, 15, 16, 17, 32, 100, 110, 127, 128, 200)


def double(batch: AudioBatch) -> AudioBatch:
    return AudioBatch(batch.segment.double(), batch.length)


@pytest.mark.parametrize("make", [waveflow, waveglow])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@torch.no_grad()
def test_whole_clips(make, spec):
    clips = PackedClips.pack([f"c{n}" for n in LENGTHS], [torch.from_numpy(samples(n + 1, n)) for n in LENGTHS])
    module = VocoderModule(make(8), spec.to_dict()).double()
    data = SegmentSet(clips, spec)
    x, mels = module.unpack(double(data.__getitems__(range(len(data)))))
    together = module.per_sample(x, mels)
    assert together.isfinite().all()
    for i in range(len(data)):
        x, mels = module.unpack(double(data.__getitems__([i])))
        torch.testing.assert_close(module.per_sample(x, mels)[0], together[i], rtol=1e-9, atol=1e-9)
        if spec.centred:
            mel = MelSpectrogram(spec).double()(x)
            expected = module.flow.log_prob(x, mel)[0] / x.shape[1]
            torch.testing.assert_close(together[i], expected, rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_crops_of_short_clips():
    """A clip shorter than the crop trains on what it is as a whole."""
    spec, lengths = SPECS["centred"], (60, 400, 500)
    clips = PackedClips.pack([f"c{n}" for n in lengths], [torch.from_numpy(samples(n + 1, n)) for n in lengths])
    module = VocoderModule(waveflow(8), spec.to_dict()).double()
    torch.manual_seed(0)
    x, mels = module.unpack(double(SegmentSet(clips, spec, frames=10).__getitems__([0, 1, 2])))
    assert mels.lengths.tolist() == [60, 160, 160] and mels.frames.tolist() == [4, 11, 11]
    whole, mel = module.unpack(double(SegmentSet(clips, spec).__getitems__([0])))
    torch.testing.assert_close(module.per_sample(x, mels)[0], module.per_sample(whole, mel)[0], rtol=1e-9, atol=1e-9)
