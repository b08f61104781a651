"""What a vocoder is to say: audio and spectrograms of every kind, and which files are taken."""

import numpy as np
import pytest
import torch

from flowsuite.audio import sources
from flowsuite.audio.clip_files import ClipFile
from flowsuite.audio.features import PRESETS, MelSpec, MelSpectrogram
from flowsuite.audio.sources import SourceReader, list_sources, mel_of, source_of_mel, source_of_wave
from flowsuite.audio.wave_files import write_wave

SPEC = PRESETS["A0-8k"]
UNCENTRED = MelSpec.from_dict({**SPEC.to_dict(), "centred": False, "peak": 0.999})


def voice(n, seed=0):
    t = torch.arange(n) / 8000
    hum = sum(torch.sin(2 * torch.pi * 150 * k * t) / k for k in range(1, 20))
    return 0.1 * hum + 0.001 * torch.randn(n, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("spec", [SPEC, UNCENTRED], ids=["centred", "uncentred"])
@pytest.mark.parametrize("n", [1, 63, 64, 1000, 5000])
def test_mels_in_pieces_are_those_of_the_whole(spec, n, monkeypatch):
    monkeypatch.setattr(sources, "PIECE", 7)
    mel, wave = MelSpectrogram(spec), voice(n)
    torch.testing.assert_close(mel_of(wave, mel), mel(wave[None])[0], atol=2e-5, rtol=0)


def test_a_recording_comes_back_at_its_place_and_loudness():
    """Variant B0 puts samples in front and changes the loudness; a perfect vocoder's wave is the recording again."""
    wave = voice(1001)
    source = source_of_wave("a", wave, MelSpectrogram(UNCENTRED))
    assert source.samples == source.lead + 1001 and source.lead == UNCENTRED.lead(1001) > 0
    perfect = torch.cat((torch.ones(source.lead), wave * 0.999 / wave.abs().max()))
    torch.testing.assert_close(source.finished(perfect), wave)
    centred = source_of_wave("a", wave, MelSpectrogram(SPEC))
    assert (centred.samples, centred.lead, centred.gain) == (1001, 0, 1.0)


@pytest.mark.parametrize("spec", [SPEC, UNCENTRED], ids=["centred", "uncentred"])
@pytest.mark.parametrize("wave", [torch.zeros(500), torch.zeros(1), torch.full((300,), 0.5), torch.ones(1)])
def test_silence_dc_and_single_samples(spec, wave):
    source = source_of_wave("a", wave, MelSpectrogram(spec))
    assert source.mel.isfinite().all() and source.mel.shape == (80, spec.frames(len(wave)))
    assert len(source.finished(torch.zeros(source.samples))) == len(wave)


def test_spectrograms_stand_for_their_hops_and_are_converted():
    mel = MelSpectrogram(SPEC)(voice(4000)[None])[0]
    assert source_of_mel("a", mel, SPEC).samples == 64 * mel.shape[1]
    other = MelSpec.from_dict({**SPEC.to_dict(), "log": "log10"})
    source = source_of_mel("a", mel / np.log(10), SPEC, other)
    torch.testing.assert_close(source.mel, mel, atol=1e-4, rtol=0)


def test_audio_and_spectrograms_in_files(tmp_path):
    wave = voice(8000)
    write_wave(tmp_path / "a.wav", wave, 8000)
    reader = SourceReader(MelSpectrogram(SPEC))
    source = reader(ClipFile("a", tmp_path / "a.wav"))
    assert source.name == "a" and len(source.recording) == 8000
    np.save(tmp_path / "a.npy", source.mel.numpy().T)
    torch.save(source.mel, tmp_path / "a.pt")
    for name in ("a.npy", "a.pt"):
        again = reader(ClipFile("a", tmp_path / name))
        assert torch.equal(again.mel, source.mel) and again.recording is None


def test_other_rates_are_refused_or_converted(tmp_path):
    write_wave(tmp_path / "a.wav", voice(8820), 44100)
    mel = MelSpectrogram(SPEC)
    with pytest.raises(ValueError, match=r"a.wav is at 44100 Hz, the model at 8000.*--resample"):
        SourceReader(mel)(ClipFile("a", tmp_path / "a.wav"))
    assert SourceReader(mel, resample=True)(ClipFile("a", tmp_path / "a.wav")).samples == 1600


def test_mels_that_cannot_be_are_refused(tmp_path):
    mel = MelSpectrogram(SPEC)
    good = mel_of(voice(8000), mel)
    cases = {"nan": (good.clone(), "NaN"), "db": (good * 8.68, "decibels"), "bands": (good[:40], "80")}
    cases["nan"][0][3, 5] = float("nan")
    for name, (array, said) in cases.items():
        path = tmp_path / f"{name}.npy"
        np.save(path, array.numpy())
        with pytest.raises(ValueError, match=said) as error:
            SourceReader(mel)(ClipFile(name, path))
        assert str(path) in str(error.value) and "\n" not in str(error.value)
    unchecked = SourceReader(mel, check=False)
    assert unchecked(ClipFile("db", tmp_path / "db.npy")).mel.isfinite().all()
    with pytest.raises(ValueError, match="NaN"):
        unchecked(ClipFile("nan", tmp_path / "nan.npy"))


def names(files):
    return [file.name for file in files]


def test_which_files_are_taken(tmp_path):
    for name in ("b.wav", "a.flac", "sub/a.wav", "notes.txt", ".hidden/c.wav", "out/b.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert names(list_sources([tmp_path], leave_out=tmp_path / "out")) == ["a", "b", "sub/a"]
    assert "out/b" in names(list_sources([tmp_path]))
    assert names(list_sources([tmp_path / "b.wav", tmp_path / "sub"])) == ["b", "a"]
    (tmp_path / "sub/a.flac").touch()  # names do not depend on what else there is, so that these two clash
    with pytest.raises(ValueError, match=r"a\.flac and .*a\.wav have the same name, a:"):
        list_sources([tmp_path / "sub"])


def test_which_files_are_not_taken(tmp_path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no files to synthesise from"):
        list_sources([tmp_path])
    for name in ("a.wav", "a.npy", "sub/a.wav"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="2 audio files and 1 spectrogram: say which with --only"):
        list_sources([tmp_path])
    assert names(list_sources([tmp_path], only="mels")) == ["a"]
    with pytest.raises(FileNotFoundError, match="holds no files to synthesise from"):
        list_sources([tmp_path / "sub"], only="mels")
    with pytest.raises(ValueError, match="have the same name"):
        list_sources([tmp_path / "a.wav", tmp_path / "sub/a.wav"])
    with pytest.raises(FileNotFoundError, match=r"nothing\.wav not found"):
        list_sources([tmp_path / "nothing.wav"])
