"""Runs in their folders, and the data they were trained on."""

from __future__ import annotations

import os

import pytest

from flowsuite.core.training.runs import check_run, data_of_run, describe_origin, newest_checkpoint, same_origin


def config(name: str = "Table", **arguments) -> dict:
    return {"class_path": f"flowsuite.core.data.{name}", "init_args": arguments}


@pytest.fixture
def checkpoint(tmp_path):
    """Of the second of two runs."""
    for version, root in ((0, "first"), (1, "data/second")):
        folder = tmp_path / "recipe" / f"version_{version}" / "checkpoints"
        folder.mkdir(parents=True)
        (folder / "last.ckpt").touch()
        text = f"data:\n  class_path: flowsuite.core.data.Table\n  init_args:\n    root: {root}\n    batch_size: 8\n"
        (folder.parent / "config.yaml").write_text(text)
    return newest_checkpoint(tmp_path / "recipe", "last")[0]


def test_what_a_run_was_trained_on(checkpoint):
    found = data_of_run(checkpoint)
    assert found["init_args"] == {"root": "data/second", "batch_size": 8}
    assert describe_origin(found) == "Table (root data/second)" and describe_origin(config("Toy")) == "Toy"
    (checkpoint.parent.parent / "config.yaml").write_text("model: 3\n")
    assert data_of_run(checkpoint) is None
    (checkpoint.parent.parent / "config.yaml").unlink()
    assert data_of_run(checkpoint) is None


def test_the_same_data():
    assert same_origin(config(root="a", batch_size=8), config(root=os.path.abspath("a"), batch_size=9))
    assert not same_origin(config(root="a"), config(root="b"))
    assert not same_origin(config(root="a"), config(path="a"))
    assert not same_origin(config(root="a"), config("Power", root="a"))
    assert same_origin(config(path=None), config())


def test_fit_goes_on_with_the_same_data_only(checkpoint, capsys):
    check_run(checkpoint, "fit", config(root="data/second"))
    check_run(checkpoint, "fit", None)
    check_run(checkpoint, "test", config(root="third"))
    told = f"checkpoint: {checkpoint}, trained on Table (root data/second)\n"
    assert "version_1" in told and capsys.readouterr().out == 3 * told
    with pytest.raises(ValueError, match=r"was trained on Table \(root data/second\), not on Table \(root third\)"):
        check_run(checkpoint, "fit", config(root="third"))
    (checkpoint.parent.parent / "config.yaml").unlink()
    check_run(checkpoint, "fit", config(root="third"))
    assert capsys.readouterr().out == f"checkpoint: {checkpoint}\n"
