"""Reading every kind of file, refusing bad ones by name, writing without wrapping."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
import torch

from flowsuite.audio.wave_files import list_waves, read_recording, read_wave, to_int16, write_wave
from tests.audio.waves_made import LJ, needs_lj, samples, write


def test_sixteen_bits_are_exact(tmp_path):
    data = np.array([-32768, -32767, -1, 0, 1, 32767], dtype=np.int16)
    wave = read_wave(write(tmp_path / "a.wav", data), 22050)
    assert wave.dtype == torch.float32 and torch.equal(wave * 32768, torch.from_numpy(data).float())
    assert torch.equal(to_int16(wave)[0], torch.from_numpy(data))


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    [
        ("a.wav", "PCM_U8", 1.5 / 128),
        ("a.wav", "PCM_24", 3e-7),
        ("a.wav", "PCM_32", 1e-7),
        ("a.wav", "FLOAT", 0),
        ("a.wav", "DOUBLE", 1e-7),
        ("a.wav", "ULAW", 0.03),
        ("a.flac", "PCM_16", 1.5 / 32768),
        ("a.flac", "PCM_24", 3e-7),
        ("a.aiff", "PCM_16", 1.5 / 32768),
        ("a.w64", "PCM_16", 1.5 / 32768),
        ("a.ogg", "VORBIS", 0.2),
        ("a.mp3", "MPEG_LAYER_III", 0.2),
    ],
)
def test_formats(tmp_path, name, subtype, error):
    data = 0.7 * np.sin(2 * np.pi * 441 * np.arange(22050) / 22050).astype(np.float32)
    wave = read_wave(write(tmp_path / name, data, subtype=subtype))
    assert wave.shape == (22050,) and abs(wave.numpy() - data).max() <= error


def test_an_extreme_sample_of_eight_bits(tmp_path):
    path = write(tmp_path / "a.wav", np.array([-1.0, 0.0, 0.5]), subtype="PCM_U8")
    assert read_wave(path).tolist() == [-1.0, 0.0, 0.5]


def test_channels(tmp_path):
    left, right = samples(0), samples(1)
    path = write(tmp_path / "a.wav", np.stack((left, right), axis=1))
    mean = (left.astype(float) + right) / 65536
    np.testing.assert_allclose(read_wave(path).numpy(), mean, atol=1e-8)
    assert torch.equal(read_wave(path, mono="first"), torch.from_numpy(left) / 32768)
    assert read_recording(path).channels == 2
    with pytest.raises(ValueError, match=r"a\.wav has 2 channels, expected 1$"):
        read_wave(path, mono="refuse")
    with pytest.raises(ValueError, match="mono must be one of mean, first, refuse, got 'left'"):
        read_wave(path, mono="left")


def test_another_rate_is_refused_or_converted(tmp_path):
    time = np.arange(44100) / 44100
    data = 0.5 * np.sin(2 * np.pi * 440 * time) + 0.3 * np.sin(2 * np.pi * 15000 * time)
    path = write(tmp_path / "LJ001-0001.wav", data, 44100)
    with pytest.raises(ValueError, match=r"LJ001-0001.wav is at 44100 Hz, expected 22050: .* resample: true"):
        read_wave(path, 22050)
    wave = read_wave(path, 22050, resample=True).numpy()
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
    assert wave.shape == (22050,) and abs(wave - wanted)[200:-200].max() < 2e-3  # and 15 kHz is gone


@pytest.mark.parametrize(("old", "new", "n"), [(8000, 22050, 1000), (48000, 22050, 999), (22050, 16000, 1)])
def test_lengths_after_resampling(tmp_path, old, new, n):
    path = write(tmp_path / "a.wav", samples(0, n), old)
    assert len(read_wave(path, new, resample=True)) == -(-n * new // old)


def test_an_odd_rate_is_refused_before_it_fills_the_memory(tmp_path):
    path = write(tmp_path / "a.wav", samples(0), 44101)
    with pytest.raises(ValueError, match=r"a\.wav: cannot resample from 44101 to 22050 Hz"):
        read_wave(path, 22050, resample=True)


def wav(data: bytes, claimed: int | None = None) -> bytes:
    size = len(data) if claimed is None else claimed
    fmt = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 22050, 44100, 2, 16)
    body = b"WAVE" + fmt + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", (36 + size) % 2**32) + body


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "bad.wav"
    cases = {
        b"": "bad.wav is empty",
        b"not audio at all": "bad.wav is not an audio file",
        wav(b""): "bad.wav holds no samples",
        wav(b"\x01\x00" * 500, 4000): "bad.wav is truncated: its header promises 4000 bytes of samples, 1000 are there",
    }
    for contents, message in cases.items():
        path.write_bytes(contents)
        with pytest.raises(ValueError, match=message):
            read_wave(path)
        if contents:
            with pytest.raises(ValueError, match=message):
                read_wave("bad.wav", data=contents)
    with pytest.raises(FileNotFoundError, match=r"no\.wav not found"):
        read_wave(tmp_path / "no.wav")
    with pytest.raises(ValueError, match="is a folder, expected an audio file"):
        read_wave(tmp_path)


def test_a_size_that_a_pipe_did_not_know_is_no_truncation():
    for claimed in (0xFFFFFFFF, 0x7FFFFFFF):
        assert len(read_wave("piped.wav", data=wav(b"\x01\x00" * 500, claimed))) == 500


@pytest.mark.parametrize("form", ["flac", "mp3", "aiff", "w64"])
def test_truncated(tmp_path, form):
    whole = write(tmp_path / f"whole.{form}", samples(0, 40000)).read_bytes()
    path = tmp_path / f"cut.{form}"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ValueError, match=f"cut.{form} .*truncated"):
        read_wave(path)


def test_samples_that_are_none(tmp_path):
    data = np.full(100, 0.1, dtype=np.float32)
    data[3] = np.nan
    with pytest.raises(ValueError, match=r"a\.wav has 1 samples that are not finite"):
        read_wave(write(tmp_path / "a.wav", data, subtype="FLOAT"))
    data[3] = 20000
    with pytest.raises(ValueError, match=r"a\.wav has samples up to 20000: expected them in \[-1, 1\)"):
        read_wave(write(tmp_path / "a.wav", data, subtype="FLOAT"))
    data[3] = 1.5
    recording = read_recording(write(tmp_path / "a.wav", data, subtype="FLOAT"))
    assert recording.clipped == 1 and float(recording.wave[3]) == 32767 / 32768


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_only_our_errors_come_out_of_damaged_files(tmp_path, form):
    """Cut anywhere, with bytes changed at random, or plain noise: a wave, or one line that names the file."""
    random = np.random.default_rng(0)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples(0, 2000), 22050, format=form)
    whole = buffer.getvalue()
    path = tmp_path / f"bad.{form.lower()}"
    refused = 0
    for trial in range(120):
        data = bytearray(whole)
        if trial % 3 == 0:
            data = data[: random.integers(len(data))]
        elif trial % 3 == 1:
            for place in random.integers(min(len(data), 120), size=4):
                data[place] = random.integers(256)
        else:
            data = bytearray(random.bytes(200))
            data[:4] = whole[: 4 * (trial % 2)]
        path.write_bytes(data)
        for source in ({}, {"data": bytes(data)}):
            try:
                wave = read_wave(path, 22050, **source)
            except ValueError as error:
                assert "bad." in str(error) and "\n" not in str(error)
                refused += 1
            else:
                assert len(wave) and torch.isfinite(wave).all() and wave.min() >= -1 and wave.max() < 1
    assert refused > 60


def test_writing_clips_and_never_wraps(tmp_path):
    wave = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.25, 32767 / 32768, 1.0, 1.5, 0.5 / 32768, 1.5 / 32768])
    path = tmp_path / "deep" / "a.wav"
    assert write_wave(path, wave, 22050) == 3
    stored, rate = soundfile.read(path, dtype="int16")
    assert rate == 22050 and stored.tolist() == [-32768, -32768, -16384, 0, 8192, 32767, 32767, 32767, 0, 2]
    assert soundfile.info(path).subtype == "PCM_16"


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.wav"
    write_wave(path, torch.zeros(10), 8000)
    before = path.read_bytes()
    for wave, message in ((torch.tensor([0.0, float("nan")]), "1 samples are not finite"), (torch.ones(2, 2), "shape")):
        with pytest.raises(ValueError, match=message):
            write_wave(path, wave, 8000)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.wav"]


def test_round_trip(tmp_path):
    data = torch.from_numpy(samples(3, 5000))
    assert write_wave(tmp_path / "a.wav", data / 32768, 24000) == 0
    assert torch.equal(to_int16(read_wave(tmp_path / "a.wav", 24000))[0], data)


def test_listing(tmp_path):
    for name in ("b/2.WAV", "b/1.flac", "a.wav", ".hidden/x.wav", "._a.wav", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [p.relative_to(tmp_path).as_posix() for p in list_waves(tmp_path)] == ["a.wav", "b/1.flac", "b/2.WAV"]
    with pytest.raises(FileNotFoundError, match="holds no audio files"):
        list_waves(write_empty(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="not a folder"):
        list_waves(tmp_path / "missing")


def write_empty(folder):
    folder.mkdir()
    return folder


@needs_lj
def test_the_first_clip_of_lj_speech():
    wave = read_wave(LJ / "wavs" / "LJ001-0001.wav", 22050)
    assert len(wave) == 212893 and 0.5 <= wave.abs().max() <= 0.97 and 0.07 < wave.square().mean().sqrt() < 0.11
