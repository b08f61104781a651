"""Options that domains add to `flowsuite sample`, `finish_samples`, and commands that go without a domain's name."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from toyflow import ToyFlow

from flowsuite.core.training import cli, recipes, sampling, sampling_options
from flowsuite.core.training.module import FlowModule
from flowsuite.core.training.numpy_files import load_npz

OPTIONS = {
    "shift": (float, "toys: added to every number"),
    "upside_down": (bool, "toys: signs the other way"),
    "title": (str, "toys: of the list"),
    "loud": (bool, "toys: capital letters"),
}


class Toys(FlowModule):
    """Takes one number and one switch for generating, and one of each for finishing."""

    def generate(self, n, context=None, temperature=1.0, generator=None, shift=0.0, upside_down=False):
        samples = super().generate(n, context, temperature, generator) + shift
        return -samples if upside_down else samples

    def finish_samples(self, out, firsts, title="toys", loud=False):
        names = [f"{title} {path.name}" for first in firsts for path in out.glob(f"samples_{first:06d}.npz")]
        text = "\n".join(names)
        (out / "list.txt").write_text(text.upper() if loud else text)
        return f"{len(names)} files listed"


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """`flowsuite sample` as it would be with a domain of toys."""
    import torch

    torch.manual_seed(0)
    module = Toys(ToyFlow()).eval()
    (tmp_path / "toys.ckpt").touch()
    monkeypatch.setattr(sampling_options, "domain_options", lambda: OPTIONS)
    monkeypatch.setattr(sampling, "load_module", lambda *args, **options: module)

    def sample(out: str, *options: str) -> int:
        argv = ["sample", "--ckpt_path", str(tmp_path / "toys.ckpt"), "--num", "10", "--batch_size", "4", *options]
        return cli.main([*argv, "--out", str(tmp_path / out)])

    return sample


def test_numbers_and_switches_reach_generate_and_finish(toys, tmp_path, capsys):
    assert toys("plain") == 0
    assert toys("other", "--shift", "2.5", "--upside_down", "--title", "mine", "--loud") == 0
    assert "3 files listed" in capsys.readouterr().out
    names = [f"samples_{first:06d}.npz" for first in (0, 4, 8)]
    for name in names:
        plain, other = (load_npz(tmp_path / out / name)["samples"] for out in ("plain", "other"))
        np.testing.assert_allclose(other, -(plain + 2.5), rtol=1e-5, atol=1e-5)
    assert (tmp_path / "plain/list.txt").read_text().splitlines() == [f"toys {name}" for name in names]
    assert (tmp_path / "other/list.txt").read_text().splitlines() == [f"MINE {name.upper()}" for name in names]


def test_a_switch_that_is_not_given_is_left_to_the_model(toys):
    options = sampling_options.parser().parse_args(["--ckpt_path", "x", "--out", "y", "--loud"])
    assert (options.loud, options.upside_down, options.shift) == (True, None, None)
    assert sampling_options.chosen(Toys(ToyFlow()), options) == ({}, {"loud": True})


@pytest.mark.parametrize("words", [["--shift", "2"], ["--loud"]])
def test_models_that_take_no_such_option_say_so(words, toys, monkeypatch):
    options = sampling_options.parser().parse_args(["--ckpt_path", "x", "--out", "y", *words])
    with pytest.raises(ValueError, match=f"{words[0]}: a FlowModule takes no such option"):
        sampling_options.chosen(FlowModule(ToyFlow()), options)


def test_finishing_does_nothing_by_default(tmp_path):
    assert FlowModule(ToyFlow()).finish_samples(tmp_path, range(0, 8, 4)) == "" and not list(tmp_path.iterdir())


def test_options_and_help_need_no_domain():
    """Neither what a domain depends on nor the time to import it."""
    code = (
        "import sys; sys.modules.update(rdkit=None, torch=None); from flowsuite.core.training import cli\n"
        "for room in ('molecules', 'pointclouds'): print(*cli.import_alone(f'flowsuite.{room}', 'sampling').OPTIONS)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"start", "property", "sdf", "points"} <= set(done.stdout.split())
    assert {"start", "property", "sdf", "points"} <= sampling_options.domain_options().keys()


@pytest.fixture
def shops(tmp_path, monkeypatch):
    """A domain whose commands print what they are given."""
    package = tmp_path / "flowsuite" / "shops"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('not for help')\n")
    (package / "commands.py").write_text('SHORTCUTS = {"buy": "spend money"}\n\nraise ImportError("nor this")\n')
    monkeypatch.setattr(recipes, "domains", lambda: ["shops"])
    import flowsuite

    monkeypatch.setattr(flowsuite, "__path__", [*flowsuite.__path__, str(package.parent)])
    return package


def test_shortcuts_are_read_without_importing(shops, capsys):
    assert cli.shortcuts("shops") == {"buy": "spend money"}
    assert cli.main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert "  flowsuite buy       spend money\n" in printed and "  flowsuite shops COMMAND " in printed
    assert cli.main(["buyy"]) == 2 and "did you mean 'buy'" in capsys.readouterr().err


def test_a_shortcut_is_the_domains_command(shops, capsys):
    (shops / "__init__.py").write_text("")
    (shops / "commands.py").write_text('SHORTCUTS = {"buy": "spend money"}\n\ndef main(argv):\n    print(argv)\n')
    assert cli.main(["buy", "--now"]) == 0 and cli.main(["shops", "buy", "--now"]) == 0
    assert capsys.readouterr().out == "['buy', '--now']\n" * 2


def test_an_error_in_another_process_is_its_last_line():
    text = "\n\n-- Process 1 terminated with the following error:\nTraceback (most recent call last):\n  File\n"
    assert cli.summary(RuntimeError(f"{text}ValueError: no\n")) == "no"
