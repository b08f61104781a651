"""The demo page's part on molecules, with training cut down to a few steps of a tiny model."""

from __future__ import annotations

import re

from flowsuite.core.training import demo
from flowsuite.core.training.cli import main as flowsuite
from flowsuite.core.training.demo_parts import find_parts
from flowsuite.molecules import commands
from flowsuite.molecules import demo as molecules_demo
from flowsuite.molecules.data import NCI
from tests.molecules.small import shorten_nci
from tests.pages import embedded


def test_page_shows_what_was_made(tmp_path, monkeypatch):
    short = [f"--model.init_args.flow.init_args.{key}=8" for key in ("hidden", "decision_options.hidden")]
    short += ["--data.init_args.max_atoms=8", "--data.init_args.batch_size=8", "--data.init_args.workers=0"]
    short += ["--trainer.max_steps=3", "--trainer.check_val_every_n_epoch=1", "--trainer.accelerator=cpu"]
    shorten_nci(tmp_path, monkeypatch)
    run, evaluate = molecules_demo.run, commands.main
    monkeypatch.setattr(molecules_demo, "SAMPLES", 12)
    monkeypatch.setattr(molecules_demo, "NCI", lambda **given: NCI(max_atoms=8, workers=0, **given))
    monkeypatch.setattr(commands, "main", lambda argv: evaluate([*argv, "--workers", "0", "--no_filters", "--no_fcd"]))
    monkeypatch.setattr(molecules_demo, "run", lambda folder, options: run(folder, [*short, *options]))
    out = tmp_path / "a demo"
    assert demo.main(["--out", str(out), "--only", "molecules"]) == 0
    page = (out / "index.html").read_text()
    assert len(embedded(out / "index.html")["image/png"]) == 3
    assert re.search(r"12 samples: \d+\.\d% valid, \d+\.\d% without a single refused bond", page)
    assert re.search(r"Total variation from the test set: (\w[\w ]* \d\.\d\d(, |\.)){3}", page)
    assert page.count("flowsuite ") >= 3 and "flowsuite molecules evaluate" in page
    train, test = ((out / "molecules" / f"{name}.smi").read_text().split() for name in ("train", "test"))
    assert len(train) > 2 * len(test) > 0 and not set(train) & set(test)


def test_the_demo_is_found(capsys):
    assert find_parts()["molecules"].needs == ("rdkit", "torch_geometric")
    assert flowsuite(["molecules", "--help"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in commands.COMMANDS)
