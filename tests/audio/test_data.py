"""The data modules on small copies of every published layout."""

from __future__ import annotations

import io
import shutil
import tarfile
import warnings

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser

from flowsuite.audio.data import VCTK, AudioDataModule, AudioFolder, FreeSpokenDigits, LibriTTS, LJSpeech
from flowsuite.audio.data_ljspeech import read_metadata
from flowsuite.audio.features import B0, PRESETS
from flowsuite.core.data.splits import draw
from tests.audio.waves_made import (
    DIGITS,
    LJ,
    needs_digits,
    needs_lj,
    samples,
    write,
    write_digits,
    write_lj,
    write_tar,
    write_zip,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*(split in proportion|no takes 0 to 4|resampled)")


def names(data) -> dict[str, list[str]]:
    return {split: data.split_names(split) for split in ("train", "val", "test")}


def split_is_complete(data, total: int) -> dict[str, list[str]]:
    found = names(data)
    together = [name for part in found.values() for name in part]
    assert all(found.values()) and len(together) == len(set(together)) == total
    return found


# LJ Speech


@pytest.mark.parametrize("form", ["folder", "parent", "archive", "parent of archive"])
def test_lj_speech_in_every_form(tmp_path, form):
    folder = write_lj(tmp_path)
    archive = write_tar(folder, tmp_path / "LJSpeech-1.1.tar.bz2")
    if "archive" in form:
        shutil.rmtree(folder)
    root = {"folder": folder, "archive": archive}.get(form, tmp_path)
    data = LJSpeech(str(root), frames=5, batch_size=2)
    data.prepare_data()
    found = split_is_complete(data, 10)
    assert {k: len(v) for k, v in found.items()} == {"train": 8, "val": 1, "test": 1}
    batch = next(iter(data.train_dataloader()))
    assert batch.segment.shape == (2, 4 * 256 + 1024) and batch.length.tolist() == [1280, 1280]
    clip = int(found["test"][0][-4:]) - 1
    assert torch.equal(data.clips("test").wave(0) * 32768, torch.from_numpy(samples(clip, 3000 + 100 * clip)).float())
    assert sorted(p.name for p in tmp_path.iterdir() if "tar" not in p.name) == ["LJSpeech-1.1"]


def test_the_draw_is_fixed_by_its_seed(tmp_path):
    write_lj(tmp_path)
    first = names(LJSpeech(str(tmp_path)))
    assert first == names(LJSpeech(str(tmp_path)))
    assert any(first != names(LJSpeech(str(tmp_path), split_seed=seed)) for seed in (1, 2))


def test_the_whole_corpus_has_the_sizes_of_tacotron2():
    data = LJSpeech()
    parts = data.parts(list(range(13100)))
    assert {k: len(v) for k, v in parts.items()} == {"train": 12500, "val": 100, "test": 500}
    for name, held in (("parakeet", 16), ("waveglow", 10), ("nanoflow", 1310)):
        parts = LJSpeech(split=name).parts(list(range(13100)))
        assert parts["val"] == parts["test"] == list(range(held)) and parts["train"] == list(range(held, 13100))


def test_a_smaller_copy_is_noticed(tmp_path):
    write_lj(tmp_path)
    with pytest.warns(UserWarning, match="has 10 of 13100 clips: split in proportion, 1 val, 1 test"):
        LJSpeech(str(tmp_path)).split_names("train")
    with pytest.raises(ValueError, match="'nanoflow' holds out the first 1310 of 10 clips: none are left"):
        LJSpeech(str(tmp_path), split="nanoflow").split_names("train")
    with pytest.raises(ValueError, match="split must be random or one of parakeet, waveglow, nanoflow, got 'A'"):
        LJSpeech(split="A")


def test_re_recordings_are_refused(tmp_path):
    write_lj(tmp_path, rate=44100)
    with pytest.raises(ValueError, match=r"LJ001-\d+\.wav is at 44100 Hz, expected 22050: a re-recording\?"):
        LJSpeech(str(tmp_path)).train_dataloader()
    assert len(LJSpeech(str(tmp_path), resample=True, frames=3).dataset("train")) == 8


def test_lj_speech_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected LJSpeech-1\.1/metadata\.csv, or LJSpeech-1\.1\.tar\.bz2"):
        LJSpeech(str(tmp_path)).prepare_data()
    folder = write_lj(tmp_path)
    (folder / "wavs" / "LJ001-0002.wav").unlink()
    with pytest.raises(FileNotFoundError, match=r"LJ001-0002\.wav not found"):
        [LJSpeech(str(tmp_path)).clips(split) for split in ("train", "val", "test")]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = LJSpeech(str(tmp_path), on_error="skip", val=1, test=1)
        kept = [name for split in ("train", "val") for name in data.clips(split).names]
    assert "LJ001-0002" not in kept and len(data.reports["train"].errors) <= 1 and len(caught) <= 2


def test_metadata(tmp_path):
    path = tmp_path / "metadata.csv"
    path.write_bytes('a|"He said, "|"He said, "\r\nb|only one\n\nc|printed|\nd|é"|ü\n'.encode())
    assert read_metadata(path) == {
        "a": ('"He said, "', '"He said, "'),
        "b": ("only one", "only one"),
        "c": ("printed", "printed"),
        "d": ('é"', "ü"),
    }
    cases = {
        "a|b|c\nno fields\n": "line 2: expected id",
        "a|b\na|c\n": "line 2: clip a was there before",
        "../../etc/passwd|b\n": "line 1: expected id",
        "a|b|c|d\n": "line 1: expected id",
        "": "lists no clips",
    }
    for text, message in cases.items():
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_metadata(path)
    path.write_bytes(b"a|\xff\n")
    with pytest.raises(ValueError, match=r"is not UTF-8 text \(byte 2\)"):
        read_metadata(path)


def test_archives_write_nothing_outside_and_nothing_by_half(tmp_path):
    path, inside = tmp_path / "LJSpeech-1.1.tar.bz2", io.BytesIO(b"x|y\n")
    with tarfile.open(path, "w:bz2") as archive:
        for name in ("LJSpeech-1.1/../../evil.wav", "/evil.wav", "LJSpeech-1.1/wavs/../../evil.wav", "L/evil.wav"):
            archive.addfile(member := tarfile.TarInfo(name), io.BytesIO(b""))
        member = tarfile.TarInfo("LJSpeech-1.1/wavs/link.wav")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(ValueError, match="holds none of the files that were expected in it"):
        LJSpeech(str(tmp_path)).prepare_data()
    with tarfile.open(path, "w:bz2") as archive:
        member = tarfile.TarInfo("LJSpeech-1.1/metadata.csv")
        member.size = 4
        archive.addfile(member, inside)
        member = tarfile.TarInfo("LJSpeech-1.1/wavs/a.wav")
        member.size = 100000
        archive.addfile(member, io.BytesIO(np.random.default_rng(0).bytes(100000)))
    path.write_bytes(path.read_bytes()[:50000])
    with pytest.raises(ValueError, match=r"LJSpeech-1\.1\.tar\.bz2 is not a tar archive that can be read"):
        LJSpeech(str(path)).prepare_data()
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@needs_lj
def test_real_lj_speech():
    data = LJSpeech(str(LJ), frames=65, batch_size=8)
    found = split_is_complete(data, 24)
    assert len(found["train"]) == 22
    batch = next(iter(data.train_dataloader()))
    assert batch.segment.shape == (8, 64 * 256 + 1024) and (batch.length == 16640).all()
    assert data.reports["train"].notice() == ""
    published = LJSpeech(str(LJ), split="waveglow")
    assert published.split_names("test")[0] == "LJ001-0001" and len(published.split_names("test")) == 10


# Spoken digits


def test_spoken_digits(tmp_path):
    folder = write_digits(tmp_path / "recordings")
    archive = write_zip(folder, tmp_path / "digits.zip")
    for root in (tmp_path, folder, archive):
        data = FreeSpokenDigits(str(root), val=20, batch_size=4, frames=10)
        found = split_is_complete(data, 160)
        assert {k: len(v) for k, v in found.items()} == {"train": 40, "val": 20, "test": 100}
        assert all(int(name.split("_")[2]) < 5 for name in found["test"]) and found["test"][0] == "0_jackson_0"
        batch = next(iter(data.train_dataloader()))
        assert batch.segment.shape == (4, 9 * 64 + 256) and data.spec == PRESETS["A0-8k"]


def test_digits_without_test_takes(tmp_path):
    folder = write_digits(tmp_path, takes=range(5, 8))
    with pytest.warns(UserWarning, match="has no takes 0 to 4: the test split is 6 other clips"):
        found = split_is_complete(FreeSpokenDigits(str(folder)), 60)
    assert len(found["val"]) == 6
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no spoken digits: expected files like"):
        FreeSpokenDigits(str(tmp_path / "empty")).split_names("train")
    with pytest.raises(FileNotFoundError, match="none not found"):
        FreeSpokenDigits(str(tmp_path / "none")).split_names("train")


@needs_digits
def test_real_digits():
    data = FreeSpokenDigits(str(DIGITS), eval_batch_size=32)
    found = split_is_complete(data, 2700)
    assert {k: len(v) for k, v in found.items()} == {"train": 2160, "val": 270, "test": 270}
    lengths = torch.cat([batch.length for batch in data.val_dataloader()])
    assert len(lengths) == 270 and torch.equal(lengths, lengths.sort().values) and lengths.min() > 1000


# Others


def test_libritts(tmp_path):
    for k, part in enumerate(("train-clean-100", "dev-clean", "test-clean")):
        for n in range(3 - k):
            path = tmp_path / "LibriTTS" / part / f"10{k}" / "7" / f"10{k}_7_000_{n}.wav"
            write(path, samples(n, 4000), 24000)
    data = LibriTTS(str(tmp_path), train=["train-clean-100"], frames=5, batch_size=2)
    found = split_is_complete(data, 6)
    assert found["val"] == ["dev-clean/101/7/101_7_000_0", "dev-clean/101/7/101_7_000_1"]
    assert data.spec.sample_rate == 24000 and next(iter(data.train_dataloader())).segment.shape == (2, 2048)
    with pytest.raises(FileNotFoundError, match="train-clean-360 not found: expected the part train-clean-360"):
        LibriTTS(str(tmp_path)).split_names("train")
    with pytest.raises(ValueError, match="unknown part 'clean' of LibriTTS: expected one of train-clean-100"):
        LibriTTS(str(tmp_path), val="clean")


@pytest.mark.parametrize("version", ["0.92", "0.80"])
def test_vctk(tmp_path, version):
    new = version == "0.92"
    folder = tmp_path / "VCTK" / ("wav48_silence_trimmed" if new else "wav48")
    for s in range(6):
        for n in range(2):
            for mic in (1, 2) if new else (0,):
                name = f"p{s}/p{s}_00{n}" + (f"_mic{mic}.flac" if new else ".wav")
                write(folder / name, samples(10 * s + n + 100 * mic, 9600), 48000)
    data = VCTK(str(tmp_path), val=1, test=2, frames=4, batch_size=2)
    found = split_is_complete(data, 12)
    speakers = [{name.split("_")[0] for name in part} for part in found.values()]
    assert [len(s) for s in speakers] == [3, 1, 2] and len(set.union(*speakers)) == 6
    with pytest.warns(UserWarning, match="VCTK train: 6 of 6 clips resampled"):
        assert data.clips("train").lengths.tolist() == [4410] * 6
    if new:
        other = VCTK(str(tmp_path), val=1, test=2, microphone=2)
        assert names(other) == found and "mic2" in other.files("train")[0].path.name
    with pytest.raises(FileNotFoundError, match="is not VCTK: expected a folder wav48_silence_trimmed or wav48"):
        VCTK(str(tmp_path / "VCTK" / "none")).split_names("train")


def test_folder(tmp_path):
    for k in range(10):
        write(tmp_path / f"s{k % 2}" / f"{k}.flac", samples(k))
    data = AudioFolder(str(tmp_path), val=2, test=0.3)
    found = split_is_complete(data, 10)
    assert {k: len(v) for k, v in found.items()} == {"train": 5, "val": 2, "test": 3} and "/" in found["train"][0]
    with pytest.raises(ValueError, match="val 5, test 5 leave none of 10 clips to train on"):
        AudioFolder(str(tmp_path), val=5, test=5).split_names("train")


def test_folder_with_splits_of_its_own(tmp_path):
    for k in range(8):
        write(tmp_path / ("val" if k > 5 else "train") / f"{k}.wav", samples(k))
    found = split_is_complete(AudioFolder(str(tmp_path), test=1), 8)
    assert found["val"] == ["val/6", "val/7"] and len(found["test"]) == 1 and found["test"][0].startswith("train/")


def test_names_with_two_suffixes(tmp_path):
    for name in ("a.wav", "a.flac", "b.wav"):
        write(tmp_path / name, samples(1))
    split_is_complete(AudioFolder(str(tmp_path), val=1, test=1), 3)


# All


def test_specs_from_every_form(tmp_path):
    parser = ArgumentParser()
    parser.add_subclass_arguments(AudioDataModule, "data")
    for text, wanted in (("B0", B0), ('{"sample_rate": 24000}', PRESETS["A0-24k"]), ('{"peak": 0.5}', None)):
        path = "flowsuite.audio.data.AudioFolder"
        config = parser.parse_args([f"--data={path}", f"--data.root={tmp_path}", f"--data.spec={text}"])
        spec = parser.instantiate_classes(config).data.spec
        assert spec == wanted if wanted else spec.peak == 0.5
    assert AudioFolder(".", spec=B0).spec is B0
    with pytest.raises(ValueError, match="unknown mel preset 'A1'"):
        AudioFolder(".", spec="A1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "expected crops of at least 1 frame and eval_batch_size >= 1, got 0, 1"),
        ({"crop_samples": -5}, "expected crops of at least 1 frame and eval_batch_size >= 1, got -5, 1"),
        ({"eval_batch_size": 0}, "got 65, 0"),
        ({"on_error": "warn"}, 'on_error must be "stop" or "skip"'),
        ({"mono": "left"}, "mono must be one of mean, first, refuse"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        AudioFolder(".", **options)


def test_published_crops_of_16000_samples(tmp_path):
    for k in range(5):
        write(tmp_path / f"{k}.wav", samples(k, 20000))
    data = AudioFolder(str(tmp_path), val=1, test=1, crop_samples=16000, batch_size=3)
    batch = next(iter(data.train_dataloader()))
    assert batch.length.tolist() == [16000] * 3 and batch.segment.shape == (3, 62 * 256 + 1024)


def test_draws():
    items = [f"i{k}" for k in range(20)]
    parts = draw(items, {"val": 0.1, "test": 3}, 0)
    assert [len(parts[k]) for k in ("train", "val", "test")] == [15, 2, 3]
    assert all(part == sorted(part, key=items.index) for part in parts.values())
    for size in (0, -1, 1.5):
        with pytest.raises(ValueError, match="val must be a share between 0 and 1 or a whole number of clips, got"):
            draw(items, {"val": size}, 0)
