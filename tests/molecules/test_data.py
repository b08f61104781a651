"""Data modules: published files, splits, caches, batches."""

from __future__ import annotations

import gzip
import json
import os

import pytest
import torch

from flowsuite.molecules import data_cache
from flowsuite.molecules.data import MOSES, NCI, QM9, SmilesFile, ZINC250k
from flowsuite.molecules.data_base import held_out
from flowsuite.molecules.encode import encode_file
from flowsuite.molecules.packed import PackedMolecules, to_dense
from flowsuite.molecules.smiles import canonical


def alkanes(n: int, branch: str = "O") -> list[str]:
    """`n` different molecules of three to seven atoms."""
    made = [
        "C" * a + branch + "C" * b + c for a in range(1, 4) for b in range(1, 3) for c in ("", "N", "=O", "C#N", "F")
    ]
    assert n <= len({canonical(each) for each in made})
    distinct = dict.fromkeys(map(canonical, made))
    return list(distinct)[:n]


def quiet(**options):
    return {"workers": 0, "progress": False, "batch_size": 4} | options


@pytest.fixture
def smi(tmp_path):
    path = tmp_path / "mine.smi"
    path.write_text("\n".join(alkanes(20)) + "\n")
    return path


def sizes(data) -> dict[str, int]:
    return {split: len(data.dataset(split)) for split in ("train", "val", "test")}


def test_a_file_is_split_the_same_way_every_time(smi):
    data = SmilesFile(str(smi), val=3, test=0.2, **quiet())
    assert sizes(data) == {"train": 13, "val": 3, "test": 4}
    parts = {split: data.smiles(split) for split in ("train", "val", "test")}
    assert sorted(text for part in parts.values() for text in part) == sorted(alkanes(20))
    again = SmilesFile(str(smi), val=3, test=0.2, **quiet(max_atoms=5))
    for split, smiles in parts.items():
        assert set(again.smiles(split)) <= set(smiles)  # fewer atoms, the same molecules held out
    other = SmilesFile(str(smi), val=3, test=0.2, split_seed=1, **quiet())
    assert other.smiles("test") != parts["test"]
    assert data.vocabulary.names[0] == "C" and set(data.vocabulary.names) == {"C", "O", "N", "F"}
    assert data.report.encoded == 20 and data.max_atoms == max(data.report.sizes) == 7


def test_copies_of_held_out_molecules_are_not_trained_on(tmp_path):
    path = tmp_path / "twice.smi"
    path.write_text("\n".join(["CCO", "OCC", "C(O)C", "CCN", "CCF", "CCC", "C[C@H](N)O", "C[C@@H](N)O"] * 2))
    for seed in range(5):
        data = SmilesFile(str(path), val=1, test=1, split_seed=seed, **quiet(batch_size=1))
        held = {*data.smiles("val"), *data.smiles("test")}
        assert held and not held & set(data.smiles("train"))


def test_files_for_each_split(tmp_path):
    for name, smiles in (("train", alkanes(9)), ("val", ["CCO", "CCBr"]), ("test", ["CN"])):
        (tmp_path / f"{name}.csv").write_text("mol\n" + "\n".join(smiles) + "\n")
    paths = [str(tmp_path / f"{name}.csv") for name in ("train", "val", "test")]
    data = SmilesFile(*paths, column="mol", **quiet())
    assert sizes(data) == {"train": 9, "val": 1, "test": 1}
    assert data.reports["val"].skipped["atom outside the vocabulary"].count == 1  # the training set's vocabulary
    drawn = SmilesFile(paths[0], test_path=paths[2], val=2, column="mol", **quiet())
    assert sizes(drawn) == {"train": 7, "val": 2, "test": 1}
    bromine = SmilesFile(*paths[:2], test_path=str(tmp_path / "val.csv"), column="mol", **quiet(atoms=["Br", "C"]))
    with pytest.raises(ValueError, match="no molecule to train on"):
        bromine.prepare_data()


def test_batches_are_the_molecules_in_new_orders(smi):
    data = SmilesFile(str(smi), val=3, test=3, **quiet(window=8))
    loader = data.train_dataloader()
    epochs = [list(loader) for _ in range(2)]
    assert [len(epoch) for epoch in epochs] == [3, 3]
    found = [batch for epoch in epochs for batch in epoch]
    packed = [PackedMolecules.from_dense(*to_dense(batch), data.vocabulary) for batch in found]
    from flowsuite.molecules.chemistry import smiles_from_packed

    drawn = [smiles for each in packed for smiles in smiles_from_packed(each)]
    assert set(drawn) <= set(data.smiles("train")) and len(set(drawn[:12])) == 12
    again = list(data.train_dataloader())
    assert all(
        torch.equal(a.x, b.x) and torch.equal(a.edge_index, b.edge_index) for a, b in zip(again, found[:3], strict=True)
    )
    loader = data.train_dataloader()
    loader.load_state_dict({"epoch": 0, "batch": 1})
    resumed = list(loader)
    assert len(resumed) == 2 and torch.equal(resumed[0].x, found[1].x)
    train = data.dataset("train")
    torch.manual_seed(0)
    orders = {tuple(train.__getitems__([2]).x.tolist()) for _ in range(30)}
    assert len(orders) > 1


def test_evaluation_orders_are_fixed_whatever_the_batch(smi):
    data = SmilesFile(str(smi), val=5, test=5, **quiet())
    first, again = (list(data.val_dataloader()) for _ in range(2))
    assert [len(batch.ptr) - 1 for batch in first] == [4, 1]
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.x, b.x) and torch.equal(a.edge_index, b.edge_index)
    torch.manual_seed(5)
    other = SmilesFile(str(smi), val=5, test=5, **quiet(batch_size=2)).dataset("val")
    assert torch.equal(torch.cat([other[i].x for i in range(5)]), torch.cat([batch.x for batch in first]))
    with pytest.raises(IndexError):
        other[5]


def test_loader_in_processes(smi):
    here, there = (SmilesFile(str(smi), val=3, test=3, **quiet(num_workers=n)) for n in (0, 1))
    for a, b in zip(here.train_dataloader(), there.train_dataloader(), strict=True):
        assert torch.equal(a.x, b.x) and torch.equal(a.edge_attr, b.edge_attr) and torch.equal(a.ptr, b.ptr)


def test_properties(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("smiles,gap,same\n" + "\n".join(f"{s},{i},7" for i, s in enumerate(alkanes(12))) + "\n")
    data = SmilesFile(str(path), val=2, test=2, **quiet(properties=["gap", "same", "heavy_atoms"]))
    batch = next(iter(data.train_dataloader()))
    assert batch.y.shape == (4, 3) and torch.equal(batch.y[:, 2], batch.ptr.diff().float())
    train = data.packed("train").properties
    norm = data.normalization()
    torch.testing.assert_close(norm["mean"], train.mean(0))
    torch.testing.assert_close(norm["std"][0], train[:, 0].std(unbiased=False))
    assert norm["std"][1] == 1 and norm["mean"][1] == 7
    wanted = {canonical(s): float(i) for i, s in enumerate(alkanes(12))}
    assert [wanted[s] for s in data.smiles("val")] == data.packed("val").properties[:, 0].tolist()
    ordered = torch.cat([b.y[:, 0] for b in data.val_dataloader()])
    assert torch.equal(ordered, data.packed("val").properties[:, 0])


def count_encodings(monkeypatch) -> list:
    calls = []

    def counted(path, *args, **options):
        calls.append(path)
        return encode_file(path, *args, **options)

    monkeypatch.setattr(data_cache, "encode_file", counted)
    return calls


def test_cache(smi, tmp_path, monkeypatch):
    calls = count_encodings(monkeypatch)
    first = SmilesFile(str(smi), **quiet())
    first.prepare_data()
    (kept,) = (tmp_path / ".flowsuite").iterdir()
    assert kept.suffix == ".npz" and len(calls) == 1
    again = SmilesFile(str(smi), **quiet())
    assert again.smiles("train") == first.smiles("train") and again.report == first.report and len(calls) == 1
    SmilesFile(str(smi), **quiet(window=9)).prepare_data()
    assert len(calls) == 2  # other options
    for damaged in (kept.read_bytes()[:100], b"", b"PK nonsense"):
        kept.write_bytes(damaged)
        with pytest.warns(UserWarning, match="encoding .* again"):
            assert SmilesFile(str(smi), **quiet()).smiles("train") == first.smiles("train")
    assert len(calls) == 5
    SmilesFile(str(smi), **quiet()).prepare_data()
    assert len(calls) == 5  # it was mended
    smi.write_text("\n".join(alkanes(18)) + "\n")
    assert SmilesFile(str(smi), **quiet()).report.total == 18 and len(calls) == 6  # other content
    SmilesFile(str(smi), **quiet(cache=str(tmp_path / "elsewhere"))).prepare_data()
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1


def test_another_codec_encodes_anew(smi, tmp_path, monkeypatch):
    calls = count_encodings(monkeypatch)
    SmilesFile(str(smi), **quiet()).prepare_data()
    monkeypatch.setattr(data_cache, "CODEC", data_cache.CODEC + 1)
    SmilesFile(str(smi), **quiet()).prepare_data()
    assert len(calls) == 2 and len(list((tmp_path / ".flowsuite").iterdir())) == 2


def test_a_folder_that_cannot_be_written_to(smi, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    SmilesFile(str(smi), **quiet()).prepare_data()
    assert len(list((tmp_path / "home" / "flowsuite" / "molecules").iterdir())) == 1
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="set cache to a folder"):
        assert SmilesFile(str(smi), **quiet(cache=str(tmp_path / "file"))).report.encoded == 20


def test_encoded_files(smi, tmp_path):
    encode_file(smi, ["C", "N", "O", "F"], 9, 8).save(tmp_path / "mine.npz")
    data = SmilesFile(str(tmp_path / "mine.npz"), **quiet(window=8))
    assert sorted(data.smiles("train") + data.smiles("val") + data.smiles("test")) == sorted(alkanes(20))
    for options, message in (
        ({"atoms": ["C", "N"]}, "is encoded with Vocabulary"),
        ({"properties": ["qed"]}, "holds no properties, wanted qed"),
        ({"max_atoms": 3}, "wanted at most 3"),
        ({"window": 4}, "for window 8"),
    ):
        with pytest.raises(ValueError, match=message):
            SmilesFile(str(tmp_path / "mine.npz"), **quiet(**options)).prepare_data()


def test_qm9_with_and_without_its_list(tmp_path):
    with gzip.open(tmp_path / "qm9_property.csv.gz", "wt") as file:
        file.write("smile,qed\n" + "\n".join(f"{s},0.5" for s in [*alkanes(20), "[NH]C", "C" * 10]) + "\n")
    drawn = QM9(str(tmp_path), val=3, test=4, **quiet())
    held = set(drawn.smiles("test"))
    assert len(held) <= 4 and drawn.report.skipped["radical"].count == drawn.report.skipped["too large"].count == 1
    (tmp_path / "valid_idx_qm9.json").write_text(json.dumps({"valid_idxs": ["1", "5", "21"]}))
    listed = QM9(str(tmp_path), val=3, **quiet())
    assert listed.smiles("test") == [alkanes(20)[0], alkanes(20)[4]]  # numbered from 1; row 21 is a radical
    assert len(listed.smiles("val")) <= 3 and not set(listed.smiles("val")) & set(listed.smiles("test"))
    assert QM9(str(tmp_path), val=3, holdout_base=0, **quiet()).smiles("test") == [alkanes(20)[1], alkanes(20)[5]]
    assert QM9(str(tmp_path), val=3, test=4, holdout="", **quiet()).smiles("test") == drawn.smiles("test")
    for text, message in (
        ("[0]", "rows 0 to 0 do not fit 22"),
        ("[23]", "rows 23"),
        ("{", "not a JSON list"),
        ("[]", "none"),
    ):
        (tmp_path / "valid_idx_qm9.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            QM9(str(tmp_path), **quiet()).dataset("test")


def test_copies_of_listed_molecules_are_not_trained_on(tmp_path):
    smiles = [*alkanes(12), "C[C@H](N)O", "C[C@@H](N)O", *alkanes(12)[::-1]]
    (tmp_path / "qm9.smi").write_text("\n".join(smiles) + "\n")
    (tmp_path / "valid_idx_qm9.json").write_text("[1, 5, 13]")
    data = QM9(str(tmp_path), val=3, **quiet())
    assert data.smiles("test") == [canonical(smiles[i]) for i in (0, 4, 12)] and len(data.smiles("val")) == 3
    held = {*data.smiles("val"), *data.smiles("test")}
    train = data.smiles("train")
    assert not held & set(train)
    assert len(train) == sum(canonical(each) not in held for each in smiles)


def test_zinc_in_all_its_layouts(tmp_path):
    text = "smiles,logP,qed,SAS\n" + "".join(f'"{s}\n",{i},0.5,2\n' for i, s in enumerate(alkanes(12)))
    (tmp_path / "250k_rndm_zinc_drugs_clean_3.csv").write_text(text)
    (tmp_path / "valid_idx_zinc.json").write_text("[2, 3]")
    data = ZINC250k(str(tmp_path), val=2, **quiet(properties=["logP"]))
    assert data.smiles("test") == alkanes(12)[1:3] and sizes(data) == {"train": 8, "val": 2, "test": 2}
    assert data.packed("test").properties[:, 0].tolist() == [1.0, 2.0]
    direct = ZINC250k(str(tmp_path / "250k_rndm_zinc_drugs_clean_3.csv"), val=2, **quiet())
    assert direct.smiles("test") == data.smiles("test")
    jt = tmp_path / "jt"
    jt.mkdir()
    for name, part in (("train", alkanes(12)[:8]), ("valid", alkanes(12)[8:10]), ("test", alkanes(12)[10:])):
        (jt / f"{name}.txt").write_text("\n".join(part) + "\n")
    jtvae = ZINC250k(str(jt), **quiet())
    assert jtvae.smiles("val") == alkanes(12)[8:10] and sizes(jtvae) == {"train": 8, "val": 2, "test": 2}
    (tmp_path / "none").mkdir()
    with pytest.raises(FileNotFoundError, match=r"expected one of 250k_rndm_zinc_drugs_clean_3\.csv"):
        ZINC250k(str(tmp_path / "none"), **quiet()).prepare_data()


@pytest.mark.parametrize("whole", [True, False])
def test_moses(tmp_path, whole):
    parts = {"train": alkanes(10), "test": ["CCO", "CO"], "test_scaffolds": ["C1CC1"]}
    if whole:
        rows = [f"{s},{part}\n" for part, smiles in parts.items() for s in smiles]
        (tmp_path / "dataset_v1.csv").write_text("SMILES,SPLIT\n" + "".join(rows))
    else:
        for part, smiles in parts.items():
            (tmp_path / f"{part}.csv").write_text("SMILES\n" + "\n".join(smiles) + "\n")
    data = MOSES(str(tmp_path), val=3, **quiet())
    data.prepare_data()
    assert sizes(data) == {"train": 7, "val": 3, "test": 2}
    assert data.smiles("test_scaffolds") == ["C1CC1"] and data.smiles("test") == ["CCO", "CO"]
    assert len(data.packed("test_scaffolds")) == 1 and data.vocabulary.names == ("C", "N", "O", "F", "S", "Cl", "Br")


def test_nci_needs_no_download(tmp_path):
    data = NCI(max_atoms=5, cache=str(tmp_path), **quiet())
    data.prepare_data()
    assert data.max_atoms == 5 and sum(sizes(data).values()) > 45 and data.report.total == 4999
    assert data.report.same == data.report.checked == data.report.encoded
    assert not set(data.smiles("train")) & {*data.smiles("val"), *data.smiles("test")}
    assert next(iter(data.test_dataloader())).x.max() < len(data.vocabulary)


def test_held_out():
    parts = held_out(100, {"val": 0.1, "test": 7}, 0)
    assert {name: len(part) for name, part in parts.items()} == {"val": 10, "test": 7, "train": 83}
    assert torch.cat(list(parts.values())).sort().values.tolist() == list(range(100))
    assert torch.equal(held_out(100, {"val": 0.1, "test": 7}, 0)["test"], parts["test"])
    with pytest.raises(ValueError, match=r"val 50, test 0.5 leave nothing of 100 molecules"):
        held_out(100, {"val": 50, "test": 0.5}, 0)
    for wrong in (0, -1, 2.5):
        with pytest.raises(ValueError, match="val must be a share"):
            SmilesFile("a.smi", val=wrong)


def test_errors_name_what_is_wrong(smi, tmp_path):
    with pytest.raises(ValueError, match="unknown vocabulary 'qm8'"):
        SmilesFile(str(smi), atoms="qm8")
    with pytest.raises(FileNotFoundError, match=r"none\.smi not found"):
        SmilesFile(str(tmp_path / "none.smi"), **quiet()).prepare_data()
    with pytest.raises(ValueError, match=r"the val set has no molecule; .*mine\.smi: 20 of 20"):
        other = SmilesFile(str(smi), **quiet())
        other._drawn = {"val": torch.tensor([], dtype=torch.long)}
        other.packed("val")
    with pytest.raises(ValueError, match="has no 'scaffolds': expected one of train"):
        SmilesFile(str(smi), **quiet()).smiles("scaffolds")
