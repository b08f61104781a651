"""`flowsuite test` of a GraphAF: what is drawn, printed and logged."""

from __future__ import annotations

import json

import pytest
import torch

from flowsuite.core.training.checkpoint import load_module
from flowsuite.core.training.cli import main as flowsuite
from flowsuite.molecules import module as shell
from flowsuite.molecules import testing
from flowsuite.molecules.chemistry import smiles_from_packed
from flowsuite.molecules.smiles import canonical
from tests.molecules.small import ATOMS, NATS, data, module, save, trainer

HEADLINE = {
    *("valid", "pure_valid", "valid_unchecked", "attached_and_valid_unchecked"),
    *("unique", "unique_unchecked", "under_5_atoms", "novel", "reconstructed"),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_module(save(tmp_path_factory.mktemp("model") / "model.ckpt", steady=False))


@pytest.fixture(scope="module")
def tested(model, tmp_path_factory):
    """The module after a test, its figures, and what was printed."""
    with pytest.MonkeyPatch.context() as patch:
        texts = []
        patch.setattr(shell, "print_headline", lambda *args: texts.append(args))
        folder = tmp_path_factory.mktemp("tested")
        figures = trainer(folder).test(model, datamodule=data(folder), verbose=False)[0]
    return model, figures, texts, json.loads((folder / testing.REPORT).read_text())


def test_headline_figures_are_logged(tested):
    _, figures, texts, report = tested
    assert {f"test/{name}" for name in HEADLINE | NATS} <= figures.keys()
    assert all(0 <= figures[f"test/{name}"] <= 1 for name in HEADLINE)
    ((shown, n, temperature),) = texts
    assert (n, temperature) == (20, 1.0) and shown.keys() == HEADLINE
    assert all(figures[f"test/{name}"] == pytest.approx(value) for name, value in shown.items())
    assert report["figures"]["basic"]["valid"] == figures["test/valid"] == report["figures"]["headline"]["valid"]
    assert figures["test/reconstructed"] == 1


def test_headline_figures_are_those_of_what_is_drawn(tested, tmp_path):
    model, figures, _, _ = tested
    model.trainer.datamodule = data(tmp_path)
    checked, free = (testing.draw(model, 20, check) for check in (True, False))
    smiles = [smiles_from_packed(part.molecules) for part in (checked, free)]
    valid = [sum(text is not None for text in texts) / 20 for texts in smiles]
    assert figures["test/valid"] == valid[0] == 1 and figures["test/valid_unchecked"] == pytest.approx(valid[1])
    assert valid[1] < 1  # the weights are random: without checks something breaks
    assert figures["test/pure_valid"] == pytest.approx(sum((checked.rejected == 0).tolist()) / 20)
    known = {canonical(text) for text in data(tmp_path).smiles("train")}
    distinct = set(smiles[0])
    assert figures["test/unique"] == pytest.approx(len(distinct) / 20)
    assert figures["test/novel"] == pytest.approx(len(distinct - known) / len(distinct))
    assert figures["test/under_5_atoms"] == pytest.approx(sum((checked.molecules.sizes < 5).tolist()) / 20)
    attached = [text for text, loose in zip(smiles[1], free.unattached.tolist(), strict=True) if text and not loose]
    assert figures["test/attached_and_valid_unchecked"] == pytest.approx(len(attached) / 20)


def test_draws_depend_on_the_seed_and_not_on_what_came_before(model):
    torch.manual_seed(0)
    one = testing.draw(model, 8, True)
    torch.manual_seed(1)
    two = testing.draw(model, 8, True)
    assert all(torch.equal(a, b) for a, b in zip(one.molecules.dense(), two.molecules.dense(), strict=True))


def test_a_test_without_samples(tmp_path):
    made = module({"hidden": 8}, test_samples=0)
    figures = trainer(tmp_path).test(made, datamodule=data(tmp_path), verbose=False)[0]
    assert figures.keys() == {f"test/{name}" for name in NATS}


def test_conditional_models_are_asked_for_properties_of_test_molecules(tmp_path):
    made = module({"hidden": 8, "properties": ["qed"]})
    figures = trainer(tmp_path).test(made, datamodule=data(tmp_path, properties=["qed"]), verbose=False)[0]
    assert figures.keys() == {f"test/{name}" for name in HEADLINE | NATS | {"error_of_qed"}}
    assert 0 < figures["test/error_of_qed"] < 1


def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data(tmp_path)  # writes small.smi
    path = save(tmp_path / "model.ckpt")
    options = {"data": "flowsuite.molecules.data.SmilesFile", "data.path": "small.smi", "data.workers": 0}
    options |= {"data.atoms": f"[{', '.join(ATOMS)}]", "data.window": 8, "data.progress": "false"}
    options |= {"trainer.accelerator": "cpu", "trainer.enable_progress_bar": "false"}
    assert flowsuite(["test", "--ckpt_path", str(path), *(f"--{key}={value}" for key, value in options.items())]) == 0
    printed = capsys.readouterr().out
    assert "20 molecules at temperature 1" in printed and "pure valid" in printed
    assert "test/nats_per_molecule" in printed and "test/valid_unchecked" in printed
    assert "Total variation" in printed and "MOSES" in printed
