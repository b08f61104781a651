"""`flowsuite sample --from`: clips said anew."""

import numpy as np
import pytest
import torch

from flowsuite.audio.wave_files import read_wave, write_wave
from flowsuite.core.training.cli import main as flowsuite
from tests.audio.test_sources import voice
from tests.audio.vocoders_made import small_checkpoint, small_module


@pytest.fixture
def sample(tmp_path, capsys):
    checkpoint = str(small_checkpoint(tmp_path / "m.ckpt"))
    for i, n in enumerate((900, 1500)):
        write_wave(tmp_path / "in" / f"{i}.wav", voice(n, i), 8000)

    def run(*options, out="out", code=0):
        argv = ["sample", "--ckpt_path", checkpoint, "--out", str(tmp_path / out), *map(str, options)]
        assert flowsuite(argv) == code
        return capsys.readouterr()

    return run


def test_samples_take_the_clips_in_turn_with_noise_of_their_own(sample, tmp_path):
    sample("--from", tmp_path / "in", "--num", 5, "--batch_size", 2)
    waves = {p.name: read_wave(p, 8000) for p in sorted((tmp_path / "out").glob("*.wav"))}
    names = ["000000_0.wav", "000001_1.wav", "000002_0.wav", "000003_1.wav", "000004_0.wav"]
    assert list(waves) == names and [len(w) for w in waves.values()] == [900, 1500, 900, 1500, 900]
    assert (waves["000000_0.wav"] - waves["000002_0.wav"]).abs().max() > 1e-2
    sample("--from", tmp_path / "in", "--num", 5, "--batch_size", 2, out="again")
    assert all((tmp_path / "again" / n).read_bytes() == (tmp_path / "out" / n).read_bytes() for n in names)
    sample("--from", tmp_path / "in", "--num", 5, "--batch_size", 2, "--seed", 1, out="other")
    assert all((tmp_path / "other" / n).read_bytes() != (tmp_path / "out" / n).read_bytes() for n in names)


def test_spectrograms_and_temperature(sample, tmp_path):
    np.save(tmp_path / "a.npy", small_module().mel(voice(8000)[None])[0].numpy())
    sample("--source", tmp_path / "a.npy", "--num", 2, "--temperature", 0)
    first, second = (p.read_bytes() for p in sorted((tmp_path / "out").glob("*.wav")))
    assert first == second


def test_a_vocoder_needs_something_to_say(sample, tmp_path):
    for options, said in (((), "give --from FILE or FOLDER"), (("--from", tmp_path / "no"), "no not found")):
        error = sample(*options, "--num", 2, code=1).err
        assert said in error and error.strip().count("\n") <= 1
        assert not (tmp_path / "out").exists()


def test_folders_of_a_failed_run_go_unless_there_is_something_in_them(sample, tmp_path):
    (tmp_path / "in" / "2.wav").touch()
    sample("--from", tmp_path / "in", "--num", 3, out="new/deep", code=1)
    assert not (tmp_path / "new").exists()
    sample("--from", tmp_path / "in", "--num", 3, "--batch_size", 2, out="new/deep", code=1)
    assert len(list((tmp_path / "new/deep").iterdir())) == 2
    (tmp_path / "mine").mkdir()
    sample("--from", tmp_path / "in", "--num", 3, out="mine", code=1)
    assert (tmp_path / "mine").is_dir()


def test_bfloat16(sample, tmp_path):
    sample("--from", tmp_path / "in", "--num", 1)
    sample("--from", tmp_path / "in", "--num", 1, "--precision", "bf16", out="low")
    exact, low = (read_wave(tmp_path / out / "000000_0.wav", 8000) for out in ("out", "low"))
    assert 0 < (exact - low).abs().max() < 0.05
    error = sample("--from", tmp_path / "in", "--precision", "half", out="no", code=1).err
    assert "must be one of 32, bf16, got 'half'" in error and not (tmp_path / "no").exists()


def test_generate_from_a_context():
    module = small_module()
    mels = module.mel(torch.stack([voice(640), voice(640, 1)]))
    waves = module.generate(2, mels, generator=torch.Generator().manual_seed(0))
    assert waves.shape == (2, 64 * mels.shape[2])


def test_waves_of_a_context_are_saved(tmp_path):
    paths = small_module().save_samples(torch.zeros(2, 100), tmp_path, 4)
    assert [path.name for path in paths] == ["000004_sample.wav", "000005_sample.wav"]
    assert len(read_wave(paths[1], 8000)) == 100
