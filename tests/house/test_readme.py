"""The README's own commands and snippets."""

import re
import shlex
from pathlib import Path

import pytest

from flowsuite.core.training import cli

README = Path(__file__).parents[2] / "README.md"
SHORT = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.check_val_every_n_epoch", "1"]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), flags=re.S)


def commands():
    """Every `flowsuite ...` line, comments cut off."""
    lines = [line.split(" #")[0].strip() for block in blocks("console") for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("flowsuite ")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which the demo recipe was trained for two steps."""
    folder = tmp_path_factory.mktemp("readme")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert cli.main(["fit", "--config", "images/demo", *SHORT]) == 0
    return folder


@pytest.mark.parametrize("argv", commands(), ids=" ".join)
def test_command(argv, trained, monkeypatch, capsys):
    monkeypatch.chdir(trained)
    checkpoint = "runs/images/demo/version_0/checkpoints/best.ckpt"
    argv = [checkpoint if word == "CKPT" else word for word in argv]
    if argv[0] == "import":
        pytest.skip("tests/reference/test_import.py imports real weights; these file names are the reader's")
    if argv[0] == "fit" and "images/demo" not in argv:
        argv.append("--print_config")  # the recipes are trained in test_recipes.py
        with pytest.raises(SystemExit) as done:
            cli.main(argv)
        assert done.value.code == 0
        assert "class_path: flowsuite." in capsys.readouterr().out
        return
    if argv[0] == "fit":
        argv += SHORT
    assert cli.main(argv) == 0, capsys.readouterr().err
    if "--out" in argv:
        assert Path(argv[argv.index("--out") + 1]).exists()


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.split()[1])
def test_snippet(code, trained, monkeypatch):
    monkeypatch.chdir(trained)
    names = {}
    exec(code.replace("range(200)", "range(20)"), names)
    if "log_prob" in names:
        assert names["log_prob"].shape == (512,) and names["log_prob"].isfinite().all()
    elif "samples" in names:
        assert names["samples"].shape == (1000, 2) and names["samples"].isfinite().all()
    else:
        assert names["images"].shape == (64, 1, 8, 8)


def test_linked_files_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target


def test_make_targets_exist():
    makefile = (README.parent / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("console")), flags=re.M):
        assert re.search(rf"^{target}:", makefile, flags=re.M), target
