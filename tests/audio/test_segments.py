"""Crops and whole clips: the features are those of whole utterances, the samples those of the clip."""

from __future__ import annotations

import pytest
import torch

from flowsuite.audio.clips import PackedClips
from flowsuite.audio.features import PRESETS, MelSpectrogram
from flowsuite.audio.features.spec import MelSpec
from flowsuite.audio.segments import AudioBatch, SegmentSet
from flowsuite.core.training.loader import FlowLoader
from tests.audio.waves_made import samples

SPECS = {**PRESETS, "small": MelSpec(8000, 64, 16, 64, 20, fmax=4000.0), "odd": MelSpec(22050, 1024, 200, 800)}
LENGTHS = (1, 2, 300, 5000, 9000, 9001, 9255, 30000)


def packed(lengths=LENGTHS) -> PackedClips:
    return PackedClips.pack([f"c{n}" for n in lengths], [torch.from_numpy(samples(n + 1, n)) for n in lengths])


def scaled(clips: PackedClips, row: int, spec: MelSpec) -> torch.Tensor:
    wave = clips.wave(row)
    return wave if spec.peak is None else wave * (spec.peak / wave.abs().max())


@pytest.mark.parametrize("name", SPECS)
def test_whole_clips_have_the_mels_of_whole_clips(name):
    spec = SPECS[name]
    data, mel = SegmentSet(packed(), spec), MelSpectrogram(spec)
    batch = data.__getitems__(range(len(data)))
    mels = mel.from_segment(batch.segment)
    for i, n in enumerate(LENGTHS):
        wave, lead = scaled(data.clips, i, spec), spec.lead(n)
        assert batch.length[i] == n + lead
        torch.testing.assert_close(batch.segment[i, spec.left + lead : spec.left + lead + n], wave)
        torch.testing.assert_close(mels[i, :, : spec.frames(n)], mel(wave[None])[0], atol=2e-4, rtol=1e-4)
        alone = data[i]
        torch.testing.assert_close(alone.segment, batch.segment[i, : len(alone.segment)])


@pytest.mark.parametrize("name", SPECS)
def test_crops_are_cut_out_of_the_whole_utterance(name):
    spec, frames = SPECS[name], 20
    data, mel = SegmentSet(packed(), spec, frames), MelSpectrogram(spec)
    rows = torch.arange(len(LENGTHS))
    torch.manual_seed(0)
    for _ in range(4):
        valid = data.clips.lengths + data.leads
        first = data.draw(rows, valid)
        segment = data.cut(rows, first, frames)
        assert segment.shape == (len(rows), spec.hop_length * (frames - 1) + spec.n_fft)
        mels = mel.from_segment(segment)
        for i in range(len(LENGTHS)):
            a, whole = int(first[i]), mel(scaled(data.clips, i, spec)[None])[0]
            here = min(frames, whole.shape[1] - a)
            torch.testing.assert_close(mels[i, :, :here], whole[:, a : a + here], atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["A0", "B0", "small"])
def test_the_waveform_of_a_crop(name):
    spec, frames = SPECS[name], 20
    data = SegmentSet(packed(), spec, frames)
    for seed in range(5):
        torch.manual_seed(seed)
        batch = data.__getitems__(range(len(LENGTHS)))
        torch.manual_seed(seed)
        first = data.draw(torch.arange(len(LENGTHS)), data.clips.lengths + data.leads)
        for i, n in enumerate(LENGTHS):
            begin = spec.hop_length * int(first[i]) - spec.lead(n)
            stop = begin + int(batch.length[i])
            assert stop <= n and (begin >= 0 or begin == -spec.lead(n))
            if n >= (frames + 2) * spec.hop_length:
                assert begin >= 0 and int(batch.length[i]) == frames * spec.hop_length
            found = batch.segment[i, spec.left + max(0, -begin) : spec.left + int(batch.length[i])]
            torch.testing.assert_close(found, scaled(data.clips, i, spec)[max(0, begin) : stop])


def test_a_short_clip_is_followed_by_zeros_behind_its_reflected_tail():
    spec = SPECS["small"]
    batch = SegmentSet(packed((100,)), spec, 40).__getitems__([0])
    tail = spec.left + 16 * (spec.frames(100) - 1) - spec.left + 64
    assert int(batch.length[0]) == 100 and not batch.segment[0, tail:].any()
    wave = batch.segment[0, spec.left : spec.left + 100]
    assert torch.equal(batch.segment[0, spec.left + 100 : tail], wave[:-1].flip(0)[: tail - spec.left - 100])
    assert torch.equal(batch.segment[0, : spec.left], wave[1 : spec.left + 1].flip(0))


def test_crops_begin_everywhere():
    spec = SPECS["small"]
    data = SegmentSet(packed((16 * 30 + 5,)), spec, 20)
    torch.manual_seed(0)
    rows = torch.zeros(3000, dtype=torch.int64)
    counts = data.draw(rows, data.clips.lengths[rows]).bincount()
    assert len(counts) == 11 and counts.min() > 200  # 273 expected, sd 16


def test_samples_instead_of_frames():
    spec = PRESETS["A0"]
    batch = SegmentSet(packed((30000, 500)), spec, 63, 16000).__getitems__([0, 1])
    assert batch.length.tolist() == [16000, 500] and batch.segment.shape == (2, 62 * 256 + 1024)


def test_evaluation_is_in_the_order_of_lengths_and_complete():
    clips = packed((500, 100, 900, 300))
    data = SegmentSet(clips, SPECS["small"])
    assert data.names == ["c100", "c300", "c500", "c900"]
    batches = list(FlowLoader(data, 3, "val"))
    assert [b.length.tolist() for b in batches] == [[100, 300, 500], [900]]
    assert all(isinstance(b, AudioBatch) for b in batches)
    assert batches[0].segment.shape[1] < batches[1].segment.shape[1]


@pytest.mark.parametrize("workers", [0, 1])
def test_epochs_differ_and_repeat_and_resume(workers, monkeypatch):
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")

    def loader():
        data = SegmentSet(packed((5000, 6000, 7000, 8000, 9000, 9500)), SPECS["small"], 20)
        return FlowLoader(data, 2, shuffle=True, num_workers=workers)

    whole = loader()
    first, second = list(whole), list(whole)
    assert len(first) == 3 and not torch.equal(first[0].segment, second[0].segment)
    resumed = loader()
    resumed.load_state_dict({"epoch": 1, "batch": 1})
    resumed.set_epoch(1)
    for found, wanted in zip(resumed, second[1:], strict=True):
        assert torch.equal(found.segment, wanted.segment) and torch.equal(found.length, wanted.length)


def test_no_frames():
    with pytest.raises(ValueError, match="frames must be at least 1, got 0"):
        SegmentSet(packed(), SPECS["A0"], 0)
