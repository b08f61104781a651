"""The worked example of a new domain: short, and its page's own commands and snippet work."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from flowsuite.core.training import cli

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = DOCS / "new_domain"
SHORT = ["--trainer.max_epochs", "3", "--trainer.limit_train_batches", "8", "--trainer.log_every_n_steps", "1"]
SMALL = ["--trainer.limit_val_batches", "2", "--model.init_args.flow.init_args.width", "8"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / "new_domain.md").read_text(), flags=re.S)


def commands() -> list[list[str]]:
    """The `flowsuite` lines of the page's first block."""
    return [shlex.split(line)[1:] for line in blocks("console")[0].splitlines() if line.startswith("flowsuite ")]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A copy of the example's folder to work in; what a command adds to Python's path is taken back."""
    folder = tmp_path / "new_domain"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("runs", "samples", "__pycache__"))
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "series", raising=False)
    yield folder
    sys.modules.pop("series", None)


def scalars(run: Path, name: str) -> list[float]:
    events = EventAccumulator(str(run))
    events.Reload()
    return [event.value for event in events.Scalars(name)]


def test_it_is_short():
    names = {path.name for path in EXAMPLE.iterdir() if path.is_file()}
    assert names == {"series.py", "series.yaml"}
    assert 40 < sum(len((EXAMPLE / name).read_text().splitlines()) for name in names) < 100


def test_the_commands_of_the_page(here, capsys):
    (fit, test, sample) = commands()
    assert [fit[0], test[0], sample[0]] == ["fit", "test", "sample"]
    assert cli.main([*fit, *SHORT, *SMALL]) == 0, capsys.readouterr().err
    run = here / "runs/series/version_0"
    training, validation = scalars(run, "train/loss"), scalars(run, "val/loss")
    assert len(training) == 24 and len(validation) == 3
    assert validation[0] > validation[1] > validation[2]
    assert np.mean(training[-4:]) < np.mean(training[:4]) - 10
    assert cli.main([*test, "--trainer.limit_test_batches", "2", *SMALL[2:]]) == 0, capsys.readouterr().err
    assert "test/loss" in capsys.readouterr().out
    at = sample.index("--allow")
    assert cli.main(sample[:at] + sample[at + 2 :]) == 1 and "--allow series" in capsys.readouterr().err
    assert cli.main(sample) == 0, capsys.readouterr().err
    samples = np.load(here / "samples/samples_000000.npz", allow_pickle=False)["samples"]
    assert samples.shape == (64, 3, 24) and np.isfinite(samples).all()
    names: dict = {}
    exec(blocks("python")[0], names)
    assert names["windows"].shape == (64, 3, 24) and names["nats"].isfinite().all()


def test_a_series_of_your_own(here, capsys):
    rows = np.random.default_rng(0).normal(size=(400, 2)).cumsum(0)
    np.savetxt("mine.csv", rows, delimiter=",", header="a,b", comments="")
    argv = ["fit", "--config", "series.yaml", "--data.init_args.path", "mine.csv", "--data.init_args.batch_size", "16"]
    argv += ["--model.init_args.flow.init_args.channels", "2", "--trainer.fast_dev_run", "true", *SMALL[2:]]
    assert cli.main(argv) == 0, capsys.readouterr().err
    series = sys.modules["series"]
    batch = next(iter(series.SeriesData("mine.csv", length=10, batch_size=5).val_dataloader()))
    assert np.allclose(batch[0].T, rows[320:330], atol=1e-4) and batch.shape == (5, 2, 10)


def test_installed_packages_go_before_the_current_folder(here, monkeypatch, capsys):
    (here / "numpy.py").write_text("raise RuntimeError('not this one')\n")
    assert cli.main(["recipes", "toy"]) == 0, capsys.readouterr().err
    assert sys.path[-1] == str(here)
