"""From a checkpoint to sound: neither batches, nor pieces, nor order change what a clip sounds like."""

import pytest
import torch

from flowsuite.audio.features import PRESETS, MelSpec
from flowsuite.audio.sources import source_of_mel, source_of_wave
from flowsuite.audio.streaming import reach
from flowsuite.audio.synthesis import Synthesizer
from flowsuite.core.training.module import FlowModule
from tests.audio.test_sources import voice
from tests.audio.vocoders_made import small_checkpoint, small_module, small_waveflow

B0 = MelSpec.from_dict({**PRESETS["A0-8k"].to_dict(), "centred": False, "peak": 0.999}).to_dict()
KINDS = {
    "waveflow": {},
    "uncentred": {"spec": B0},
    "waveglow": {"kind": "WaveGlow", "upsample_kernel": 256, "n_flows": 3, "early_every": 2},
}


@pytest.fixture(params=KINDS, scope="module")
def module(request):
    return small_module(**KINDS[request.param])


def sources_of(module, lengths):
    return [source_of_wave(f"clip {i}", voice(n, i), module.mel) for i, n in enumerate(lengths)]


@pytest.mark.parametrize("denoise", [0.0, 0.3])
def test_a_clip_is_the_same_in_any_batch(module, denoise):
    synthesizer = Synthesizer(module, seed=5, denoise=denoise)
    sources = sources_of(module, [700, 1, 64, 1999, 130, 511])
    sources.append(source_of_mel("mel", sources[0].mel, module.spec))
    together = synthesizer(sources)
    assert [len(wave) for wave in together] == [700, 1, 64, 1999, 130, 511, 64 * sources[0].mel.shape[1]]
    for source, wave in zip(sources, together, strict=True):
        torch.testing.assert_close(wave, synthesizer([source])[0], atol=3e-6, rtol=1e-5)
        assert wave.isfinite().all()


@pytest.mark.parametrize("denoise", [0.0, 0.3])
def test_a_long_clip_in_pieces_is_the_same(module, denoise):
    whole = Synthesizer(module, denoise=denoise, chunk_seconds=0)
    pieces = Synthesizer(module, denoise=denoise, chunk_seconds=0.05, margin=reach(module.flow))
    (source,) = sources_of(module, [3001])
    assert pieces.in_pieces(source) and not whole.in_pieces(source)
    parts = list(pieces.pieces(source))
    assert len(parts) > 3 and len(torch.cat(parts)) == 3001
    torch.testing.assert_close(torch.cat(parts), whole([source])[0], atol=3e-6, rtol=1e-5)
    short = sources_of(module, [100])
    torch.testing.assert_close(pieces([*short, source])[1], whole([source])[0], atol=3e-6, rtol=1e-5)


def test_seed_name_and_temperature_matter(module):
    (source,) = sources_of(module, [500])
    first = Synthesizer(module)([source])[0]
    assert torch.equal(first, Synthesizer(module)([source])[0])
    assert not torch.allclose(first, Synthesizer(module, seed=1)([source])[0], atol=1e-3)
    assert not torch.allclose(first, Synthesizer(module)([source_of_wave("b", voice(500), module.mel)])[0], atol=1e-3)
    cold = [Synthesizer(module, temperature=0.0, seed=seed)([source])[0] for seed in (0, 1)]
    assert torch.equal(*cold)


def test_three_lines_of_python(tmp_path):
    synthesizer = Synthesizer.load(small_checkpoint(tmp_path / "m.ckpt"), "cpu", temperature=0.5)
    wave = voice(2000)
    copied = synthesizer.copy(wave, "a")
    assert copied.shape == (2000,) and synthesizer.temperature == 0.5
    log10 = MelSpec.from_dict({**synthesizer.spec.to_dict(), "log": "log10"})
    mel = synthesizer.module.mel(wave[None])[0]
    spoken = synthesizer.vocode(mel / torch.log(torch.tensor(10.0)), log10, "a")
    torch.testing.assert_close(spoken[:1900], copied[:1900], atol=1e-3, rtol=0)


def test_bfloat16_networks(module):
    """Near the float32 synthesis, in a batch as alone and in pieces; the waves are float32."""
    low = Synthesizer(module, precision="bf16")
    sources = sources_of(module, [3001, 700])
    exact = Synthesizer(module)(sources)
    for wave, other in zip(exact, low(sources), strict=True):
        assert other.dtype == torch.float32 and not torch.equal(other, wave)
        assert (other - wave).norm() < 0.02 * wave.norm()
    pieces = Synthesizer(module, precision="bf16", chunk_seconds=0.05, margin=reach(module.flow))([sources[0]])[0]
    assert (pieces - exact[0]).norm() < 0.02 * exact[0].norm()


def test_how_it_is_computed_is_checked(module):
    with pytest.raises(ValueError, match="precision of a synthesis must be one of 32, bf16, got '16'"):
        Synthesizer(module, precision="16")
    with pytest.raises(ValueError, match="only WaveFlow's layers can be compiled for synthesis, got WaveGlow"):
        Synthesizer(small_module(**KINDS["waveglow"]), compiled=True)


def test_double_precision(module):
    synthesizer = Synthesizer(small_module().double())
    assert synthesizer.copy(voice(300)).shape == (300,)


def test_bad_settings():
    with pytest.raises(ValueError, match="expected a model of speech, got a FlowModule"):
        Synthesizer(FlowModule(small_waveflow()))
    module = small_module()
    for settings in ({"denoise": -1.0}, {"chunk_seconds": -1.0}, {"margin": -1}):
        with pytest.raises(ValueError, match=">= 0"):
            Synthesizer(module, **settings)
    with pytest.raises(ValueError, match="temperature >= 0"):
        Synthesizer(module, temperature=-1.0).copy(voice(10))
