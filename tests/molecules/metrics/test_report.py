"""All metrics together, on ordinary sets and on ones that could break them."""

import json
import math

import pytest

pytest.importorskip("rdkit")
from flowsuite.molecules.metrics import records as records_module
from flowsuite.molecules.metrics import report as report_module
from flowsuite.molecules.metrics.report import evaluate
from tests.molecules.metrics.small import GENERATED, TEST

ODD = ["[Na+].[Cl-]", "[CH3]", "[O-]C=O", "[2H]C", "*C", "[H][H]", "[Fe]", "C[N+](C)(C)C", "[He]", "[U]"]
SETS = {
    "empty": [],
    "all invalid": ["C1CC", "xx", None, ""],
    "one": ["CCO"],
    "one of one atom": ["C"],
    "the same": ["CCO"] * 5,
    "odd": ODD,
    "ordinary": GENERATED,
}


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("others", [{}, {"train": []}, {"train": TEST}, {"train": ["C"], "test": []}, {"test": ODD}])
def test_any_set_has_a_report(name, others, tmp_path, capfd):
    report = evaluate(SETS[name], **others, scaffold_test=TEST, fcd=False)
    report.save(tmp_path / "report.json")
    saved = json.loads((tmp_path / "report.json").read_text())
    undefined = {n for figures in report.figures.values() for n, value in figures.items() if math.isnan(value)}
    nulls = {n for figures in saved["figures"].values() for n, value in figures.items() if value is None}
    assert undefined == nulls
    noted = " ".join(note for note in report.notes if note.startswith("undefined"))
    assert all(figure in noted for figure in undefined)
    report.print()
    out, err = capfd.readouterr()
    assert "Molecules" in out and err == ""


def test_figures_of_an_ordinary_set():
    report = evaluate(GENERATED, train=["C(O)C", "bad"], test=TEST, unique_at=(2,), fcd=False)
    basic = report.figures["basic"]
    assert (basic["valid"], basic["unique"], basic["unique@2"], basic["novel"]) == (7 / 8, 6 / 7, 0.5, 5 / 6)
    assert basic["valid, unique and novel"] == 5 / 8 and basic["under 5 atoms"] == 4 / 7
    assert report.reference["basic"]["under 5 atoms"] == 3 / 8
    assert report.counts["generated"] == {"given": 8, "valid": 7}
    assert report.counts["train"] == {"given": 2, "distinct": 1}
    assert report.histograms["generated"]["size"][3] == 2
    sections = {"basic", "properties", "moses", "histograms", "guacamol", "structural"}
    assert set(report.figures) == sections


def test_stereochemistry_counts_on_request():
    pair = ["C[C@H](F)Cl", "C[C@@H](F)Cl"]
    assert evaluate(pair, fcd=False).figure("basic", "unique") == 0.5
    assert evaluate(pair, isomeric=True, fcd=False).figure("basic", "unique") == 1
    assert evaluate(pair, train=pair[:1], isomeric=True, fcd=False).figure("basic", "novel") == 0.5


def test_canonical_training_molecules_are_not_read(monkeypatch):
    train = ["CCO", "CC"]
    usual = evaluate(["OCC", "CN"], train=train, test=TEST, filters=False, fcd=False)
    monkeypatch.setattr(report_module, "read_keys", None)
    quick = evaluate(["OCC", "CN"], train=train, test=TEST, canonical_train=True, filters=False, fcd=False)
    assert quick.figures == usual.figures and quick.figure("basic", "novel") == 0.5
    assert quick.counts == usual.counts


def test_training_molecules_stand_in_for_test_molecules():
    report = evaluate(["CCO"], train=TEST, limit=3, seed=1, fcd=False)
    assert report.counts["train sample"] == {"given": 8, "used": 3}
    assert any("training molecules are the reference" in note for note in report.notes)
    assert any("3 of 8 molecules, drawn with seed 1" in note for note in report.notes)
    assert report.figures["moses"] == evaluate(["CCO"], train=TEST, limit=3, seed=1, fcd=False).figures["moses"]


def test_large_sets_are_thinned_where_all_pairs_count(monkeypatch):
    whole = evaluate(GENERATED, test=TEST, fcd=False)
    monkeypatch.setattr(report_module, "LARGEST", 4)
    part = evaluate(GENERATED, test=TEST, fcd=False)
    assert part.figures["guacamol"] != whole.figures["guacamol"]
    assert part.figures["moses"] == whole.figures["moses"]
    assert sum("of larger sets 4 molecules" in note for note in part.notes) == 1


def test_molecules_that_cannot_be_measured_are_told(monkeypatch):
    def fails_on_chlorine(mol):
        if any(atom.GetSymbol() == "Cl" for atom in mol.GetAtoms()):
            raise RuntimeError("no scaffold")

    monkeypatch.setattr(records_module, "scaffold", fails_on_chlorine)
    report = evaluate(["CC", "CCCl", "*C"], fcd=False)
    assert report.figure("basic", "valid") == 2 / 3
    note = "generated: 1 molecules count as invalid, RDKit failed on molecule 1 (CCCl): RuntimeError: no scaffold"
    assert note in report.notes


def test_undefined_properties_are_counted(monkeypatch):
    def undefined_for_nitrogen(function, mol):
        return math.nan if any(atom.GetSymbol() == "N" for atom in mol.GetAtoms()) else function(mol)

    monkeypatch.setattr(records_module, "value_or_nan", undefined_for_nitrogen)
    report = evaluate(["CC", "CN", "CCO"], test=TEST, fcd=False)
    assert "generated: qed is undefined for 1 of 3 molecules" in report.notes
    assert report.figures["properties"]["weight"] == pytest.approx((30.07 + 46.069) / 2)
    assert not math.isnan(report.figure("moses", "QED W1"))


def test_workers_change_nothing():
    alone, helped = (evaluate(GENERATED, TEST, TEST, workers=n, fcd=False) for n in (0, 1))
    assert alone.figures == helped.figures and alone.histograms == helped.histograms


def test_no_filters():
    assert "Filters" not in evaluate(GENERATED, filters=False, fcd=False).figures["moses"]


def test_bad_calls():
    with pytest.raises(ValueError, match="limit must be positive, got 0"):
        evaluate(["C"], limit=0)
    with pytest.raises(ValueError, match="workers must be 0 or more, got -2"):
        evaluate(["C"], workers=-2)
    with pytest.raises(ValueError, match="unique_at must be positive"):
        evaluate(["C"], unique_at=(0,))
    with pytest.raises(ValueError, match="device 'abacus' cannot be used"):
        evaluate(["C"], device="abacus")
    with pytest.raises(TypeError, match="expected a list of SMILES"):
        evaluate("CCO")
    with pytest.raises(ValueError, match="no figure basic/vald; there are basic/valid"):
        evaluate(["C"], fcd=False).figure("basic", "vald")
