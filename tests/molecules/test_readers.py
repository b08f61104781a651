"""Every published layout, on files of a few lines."""

from __future__ import annotations

import bz2
import gzip
import io
import math
import os
import tarfile
import threading

import pytest
from rdkit import Chem
from rdkit.Chem import AllChem

from flowsuite.molecules.readers import Record, read_records, read_smiles
from flowsuite.molecules.smiles import canonical


def write(path, text: str):
    data = text.encode()
    packers = {".gz": gzip.compress, ".bz2": bz2.compress}
    path.write_bytes(packers.get(path.suffix, bytes)(data))
    return path


def read(path, **options) -> list[tuple]:
    return [(r.line, r.smiles, r.properties) for r in read_records(path, **options)]


@pytest.mark.parametrize("name", ["a.smi", "a.smi.gz", "a.smi.bz2", "train.txt", "a.smiles", "noname"])
def test_lines(tmp_path, name):
    path = write(tmp_path / name, "CCO\n\n  c1ccccc1 benzene 5\r\nC\tmethane\n")
    assert read(path) == [(1, "CCO", {}), (3, "c1ccccc1", {}), (4, "C", {})]


def test_lines_with_a_header_or_a_byte_order_mark(tmp_path):
    assert read(write(tmp_path / "a.smi", "SMILES name\nCCO a\nsmiles\n")) == [(2, "CCO", {}), (3, "smiles", {})]
    assert read(write(tmp_path / "b.smi", "\ufeffCCO\n")) == [(1, "CCO", {})]


def test_plogp_before_or_behind(tmp_path):
    path = write(tmp_path / "zinc800.smi_logp", "-8.2,C[C@@H](C)O\n\n-1e1,CC\n")
    assert read(path) == [(1, "C[C@@H](C)O", {"plogp": -8.2}), (3, "CC", {"plogp": -10.0})]
    path = write(tmp_path / "opt.test.logP-SA", "CCO -1.5\nCC 2\n")
    assert read(path) == [(1, "CCO", {"plogp": -1.5}), (2, "CC", {"plogp": 2.0})]
    assert read(path, layout="smi") == [(1, "CCO", {}), (2, "CC", {})]
    first, bad, last = read_records(write(tmp_path / "zinc800.smi_logp", "-8.2,CC\nCCO\n-8.1,CO\n"))
    assert (first.smiles, bad.line, bad.smiles, last.smiles) == ("CC", 2, None, "CO")
    assert bad.problem == "expected a SMILES and its penalised logP, got 'CCO'"


def test_kaggle_zinc_has_newlines_in_quotes(tmp_path):
    text = 'smiles,logP,qed,SAS\n"CC(C)O\n",5.05,0.7,2.08\n"c1ccccc1\n",3.1,0.9,\n'
    path = write(tmp_path / "250k_rndm_zinc_drugs_clean_3.csv", text)
    assert read(path) == [
        (2, "CC(C)O", {"logP": 5.05, "qed": 0.7, "SAS": 2.08}),
        (4, "c1ccccc1", {"logP": 3.1, "qed": 0.9, "SAS": math.nan}),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("zinc250k_property.csv", ",penalized_logp,qed,smile\n0,1.5,0.7,CCO\n1,2,x,CC\n"),
        ("qm9.csv", "mol_id,SMILES1,qed\ngdb_1,CCO,0.7\n"),
        ("small_mols.csv", "name,smiles\nethanol,CCO\n"),
        ("train.csv.gz", "SMILES\nCCO\n"),
        ("a.tsv", "id\tSmiles\n1\tCCO\n"),
    ],
)
def test_csv_columns_are_found(tmp_path, name, text):
    records = list(read_records(write(tmp_path / name, text)))
    assert (records[0].line, records[0].smiles) == (2, "CCO")
    assert all(isinstance(value, float) for value in records[0].properties.values())
    if name.startswith("zinc"):
        first, second = (r.properties for r in records)
        assert first == {"penalized_logp": 1.5, "qed": 0.7} and second == {"penalized_logp": 2.0, "qed": math.nan}


def test_rows_of_a_split(tmp_path):
    path = write(tmp_path / "dataset_v1.csv", "SMILES,SPLIT\nC,train\nCC,test\nCCC,train\nCCCC,test_scaffolds\n")
    assert read_smiles(path) == ["C", "CC", "CCC", "CCCC"]
    assert read(path, where=("SPLIT", "train")) == [(2, "C", {"SPLIT": math.nan}), (4, "CCC", {"SPLIT": math.nan})]
    with pytest.raises(ValueError, match=r"no column 'split'; it has SMILES, SPLIT"):
        read(path, where=("split", "train"))
    with pytest.raises(ValueError, match="no molecules"):
        read(path, where=("SPLIT", "valid"))


def test_wrong_columns(tmp_path):
    path = write(tmp_path / "a.csv", "id,structure,weight\n1,CCO,46\n,,\n2\n")
    with pytest.raises(ValueError, match=r"a\.csv: no column called smiles; .*: id, structure, weight"):
        read(path)
    with pytest.raises(ValueError, match=r"a\.csv: no column 'mol'; it has id, structure, weight"):
        read(path, column="mol")
    rows = read(path, column="structure")
    holes = {"id": math.nan, "weight": math.nan}
    assert rows == [(2, "CCO", {"id": 1.0, "weight": 46.0}), (3, "", holes), (4, "", {**holes, "id": 2.0})]
    with pytest.raises(ValueError, match="no columns"):
        read(write(tmp_path / "a.smi", "CC\n"), column="structure")


@pytest.mark.parametrize("name", ["a.smi", "a.csv", "a.smi.gz", "a.sdf", "b.csv"])
def test_empty_files(tmp_path, name):
    path = write(tmp_path / name, "smiles\n" if name == "b.csv" else "\n" if name == "a.smi" else "")
    with pytest.raises(ValueError, match=rf"{name}: (no molecules|empty)"):
        read(path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "plain"])
def test_damaged_gzip(tmp_path, damage):
    whole = bytearray(gzip.compress("".join(f"{'C' * (i % 17 + 1)}O\n" for i in range(5000)).encode()))
    if damage == "flipped":
        whole[60] ^= 0xFF
    path = tmp_path / "a.smi.gz"
    path.write_bytes({"cut": whole[:-20], "flipped": whole, "plain": b"CCO\n"}[damage])
    with pytest.raises(ValueError, match=r"a\.smi\.gz: damaged or not gzip"):
        read(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.smi not found"):
        read(tmp_path / "nothing.smi")
    (tmp_path / "a.smi").write_bytes(b"CC\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"a\.smi: not a readable file of molecules"):
        read(tmp_path / "a.smi")
    (tmp_path / "a.smi.bz2").write_bytes(b"CCO\n")
    with pytest.raises(ValueError, match=r"a\.smi\.bz2: damaged"):
        read(tmp_path / "a.smi.bz2")
    with pytest.raises(ValueError, match="unknown layout 'pdb'"):
        read(tmp_path / "a.smi", layout="pdb")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match=r"folder is a folder without \.xyz files"):
        read(tmp_path / "folder")


def conformer(smiles: str) -> Chem.Mol:
    mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(mol, randomSeed=1) == 0
    return mol


def test_sdf(tmp_path, capfd):
    text = io.StringIO()
    with Chem.SDWriter(text) as writer:
        for smiles in ("CCO", "c1cc[nH]c1"):
            mol = conformer(smiles)
            mol.SetProp("gap", "0.25")
            mol.SetProp("note", "text")
            writer.write(mol)
    bad = "bad\n  x\n\n  1  0  0  0  0  0  0  0  0  0999 V2000\n    broken\nM  END\n$$$$\n"
    for name in ("gdb9.sdf", "gdb9.sdf.gz"):
        rows = read(write(tmp_path / name, text.getvalue() + bad))
        assert [(line, smiles and canonical(smiles)) for line, smiles, _ in rows] == [
            (1, "CCO"),
            (2, "c1cc[nH]c1"),
            (3, None),
        ]
        assert rows[0][2] == {"gap": 0.25}
    assert capfd.readouterr() == ("", "")


NUMBERS = "157.7118 157.70997 157.70699 0. 13.21 -0.3877 0.1171 0.5048 35.3641 0.044749 "
NUMBERS += "-40.47893 -40.476062 -40.475117 -40.498597 6.469"
QM9_METHANE = f"""\
5
gdb 1\t{NUMBERS.replace(" ", chr(9))}\t
C\t-0.0126981359\t 1.0858041578\t 0.0080009958\t-0.535689
H\t 2.1504159e-3\t-6.0313176e-3\t 1.9761204*^-3\t 0.133921
H\t 1.0117308433\t 1.4637511618\t 2.765748e-4\t 0.133922
H\t-0.540815069\t 1.4475266138\t-0.8766437152\t 0.133923
H\t-0.5238136345\t 1.4379326443\t 0.9063972942\t 0.133923
1341.307\t1341.3284\t1341.365\t1562.6731\t1562.7453\t3038.3205\t3151.6034\t3151.6788\t3151.7078
C\tC
InChI=1S/CH4/h1H4\tInChI=1S/CH4/h1H4
"""


def test_qm9_raw_files(tmp_path):
    folder = tmp_path / "dsgdb9nsd"
    folder.mkdir()
    write(folder / "dsgdb9nsd_000001.xyz", QM9_METHANE)
    write(folder / "dsgdb9nsd_000002.xyz", QM9_METHANE.replace("gdb 1", "gdb 2").replace("C\tC\n", "CC\tC=C\n"))
    with tarfile.open(tmp_path / "dsgdb9nsd.xyz.tar.bz2", "w:bz2") as archive:
        archive.add(folder, "dsgdb9nsd")
    for path in (folder, tmp_path / "dsgdb9nsd.xyz.tar.bz2"):
        rows = read(path)
        assert sorted(smiles for _, smiles, _ in rows) == ["C", "C=C"]
        assert rows[0][2]["mu"] == 0.0 and rows[0][2]["gap"] == 0.5048 and rows[0][2]["Cv"] == 6.469
        assert len(rows[0][2]) == 15
    cut = (tmp_path / "dsgdb9nsd.xyz.tar.bz2").read_bytes()[:-30]
    (tmp_path / "cut.xyz.tar.bz2").write_bytes(cut)
    with pytest.raises(ValueError, match=r"cut\.xyz\.tar\.bz2"):
        read(tmp_path / "cut.xyz.tar.bz2")


def test_plain_coordinates(tmp_path):
    path = write(tmp_path / "a.xyz", Chem.MolToXYZBlock(conformer("CC(=O)N")))
    assert [canonical(smiles) for _, smiles, _ in read(path)] == ["CC(N)=O"]


@pytest.mark.parametrize("bad", ["5\ncut\nC 0 0 0\n", "", "0", "0\n\n", "-1\n\n", "five\n", "\xff\x00"])
def test_one_bad_structure_of_many(tmp_path, bad):
    folder = tmp_path / "many"
    folder.mkdir()
    write(folder / "1.xyz", QM9_METHANE)
    (folder / "2.xyz").write_bytes(bad.encode("latin-1"))
    write(folder / "3.xyz", QM9_METHANE)
    with tarfile.open(tmp_path / "many.tar", "w") as archive:
        for name in ("1.xyz", "2.xyz", "3.xyz"):
            archive.add(folder / name, name)
    for path in (folder, tmp_path / "many.tar"):
        records = list(read_records(path))
        assert [record.smiles for record in records] == ["C", None, "C"]
        assert records[1].problem.startswith("2.xyz: not an .xyz file, which begins with the number of atoms")


def test_records_stream(tmp_path):
    path = write(tmp_path / "a.smi", "CC\n" * 3)
    records = read_records(path)
    assert next(records) == Record(1, "CC") and next(records).line == 2


def test_pipes(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("CCO\nCC\n",))
    writer.start()
    assert read_smiles(pipe) == ["CCO", "CC"]
    writer.join()
