"""`flowsuite vocode`: files to speech, alone and in bulk."""

import functools

import numpy as np
import pytest
import soundfile
import torch

from flowsuite.audio.clip_files import ClipFile
from flowsuite.audio.features import PRESETS, MelSpectrogram
from flowsuite.audio.synthesis import Synthesizer
from flowsuite.audio.vocode_files import Job, batches, plan
from flowsuite.audio.wave_files import read_wave, write_wave
from flowsuite.core.training.cli import main as flowsuite
from tests.audio.test_sources import voice
from tests.audio.vocoders_made import small_checkpoint, small_module

SPEC = PRESETS["A0-8k"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(small_checkpoint(tmp_path_factory.mktemp("model") / "m.ckpt"))


@pytest.fixture
def vocode(checkpoint, tmp_path, capsys):
    def run(*arguments, out="out", code=0):
        argv = [
            "vocode",
            *map(str, arguments),
            "--ckpt_path",
            checkpoint,
            "--out",
            str(tmp_path / out),
            "--device",
            "cpu",
        ]
        assert flowsuite(argv) == code
        return capsys.readouterr()

    return run


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    for i, n in enumerate((900, 4000, 1, 2500)):
        (root / f"s{i % 2}").mkdir(parents=True, exist_ok=True)
        write_wave(root / f"s{i % 2}" / f"c{i}.wav", voice(n, i), 8000)
    return root


def contents(root):
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_a_file(vocode, checkpoint, tmp_path):
    write_wave(tmp_path / "a.wav", voice(5000), 8000)
    said = vocode(tmp_path / "a.wav", "--spectrogram", "--temperature", "0.5", out="copy.wav").out
    assert "copy.wav: 1 file, 0.6 s of audio in" in said and "x real time)" in said
    info = soundfile.info(tmp_path / "copy.wav")
    assert (info.samplerate, info.frames, info.channels, info.subtype) == (8000, 5000, 1, "PCM_16")
    wanted = Synthesizer.load(checkpoint, "cpu", temperature=0.5).copy(read_wave(tmp_path / "a.wav"), "a")
    assert (read_wave(tmp_path / "copy.wav") - wanted.clamp(-1, 32767 / 32768)).abs().max() <= 0.51 / 32768
    assert (tmp_path / "copy.png").read_bytes().startswith(b"\x89PNG")


def test_precision_graphs_and_compilation(vocode, checkpoint, tmp_path, monkeypatch):
    """On a CPU there are no graphs to leave out; compiled is the same up to rounding."""
    write_wave(tmp_path / "a.wav", voice(2000), 8000)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    runs = {"plain": [], "plainer": ["--no_graphs"], "compiled": ["--compile"], "low": ["--precision", "bf16"]}
    for name, options in runs.items():
        vocode(tmp_path / "a.wav", *options, out=f"{name}.wav")
    waves = {name: read_wave(tmp_path / f"{name}.wav") for name in runs}
    assert torch.equal(waves["plain"], waves["plainer"])
    assert (waves["plain"] - waves["compiled"]).abs().max() <= 1.01 / 32768
    assert 1.01 / 32768 < (waves["plain"] - waves["low"]).abs().max() < 0.05
    with pytest.raises(SystemExit):
        vocode(tmp_path / "a.wav", "--precision", "fp8")


def test_a_folder_in_any_batches_and_again(vocode, folder, tmp_path):
    said = vocode(folder, "--batch_seconds", "0.4").out
    assert "4 files, 0.9 s of audio" in said
    assert list(contents(tmp_path / "out")) == ["s0/c0.wav", "s0/c2.wav", "s1/c1.wav", "s1/c3.wav"]
    for name in ("s0/c0", "s1/c1", "s0/c2", "s1/c3"):
        assert soundfile.info(tmp_path / f"out/{name}.wav").frames == soundfile.info(folder / f"{name}.wav").frames
    vocode(folder, "--batch_seconds", "60", out="other")
    for name in contents(tmp_path / "out"):
        one, other = (read_wave(tmp_path / out / name) for out in ("out", "other"))
        assert (one - other).abs().max() <= 1.01 / 32768
    kept = (tmp_path / "out/s0/c0.wav").stat().st_mtime_ns
    (tmp_path / "out/s1/c1.wav").unlink()
    said = vocode(folder).out
    assert "1 file, 0.5 s of audio" in said and "3 files already there" in said
    assert (tmp_path / "out/s0/c0.wav").stat().st_mtime_ns == kept and (tmp_path / "out/s1/c1.wav").exists()
    assert "0 files" in vocode(folder).out
    assert "4 files" in vocode(folder, "--overwrite", "--seed", "1").out
    assert (tmp_path / "out/s0/c0.wav").read_bytes() != contents(tmp_path / "other")["s0/c0.wav"]


def test_bad_files_are_counted_or_stop(vocode, folder, tmp_path):
    (folder / "empty.wav").touch()
    write_wave(folder / "fast.wav", voice(900), 44100)
    (folder / "text.wav").write_text("not audio")
    heard = vocode(folder, "--on_error", "skip", code=1)
    assert "4 files, 0.9 s of audio" in heard.out and "3 files failed" in heard.out
    for said in ("empty.wav is empty", "fast.wav is at 44100 Hz, the model at 8000", "text.wav is not an audio file"):
        assert said in heard.err
    assert len(heard.err.splitlines()) == 3
    assert len(contents(tmp_path / "out")) == 4
    heard = vocode(folder, out="other", code=1)
    assert heard.err.count("\n") == 1 and "empty.wav is empty" in heard.err
    vocode(folder / "fast.wav", "--resample", out="slow.wav")
    assert soundfile.info(tmp_path / "slow.wav").frames == 164


def test_stereo_silence_dc_and_a_square_wave(vocode, tmp_path):
    cases = {
        "stereo": np.stack([voice(3000), voice(3000, 1)], 1),
        "silence": np.zeros(2000),
        "dc": np.full(2000, 0.25),
        "square": np.sign(np.sin(np.arange(3000) / 7)),
        "one": np.zeros(1),
    }
    for name, wave in cases.items():
        (tmp_path / "in").mkdir(exist_ok=True)
        soundfile.write(tmp_path / "in" / f"{name}.wav", wave, 8000, subtype="PCM_24")
    assert "5 files" in vocode(tmp_path / "in", "--metrics", "--no_pitch").out
    for name, wave in cases.items():
        assert soundfile.info(tmp_path / "out" / f"{name}.wav").frames == len(wave)


def test_clipped_samples_are_counted(vocode, tmp_path):
    write_wave(tmp_path / "a.wav", voice(3000), 8000)
    said = vocode(tmp_path / "a.wav", "--temperature", "3").out
    wave = read_wave(tmp_path / "out/a.wav")
    count = int(((wave == 32767 / 32768) | (wave == -1)).sum())
    assert count > 100 and f"{count:,} samples clipped in 1 file" in said.replace("\n", " ")


def test_mels_of_this_and_other_toolchains(vocode, tmp_path):
    mel = MelSpectrogram(SPEC)(voice(8000)[None])[0]
    np.save(tmp_path / "mine.npy", mel.numpy())
    np.savez(tmp_path / "log10.npz", mel=(mel / np.log(10)).numpy().T)
    vocode(tmp_path / "mine.npy", out="mine.wav")
    assert soundfile.info(tmp_path / "mine.wav").frames == 64 * mel.shape[1]
    vocode(tmp_path / "log10.npz", "--spec", '{"log": "log10"}', out="log10.wav")
    mine, converted = (read_wave(tmp_path / f"{name}.wav") for name in ("mine", "log10"))
    assert len(mine) == len(converted)
    heard = vocode(tmp_path / "log10.npz", out="wrong.wav", code=1).err
    assert "log10.npz: not a mel of this spec" in heard and heard.count("\n") == 1
    assert not (tmp_path / "wrong.wav").exists()
    vocode(tmp_path / "log10.npz", "--no_check", out="wrong.wav")
    assert "no metrics: nothing was synthesised that has a recording" in vocode(tmp_path / "mine.npy", "--metrics").out


def test_the_table(vocode, folder):
    said = vocode(folder, "--metrics", "--baseline", "--no_pitch").out
    assert "copy-synthesis of 4 clips at temperature 1" in said
    table = [line for line in said.splitlines() if line.startswith("|")]
    assert len(table) == 4 and "M-STFT" in table[0] and "F0" not in table[0]
    assert table[2].startswith("| this model") and table[3].startswith("| Griffin-Lim")


def test_long_files_in_pieces(vocode, tmp_path):
    write_wave(tmp_path / "a.wav", voice(9001), 8000)
    whole = vocode(tmp_path / "a.wav", "--denoise", "0.2", out="whole.wav")
    vocode(tmp_path / "a.wav", "--denoise", "0.2", "--chunk", "0.2", "--margin", "40", out="pieces.wav")
    one, other = (read_wave(tmp_path / f"{name}.wav") for name in ("whole", "pieces"))
    assert len(one) == len(other) == 9001 and (one - other).abs().max() <= 1.01 / 32768 and "1 file" in whole.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["in", "--out", "in"], "would replace what it is made from"),
        (["in", "--out", "all.wav"], "--out must be a folder for 4 files"),
        (["in/s0/c0.wav", "--out", "in/s0/c2.wav", "--baseline"], "are about the table of --metrics"),
        (["in/s0/c0.wav", "--out", "o.mp3"], "results are WAV: --out must end in .wav or be a folder, got o.mp3"),
        (["nothing", "--out", "o"], "nothing not found"),
        (["in", "--out", "o", "--batch_seconds", "0"], "batch_seconds must be positive"),
        (["in", "--out", "o", "--temperature", "-1"], "temperature >= 0"),
        (["in", "--out", "o", "--denoise", "0.1", "--denoise_bias", "loud"], "bias of a denoiser must be one of"),
        (["in", "--out", "o", "--spec", "C7"], "unknown mel preset 'C7'"),
        (["in", "--out", "o", "--spec", '{"log": 3'], "--spec must be one of A0"),
    ],
)
def test_wrong_commands(checkpoint, folder, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    assert flowsuite(["vocode", *arguments, "--ckpt_path", checkpoint, "--device", "cpu", "--quiet"]) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert contents(tmp_path) == before


def test_plan_and_batches(tmp_path):
    files = [ClipFile(name, tmp_path / f"{name}.flac") for name in "ab"]
    todo, there = plan(files, tmp_path)
    assert todo == [Job(file, tmp_path / f"{file.name}.wav") for file in files] and there == 0
    (tmp_path / "a.wav").touch()
    assert plan(files, tmp_path) == (todo[1:], 1) and plan(files, tmp_path, overwrite=True) == (todo, 0)

    class Clip:
        def __init__(self, samples):
            self.samples = samples

    pool = [(None, Clip(n)) for n in (50, 10, 200, 40, 30)]
    found = [[clip.samples for _, clip in batch] for batch in batches(pool, 100)]
    assert found == [[10, 30], [40, 50], [200]]


def test_another_domains_checkpoint(tmp_path, capsys):
    write_wave(tmp_path / "a.wav", voice(100), 8000)
    from flowsuite.core.training.checkpoint import build_module, save_module

    flow = {"class_path": "flowsuite.audio.waveflow.WaveFlow", "init_args": {"channels": 2, "n_flows": 1}}
    save_module(tmp_path / "m.ckpt", build_module("flowsuite.core.training.module.FlowModule", {"flow": flow}))
    argv = ["vocode", str(tmp_path / "a.wav"), "--ckpt_path", str(tmp_path / "m.ckpt"), "--out", str(tmp_path / "o")]
    assert flowsuite(argv) == 1 and "holds a FlowModule, expected a model of speech" in capsys.readouterr().err


def test_a_model_that_diverges_fails_file_by_file(tmp_path, capsys, monkeypatch):
    module = small_module()
    with torch.no_grad():
        next(p for name, p in module.named_parameters() if ".out." in name).fill_(float("nan"))
    monkeypatch.setattr("flowsuite.audio.synthesis.load_module", lambda *a: module)
    write_wave(tmp_path / "a.wav", voice(900), 8000)
    argv = [
        "vocode",
        str(tmp_path / "a.wav"),
        "--ckpt_path",
        "m.ckpt",
        "--out",
        str(tmp_path / "o"),
        "--on_error",
        "skip",
    ]
    assert flowsuite([*argv, "--device", "cpu"]) == 1
    heard = capsys.readouterr()
    assert "samples from number 0 on are not finite numbers" in heard.err and "1 file failed" in heard.out
    assert not list((tmp_path / "o").glob("*"))
