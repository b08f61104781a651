"""Many files at once: in memory or piece by piece, bad ones counted."""

from __future__ import annotations

import json
import os
import warnings

import numpy as np
import pytest
import torch

from flowsuite.audio.clip_files import ClipFile, ClipReader
from flowsuite.audio.clip_loading import load_clips
from flowsuite.audio.clips import FileClips, PackedClips, peak_of
from flowsuite.audio.features import PRESETS
from flowsuite.audio.segments import SegmentSet
from flowsuite.core.training.loader import FlowLoader
from tests.audio.waves_made import samples, write, write_zip


def files(folder, form="wav", n=6, rate=22050, **options):
    return [
        ClipFile(f"c{k}", write(folder / f"c{k}.{form}", samples(k, 3000 + 700 * k), rate, **options)) for k in range(n)
    ]


@pytest.mark.parametrize("form", ["wav", "flac", "aiff"])
@pytest.mark.parametrize("preset", ["A0", "B0"])
def test_pieces_of_files_are_those_of_memory(tmp_path, form, preset):
    held, _ = load_clips(files(tmp_path, form), ClipReader(22050))
    read, _ = load_clips(files(tmp_path, form), ClipReader(22050), in_memory=0, cache=tmp_path / "cache")
    assert isinstance(held, PackedClips) and isinstance(read, FileClips)
    assert torch.equal(held.lengths, read.lengths) and torch.equal(held.peaks, read.peaks) and held.names == read.names
    for frames in (10, 25, None):
        batches = []
        for clips in (held, read):
            torch.manual_seed(0)
            batches.append(SegmentSet(clips, PRESETS[preset], frames).__getitems__([4, 0, 2, 2]))
        assert torch.equal(batches[0].segment, batches[1].segment)
        assert torch.equal(batches[0].length, batches[1].length)


def test_worker_processes_read_the_same(tmp_path):
    found = files(tmp_path)
    (tmp_path / "z").mkdir()
    archive = write_zip(tmp_path, tmp_path / "z" / "a.zip")
    found[1] = ClipFile("c1", archive, "c1.wav")
    clips, _ = load_clips(found, ClipReader(22050), in_memory=0)
    here, there = (list(FlowLoader(SegmentSet(clips, PRESETS["A0"]), 2, "val", num_workers=n)) for n in (0, 2))
    assert len(here) == 3
    for a, b in zip(here, there, strict=True):
        assert torch.equal(a.segment, b.segment) and torch.equal(a.length, b.length)


def test_what_cannot_be_sought_is_decoded_whole(tmp_path):
    found = files(tmp_path, "wav", rate=44100)[:2]
    (tmp_path / "z").mkdir()
    archive = write_zip(tmp_path, tmp_path / "z" / "a.zip")
    members = [ClipFile(f.name, archive, f.path.name) for f in found]
    for these in (found, members):
        reader = ClipReader(22050, resample=True)
        with pytest.warns(UserWarning, match="^here: 2 of 2 clips resampled$"):
            held, report = load_clips(these, reader, label="here")
        assert report.resampled == 2 and held.lengths.tolist() == [1500, 1850]
        with pytest.warns(UserWarning, match="resampled"):
            read, _ = load_clips(these, reader, in_memory=0)
        assert torch.equal(read.wave(1), held.wave(1)) and torch.equal(read.subset([1]).wave(0), held.wave(1))


def test_stereo_of_24_bits(tmp_path):
    data = np.stack((samples(0), samples(1)), axis=1).astype(np.int32) << 16
    file = ClipFile("a", write(tmp_path / "a.wav", data, subtype="PCM_24"))
    with pytest.warns(UserWarning, match="1 of 1 clip of several channels made mono"):
        held, _ = load_clips([file], ClipReader(22050))
    with pytest.warns(UserWarning, match="mono"):
        read, _ = load_clips([file], ClipReader(22050), in_memory=0)
    mean = (data.astype(float).mean(axis=1) / 2**31 * 32768).round()
    assert torch.equal(held.samples, torch.from_numpy(mean).short()) and torch.equal(read.wave(0), held.wave(0))


def bad_files(folder):
    found = files(folder)
    found[1].path.write_bytes(b"nothing")
    write(found[3].path, np.zeros(500, dtype=np.int16))
    found[4].path.unlink()
    write(found[5].path, samples(0), 44100)
    return found


def test_bad_files_are_skipped_and_counted_in_one_warning(tmp_path):
    for in_memory in (4.0, 0):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            clips, report = load_clips(bad_files(tmp_path), ClipReader(22050), "skip", in_memory, label="train")
        assert clips.names == ["c0", "c2"] and len(report.errors) == 4 and len(caught) == 1
        text = str(caught[0].message)
        assert text.startswith("train: skipped 4 of 6 clips: ") and "c1.wav is not an audio file" in text
        assert "c3.wav is silent: all of its 500 samples are 0" in text and "\n" not in text
        assert torch.equal(clips.wave(1) * 32768, torch.from_numpy(samples(2, 4400)).float())


def test_the_first_bad_file_stops(tmp_path):
    for in_memory in (4.0, 0):
        with pytest.raises(ValueError, match=r"c1\.wav is not an audio file"):
            load_clips(bad_files(tmp_path), ClipReader(22050), in_memory=in_memory)
    with pytest.raises(FileNotFoundError, match=r"c4\.wav not found"):
        load_clips(bad_files(tmp_path)[4:], ClipReader(22050))
    with (
        pytest.raises(ValueError, match=r"val: none of 1 clip can be used \(.*c1\.wav is not"),
        pytest.warns(UserWarning, match="skipped 1 of 1"),
    ):
        load_clips(bad_files(tmp_path)[1:2], ClipReader(22050), "skip", label="val")
    with pytest.raises(ValueError, match="none of 0 clips can be used"):
        load_clips([], ClipReader(22050))
    with pytest.raises(ValueError, match='on_error must be "stop" or "skip", got \'warn\''):
        load_clips([], ClipReader(22050), "warn")


def test_memory_is_given_up_when_the_limit_is_reached(tmp_path):
    found = files(tmp_path)
    samples_in_all = sum(3000 + 700 * k for k in range(6))
    at_limit = load_clips(found, ClipReader(22050), in_memory=2 * samples_in_all / 2**30)[0]
    below = load_clips(found, ClipReader(22050), in_memory=(2 * samples_in_all - 2) / 2**30)[0]
    assert isinstance(at_limit, PackedClips) and isinstance(below, FileClips)
    assert torch.equal(at_limit.lengths, below.lengths)


def test_measurements_are_kept_until_a_file_changes(tmp_path, monkeypatch):
    found, decoded = files(tmp_path), []
    whole = ClipReader.whole
    monkeypatch.setattr(ClipReader, "whole", lambda self, file: decoded.append(file.name) or whole(self, file))

    def load():
        decoded.clear()
        return load_clips(found, ClipReader(22050), in_memory=0, cache=tmp_path / "cache")[0]

    first = load()
    assert len(decoded) == 6
    assert torch.equal(load().lengths, first.lengths) and not decoded
    write(found[2].path, samples(9, 1234))
    os.utime(found[2].path, ns=(1, 1))
    assert load().lengths[2] == 1234 and decoded == ["c2"]
    kept = next((tmp_path / "cache").iterdir())
    assert len(json.loads(kept.read_text())) == 6
    kept.write_text('{"a": 1}')
    with pytest.warns(UserWarning, match="measuring the clips again"):
        load()
    assert len(decoded) == 6


def test_a_file_that_changes_under_a_run_is_named(tmp_path):
    found = files(tmp_path)
    clips, _ = load_clips(found, ClipReader(22050), in_memory=0)
    write(found[0].path, samples(0, 100))
    with pytest.raises(ValueError, match=r"c0\.wav"):
        clips.wave(0)
    found[1].path.unlink()
    with pytest.raises(FileNotFoundError, match=r"c1\.wav not found"):
        clips.wave(1)


def test_archives(tmp_path):
    (tmp_path / "bad.zip").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match=r"bad\.zip is not a zip archive"):
        load_clips([ClipFile("a", tmp_path / "bad.zip", "a.wav")], ClipReader(22050))
    with pytest.raises(FileNotFoundError, match=r"no\.zip not found"):
        load_clips([ClipFile("a", tmp_path / "no.zip", "a.wav")], ClipReader(22050))
    write(tmp_path / "w" / "a.wav", samples(0))
    archive = write_zip(tmp_path / "w", tmp_path / "a.zip")
    with pytest.raises(FileNotFoundError, match=r"a\.zip: b\.wav not found"):
        load_clips([ClipFile("b", archive, "b.wav")], ClipReader(22050))
    damaged = bytearray(archive.read_bytes())
    damaged[200:260] = bytes(60)
    (tmp_path / "d.zip").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"d\.zip: a\.wav cannot be read"):
        load_clips([ClipFile("a", tmp_path / "d.zip", "a.wav")], ClipReader(22050))


def test_the_peak_of_the_lowest_sample():
    assert peak_of(torch.tensor([-32768, 5], dtype=torch.int16)) == 32768
