"""Records to packed graphs, and the report of what was lost on the way."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
import torch

from flowsuite.core.training.cli import main as flowsuite
from flowsuite.molecules.chemistry import smiles_from_packed
from flowsuite.molecules.encode import EncodedMolecules, collect_vocabulary, encode_file, encode_records
from flowsuite.molecules.encoder import Preparation
from flowsuite.molecules.packed import PackedMolecules
from flowsuite.molecules.properties import qed
from flowsuite.molecules.readers import Record, read_records
from flowsuite.molecules.smiles import canonical, parse
from flowsuite.molecules.vocabulary import Vocabulary
from tests.molecules.data_files import shared

CHARGED = Vocabulary(["C", "N", "O", "N+", "O-"])
GOOD = ["CCO", "C[C@H](N)O", "C[NH3+]", "c1ccncc1", "OCC"]
BAD = ["C1CC", "", "CC.O", "[CH3]", "[13CH4]", "CBr", "CCCCCCCCC", "[H][H]", "CCI"]


def records(smiles) -> list[Record]:
    return [Record(10 + line, each) for line, each in enumerate(smiles)]


def mixed() -> list[Record]:
    return records([*GOOD[:2], *BAD, *GOOD[2:]])


def test_what_is_skipped_is_counted_with_its_lines():
    encoded = encode_records(mixed(), CHARGED, max_atoms=8, source="things")
    report = encoded.report
    assert (report.total, report.encoded, report.distinct, len(encoded.packed)) == (14, 5, 4, 5)
    counts = {reason: tally.count for reason, tally in report.skipped.items()}
    assert counts == {
        "unparsable": 1,
        "empty": 1,
        "disconnected": 1,
        "radical": 1,
        "isotope": 1,
        "atom outside the vocabulary": 2,
        "too large": 1,
        "explicit hydrogen": 1,
    }
    assert report.skipped["atom outside the vocabulary"].examples == [(17, "CBr", "Br"), (20, "CCI", "I")]
    assert report.losses["stereo"].examples == [(11, "C[C@H](N)O", "")] and set(report.losses) == {"stereo"}
    assert (report.checked, report.same, report.changed.count, report.refused.count) == (5, 5, 0, 0)
    assert report.sizes == {2: 1, 3: 2, 4: 1, 6: 1}
    assert encoded.records.tolist() == [0, 1, 11, 12, 13]
    assert encoded.smiles == [canonical(each) for each in GOOD] == smiles_from_packed(encoded.packed)
    assert report.summary().startswith("things: 5 of 14 molecules encoded (2 atom outside the vocabulary, ")


def test_stopping_names_file_line_and_molecule():
    with pytest.raises(ValueError, match=r"^things, line 12: C1CC: unparsable$"):
        encode_records(mixed(), CHARGED, source="things", on_error="stop")
    with pytest.raises(ValueError, match=r"line 10: CBr: atom outside the vocabulary: Br$"):
        encode_records(records(["CBr"] * 3000), CHARGED, on_error="stop", workers=2)


def test_a_bad_line_is_counted_or_stops(tmp_path):
    path = tmp_path / "opt.test.logP-SA"
    path.write_text("CCO -1.5\nCCN\nCC 2\n")
    report = encode_file(path, CHARGED).report
    why = "expected a SMILES and its penalised logP, got 'CCN'"
    assert report.encoded == 2 and report.skipped["unparsable"].examples == [(2, "", why)]
    with pytest.raises(ValueError, match=r"opt\.test\.logP-SA, line 2: \(nothing\): unparsable: expected a SMILES"):
        encode_file(path, CHARGED, on_error="stop")


def test_nothing_left():
    with pytest.raises(ValueError, match=r"no molecule to train on: data: 0 of 2 .*; first: line 10: CBr Br"):
        encode_records(records(["CBr", "CI"]), CHARGED)
    with pytest.raises(ValueError, match="0 of 0 molecules"):
        encode_records([], CHARGED)


@pytest.mark.parametrize(
    "options", [{"on_error": "ignore"}, {"max_atoms": 256}, {"max_atoms": -1}, {"window": 0}, {"workers": -1}]
)
def test_wrong_options(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        encode_records(mixed(), CHARGED, **options)


def test_processes_do_the_same():
    many = records((GOOD + BAD) * 100)
    alone, together = (encode_records(many, CHARGED, max_atoms=8, workers=workers) for workers in (0, 2))
    assert alone.smiles == together.smiles and alone.report == together.report
    for name in ("atoms", "sizes", "bonds", "n_bonds"):
        assert torch.equal(getattr(alone.packed, name), getattr(together.packed, name))
    assert torch.equal(alone.records, together.records)


def test_losses():
    smiles = ["C[NH2+]CC(=O)[O-]", "CC[N+](=O)[O-]", "[Cl-].C[NH3+]", "CCO"]
    plain = Vocabulary(["C", "N", "O"])
    report = encode_records(records(smiles), plain, drop_charges=True).report
    assert (report.checked, report.same, report.changed.count, report.refused.count) == (3, 1, 1, 1)
    assert report.losses["charges"].count == 2 and report.skipped["disconnected"].count == 1
    assert report.changed.examples == [(10, smiles[0], "CNCC(=O)O")] and report.refused.examples[0][0] == 11
    encoded = encode_records(records(smiles), plain, neutralize=True, largest_fragment=True)
    assert encoded.smiles == ["CNCC(=O)O", "CN", "CCO"]
    assert {name: each.count for name, each in encoded.report.losses.items()} == {"neutralised": 2, "fragments": 1}
    assert encoded.report.skipped["atom outside the vocabulary"].examples == [(11, smiles[1], "N+")]


def test_smiles_are_those_of_the_graphs():
    """A model that gives a training graph back has found nothing new, also where encoding dropped charges."""
    smiles = ["C[NH2+]CC(=O)[O-]", "CC[N+](=O)[O-]", "CCO"]
    for check_every in (0, 1, 3):
        encoded = encode_records(
            records(smiles), Vocabulary(["C", "N", "O"]), drop_charges=True, check_every=check_every
        )
        again = smiles_from_packed(encoded.packed)
        assert again == ["CNCC(=O)O", None, "CCO"]
        assert encoded.smiles == [again[0], canonical(smiles[1]), again[2]]
        assert encoded.report.checked == {0: 0, 1: 3, 3: 1}[check_every]


def test_map_numbers_are_dropped():
    encoded = encode_records(records(["C[CH3:1]", "CC", "[CH3:1][CH2:2][OH:3]"]), CHARGED)
    assert encoded.smiles == ["CC", "CC", "CCO"]
    assert encoded.report.same == 3 and encoded.report.distinct == 2


def test_checks_of_some_or_none():
    assert encode_records(records(["CCO"] * 10), CHARGED, check_every=4).report.checked == 3
    assert encode_records(records(["CCO"] * 10), CHARGED, check_every=0).report.checked == 0


def test_properties_come_from_the_file_or_are_computed():
    given = [Record(1, "CCO", {"gap": 1.5, "qed": 0.1}), Record(2, "CC", {"gap": 2.5}), Record(3, "CN", {"qed": 0.3})]
    encoded = encode_records(given, CHARGED, properties=["gap", "mw"])
    assert encoded.packed.names == ("gap", "mw") and encoded.packed.properties[:, 0].tolist() == [1.5, 2.5]
    np.testing.assert_allclose(encoded.packed.properties[:, 1], [46.07, 30.07], atol=0.01)
    assert encoded.report.skipped["property"].examples == [(3, "CN", "gap is nan")]
    column = encode_records(given, CHARGED, properties=["qed"])
    np.testing.assert_allclose(column.packed.properties[:, 0], [0.1, 0.3])  # the file's, not ours
    ours = encode_records(records(["CCO"]), CHARGED, properties=["qed"])
    np.testing.assert_allclose(ours.packed.properties[:, 0], [qed(parse("CCO"))], rtol=1e-6)
    with pytest.raises(ValueError, match=r"unknown property 'colour'.*data has gap, qed"):
        encode_records(given, CHARGED, properties=["colour"])


@pytest.mark.parametrize("hole", ["", "n/a", "nan"])
def test_a_column_is_read_whatever_the_first_row_has(tmp_path, hole):
    """Never RDKit's logP for the rows of a file that has its own."""
    path = tmp_path / "a.csv"
    path.write_text(f"smiles,logp\nCC,{hole}\nCCO,7.5\nCCN\nCCCO,8\n")
    encoded = encode_file(path, CHARGED, properties=["logp"])
    assert encoded.packed.properties[:, 0].tolist() == [7.5, 8.0]
    skipped = encoded.report.skipped["property"]
    assert skipped.count == 2 and skipped.examples[0] == (2, "CC", "logp is nan")


def test_properties_that_only_some_records_have():
    some = [Record(1, "CC"), Record(2, "CCO", {"logp": 7.5})]
    encoded = encode_records(some, CHARGED, properties=["logp"])
    assert encoded.packed.properties.tolist() == [[7.5]] and encoded.report.skipped["property"].count == 1
    late = [Record(i, "CC") for i in range(600)] + some[1:]
    with pytest.raises(ValueError, match="data, line 2: logp stands here but not further up"):
        encode_records(late, CHARGED, properties=["logp"])


def test_the_window_is_checked():
    star, chain = "CC(C)(C)C", "CCCCC"
    encoded = encode_records(records([star, chain]), CHARGED, window=2)
    assert encoded.smiles == [chain] and encoded.records.tolist() == [1]
    assert encoded.report.skipped["window"].examples == [(10, star, "no order within 2 places")]
    assert (encoded.report.encoded, encoded.report.distinct) == (1, 1)
    some = encode_records(records(["CC(C)CCC"] * 200), CHARGED, window=2).report
    assert some.encoded == 200 and 0 < some.misfits < 200
    assert encode_records(records([star]), CHARGED, window=4).report.misfits == 0


def test_automatic_vocabulary():
    smiles = ["CCO"] * 5 + ["C[NH3+]"] * 3 + ["CN"] * 3 + ["CBr", "C[Hg]C", "[CH3]", "CI.O", "c1ccccc1"]
    vocabulary, dropped = collect_vocabulary(records(smiles), min_share=0.1)
    assert vocabulary.names == ("C", "O", "N", "N+") and dropped == [("Br", 1), ("Hg", 1)]
    neutral, _ = collect_vocabulary(records(smiles), 0.1, preparation=Preparation(neutralize=True))
    assert neutral.names == ("C", "N", "O")
    small, _ = collect_vocabulary(records(["CCCCCO", "CC"]), max_atoms=3)
    assert small.names == ("C",)
    with pytest.raises(ValueError, match="at least one molecule"):
        collect_vocabulary(records(["[CH3]"]))


def test_files_come_back(tmp_path):
    encoded = encode_records(mixed(), CHARGED, max_atoms=8, properties=["logp"])
    encoded.save(tmp_path / "a.npz")
    again = EncodedMolecules.load(tmp_path / "a.npz")
    assert again.smiles == encoded.smiles and again.report == encoded.report
    assert torch.equal(again.records, encoded.records) and torch.equal(again.packed.atoms, encoded.packed.atoms)
    assert torch.equal(again.packed.properties, encoded.packed.properties)
    assert len(PackedMolecules.load(tmp_path / "a.npz")) == 5
    encoded.packed.save(tmp_path / "b.npz")
    with pytest.raises(ValueError, match=r"b\.npz holds no records, report, smiles"):
        EncodedMolecules.load(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("report", "[]"),
        ("report", "{}"),
        ("report", '{"skipped": 3}'),
        ("report", "no json"),
        ("smiles", np.array([255, 254], np.uint8)),
        ("records", np.array([0, 1, 2, 3, 99])),
        ("records", np.arange(5.0)),
    ],
)
def test_damaged_files(tmp_path, name, value):
    encode_records(mixed(), CHARGED, max_atoms=8).save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        np.savez(tmp_path / "b.npz", **{**file, name: value})
    with pytest.raises(ValueError, match=r"b\.npz: its (report or SMILES cannot|molecules, SMILES and records)"):
        EncodedMolecules.load(tmp_path / "b.npz")


def test_command(tmp_path, capfd):
    path = tmp_path / "mine.csv"
    path.write_text("id,structure\n" + "".join(f"{i},{each}\n" for i, each in enumerate([*GOOD, *BAD])))
    arguments = ["molecules", "encode", str(path), "--column", "structure", "--workers", "0", "--quiet"]
    out, told = tmp_path / "new" / "mine.npz", tmp_path / "mine.json"
    more = ["--atoms", "C", "N", "O", "N+", "--max_atoms", "8", "--out", str(out), "--report", str(told)]
    assert flowsuite([*arguments, *more]) == 0
    printed, noise = capfd.readouterr()
    assert noise == "" and "5 molecules in" in printed and "2: C[C@H](N)O" not in printed
    for text in (
        "skipped: too large",
        "13: CCCCCCCCC (9 atoms, at most 8)",
        "lost: stereo",
        "came back the same",
        "2: 1",
    ):
        assert text in printed
    assert EncodedMolecules.load(out).packed.vocabulary.names == ("C", "N", "O", "N+")
    assert json.loads(told.read_text())["encoded"] == 5
    assert flowsuite([*arguments, "--atoms", "auto"]) == 0
    assert "C, O, N" in capfd.readouterr().out
    assert flowsuite([*arguments, "--stop"]) == 1
    assert capfd.readouterr().err == f"flowsuite: error: {path}, line 7: C1CC: unparsable\n"
    assert flowsuite(["molecules", "encode", str(path), "--quiet"]) == 1
    assert "id, structure" in capfd.readouterr().err
    assert flowsuite([*arguments, "--out", "mine.txt"]) == 1
    assert "must end in .npz" in capfd.readouterr().err


def test_real_molecules_keep_their_constitution():
    path = shared("zinc250k_valid.smi.gz")
    encoded = encode_records(islice(read_records(path), 400), Vocabulary("zinc250k-charged"), max_atoms=38)
    assert encoded.report.same == encoded.report.encoded == 400
    assert encoded.smiles[:50] == [canonical(r.smiles) for r in islice(read_records(path), 50)]


@pytest.mark.slow
def test_the_published_codec_and_ours_on_zinc():
    """67.5 % the same, 28.0 % changed, 4.5 % refused without charges; everything comes back with them."""
    path = shared("zinc250k_valid.smi.gz")
    published = encode_file(path, "zinc250k", 38, drop_charges=True, workers=2).report
    shares = [count / published.total for count in (published.same, published.changed.count, published.refused.count)]
    np.testing.assert_allclose(shares, [0.675, 0.280, 0.045], atol=0.0006)
    ours = encode_file(path, "zinc250k-charged", 38, workers=2).report
    assert ours.encoded > 0.9995 * ours.total and ours.same == ours.encoded
    neutral = encode_file(path, "zinc250k-charged", 38, neutralize=True, workers=2).report
    assert neutral.same == neutral.encoded > 0.9995 * neutral.total


def test_a_huge_molecule_is_skipped(tmp_path, capfd):
    (tmp_path / "mine.smi").write_text("CCO\n" + "C" * 20_000 + "\n")
    out = tmp_path / "mine.npz"
    assert flowsuite(["molecules", "encode", str(tmp_path / "mine.smi"), "--workers", "0", "--out", str(out)]) == 0
    assert "20000 atoms, at most 255" in capfd.readouterr().out
