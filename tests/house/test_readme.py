"""The README's own commands and snippets."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import yaml

from flowsuite.audio.features import MelSpectrogram
from flowsuite.audio.features.spec import as_spec
from flowsuite.audio.speech_like import speech_like
from flowsuite.audio.wave_files import write_wave
from flowsuite.core.training import cli
from flowsuite.core.training.recipes import find_recipe

README = Path(__file__).parents[2] / "README.md"
SHORT = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.check_val_every_n_epoch", "1"]
DEMOS = {  # recipes that are trained here, and what makes them short
    "images/demo": {},
    "molecules/demo": {
        "data.init_args.max_atoms": "6",
        "data.init_args.cache": ".",
        "data.init_args.workers": "0",
        "model.init_args.test_samples": "20",
    },
    "audio/demo": {"model.init_args.flow.init_args.channels": "4", "model.init_args.test_clips": "1"},
    "video/demo": {
        "model.init_args.flow.init_args.width": "8",
        "model.init_args.test_samples": "2",
        "data.init_args.val_videos": "2",
        "data.init_args.test_videos": "2",
    },
}
CHECKPOINTS = {
    "CKPT": "runs/images/demo/version_0/checkpoints/best.ckpt",
    "MOLECULES": "runs/molecules/demo/version_0/checkpoints/best.ckpt",
    "VOCODER": "runs/audio/demo/version_0/checkpoints/best.ckpt",
    "VIDEO": "runs/video/demo/version_0/checkpoints/best.ckpt",
}
FEWER = {("--num", "100"): "10", ("--num", "20"): "4", ("--steps", "100"): "1", ("--frames", "100"): "3"}


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.S)


def shortened(recipe):
    return [word for key, value in DEMOS[recipe].items() for word in (f"--{key}", value)]


def commands():
    """Every `flowsuite ...` line, comments cut off."""
    lines = [line.split(" #")[0].strip() for block in blocks("console") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("flowsuite ")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which demo recipes were trained for two steps, with molecules drawn from one, speech and its mel."""
    folder = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for recipe in DEMOS:
            assert cli.main(["fit", "--config", recipe, *SHORT, *shortened(recipe)]) == 0
        assert cli.main(["sample", "--ckpt_path", CHECKPOINTS["MOLECULES"], "--num", "8", "--out", "drawn"]) == 0
    write_speech(folder)
    return folder


def write_speech(folder):
    """A recording for the demo's vocoder, and a mel such as an acoustic model would predict."""
    spec = yaml.safe_load(find_recipe("audio/demo").read_text())["model"]["init_args"]["spec"]
    wave = speech_like(0, sample_rate=spec["sample_rate"], seconds=(1.0, 1.0)).wave
    write_wave(folder / "speech.wav", wave, spec["sample_rate"])
    (folder / "mels").mkdir()
    np.save(folder / "mels" / "predicted.npy", MelSpectrogram(as_spec(spec))(wave[None])[0].numpy())


@pytest.mark.parametrize("argv", commands(), ids=" ".join)
def test_command(argv, trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    argv = [CHECKPOINTS.get(word, word) for word in argv]
    if argv[0] == "import":
        pytest.skip("tests/reference/test_import.py imports real weights; these file names are the reader's")
    if argv[0] == "fit" and not DEMOS.keys() & set(argv):
        argv.append("--print_config")  # the recipes are trained in test_recipes.py
        with pytest.raises(SystemExit) as done:
            cli.main(argv)
        assert done.value.code == 0
        assert "class_path: flowsuite." in capsys.readouterr().out
        return
    if argv[0] == "fit":
        argv += SHORT
    if argv[:2] in (["molecules", "evaluate"], ["molecules", "encode"]) or argv[0] == "optimize":
        argv += ["--workers", "0"]  # processes take longer to start than this
    if argv[:2] == ["video", "evaluate"]:
        argv += ["--num", "1", "--samples", "2"]
    if argv[0] in ("fit", "test"):
        argv += next(shortened(recipe) for recipe in DEMOS if recipe in argv)
    argv = [FEWER.get((option, word), word) for option, word in zip(["", *argv], argv, strict=False)]
    assert cli.main(argv) == 0, capsys.readouterr().err
    if "--out" in argv:
        assert Path(argv[argv.index("--out") + 1]).exists()


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.split()[1])
def test_snippet(code, trained, monkeypatch):
    monkeypatch.chdir(trained)
    names = {}
    exec(code.replace("range(200)", "range(20)").replace("generate(100)", "generate(10)"), names)
    if "log_prob" in names:
        assert names["log_prob"].shape == (512,) and names["log_prob"].isfinite().all()
    elif "log_q" in names:
        assert names["z"].shape == (1000, 3) and names["log_q"].isfinite().all() and names["q"].report.ess > 0
    elif "samples" in names:
        assert names["samples"].shape == (1000, 2) and names["samples"].isfinite().all()
    elif "smiles" in names:
        assert len(names["smiles"]) == 10 and any(names["smiles"])
    else:
        assert names["images"].shape == (64, 1, 8, 8)


def test_linked_files_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target


def test_make_targets_exist():
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("console")), flags=re.M):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
