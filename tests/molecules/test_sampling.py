"""`flowsuite sample` with a GraphAF."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from rdkit import Chem

from flowsuite.core.training import sampling, sampling_options
from flowsuite.core.training.cli import main as flowsuite
from flowsuite.molecules.module import MoleculeModule
from flowsuite.molecules.properties import PROPERTIES
from flowsuite.molecules.samples import COLUMNS
from flowsuite.molecules.sampling import wanted
from flowsuite.molecules.smiles import canonical, parse
from tests.molecules.small import save


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save(folder / "plain.ckpt")
    save(folder / "wild.ckpt", steady=False)
    save(folder / "conditional.ckpt", properties=["logp", "qed"])
    return folder


def sample(models: Path, out: Path, *options, name: str = "plain") -> int:
    given = ["--ckpt_path", models / f"{name}.ckpt", "--out", out, "--batch_size", 8, *options]
    return flowsuite(["sample", *map(str, given)])


def rows(out: Path) -> list[dict[str, str]]:
    with open(out / "molecules.csv", newline="") as file:
        return list(csv.DictReader(file))


def sizes(out: Path) -> list[int]:
    return [int(row["atoms"]) for row in rows(out)]


def test_files_that_are_written(models, tmp_path, capfd):
    out = tmp_path / "made" / "here"
    assert sample(models, out, "--num", 20) == 0
    assert sorted(path.name for path in out.iterdir()) == ["molecules.csv", "molecules.png", "molecules.smi"]
    lines = (out / "molecules.smi").read_text().splitlines()
    assert lines and all(text == canonical(text) and "." not in text for text in lines)
    table = rows(out)
    assert len(table) == 20 and [row["smiles"] for row in table if row["smiles"]] == lines
    assert list(table[0]) == ["smiles", *COLUMNS, "atoms", "refused_draws"]
    for row in table:
        mol = parse(row["smiles"])
        if mol is not None:
            assert int(row["atoms"]) == mol.GetNumAtoms()
            assert float(row["qed"]) == pytest.approx(PROPERTIES["qed"](mol), abs=1e-4)
            assert float(row["mw"]) == pytest.approx(PROPERTIES["mw"](mol), abs=1e-4)
    with Image.open(out / "molecules.png") as picture:
        assert picture.size == (6 * 220, -(-len(lines) // 6) * 170)
    printed = capfd.readouterr()
    unrefused = sum(row["refused_draws"] == "0" for row in table)
    assert f"{len(lines)} of 20 valid, {len(set(lines))} different, {unrefused} without a refused draw" in printed.out
    assert "rdkit" not in printed.err.lower() and "valence" not in printed.err.lower()


def test_sdf_and_svg(models, tmp_path):
    assert sample(models, tmp_path, "--num", 5, "--sdf", "--svg") == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["molecules.csv", "molecules.sdf", "molecules.smi", "molecules.svg"]
    assert "<svg" in (tmp_path / "molecules.svg").read_text()
    found = list(Chem.SDMolSupplier(str(tmp_path / "molecules.sdf")))
    assert [Chem.MolToSmiles(mol) for mol in found] == (tmp_path / "molecules.smi").read_text().splitlines()
    assert [mol.GetProp("_Name") for mol in found] == [f"molecule_{i}" for i in range(len(found))]
    assert all(not conformer.Is3D() for mol in found for conformer in mol.GetConformers())


def test_seeds_repeat_and_other_seeds_differ(models, tmp_path):
    for out, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert sample(models, tmp_path / out, "--num", 20, "--seed", seed) == 0
    a, b, c = ((tmp_path / out / "molecules.csv").read_bytes() for out in "abc")
    assert a == b != c


def test_samples_do_not_depend_on_the_shards(models, tmp_path):
    given = ["--ckpt_path", str(models / "plain.ckpt"), "--num=20", "--batch_size=8", "--min_atoms=3"]
    for devices in (1, 2):
        out = tmp_path / str(devices)
        options = sampling_options.parser().parse_args([*given, f"--out={out}", f"--devices={devices}"])
        module = sampling.load(options, 0)
        done = [part for rank in range(devices) for part in sampling.batches(module, options, rank)]
        assert sorted(done) == [(0, 8), (8, 8), (16, 4)]
        assert module.finish_samples(out, range(0, 20, 8)).startswith("20 of 20 valid")
    assert (tmp_path / "1/molecules.csv").read_bytes() == (tmp_path / "2/molecules.csv").read_bytes()


@pytest.mark.slow
def test_two_processes_draw_the_same(models, tmp_path, capfd):
    for devices in (1, 2):
        assert sample(models, tmp_path / str(devices), "--num", 20, "--devices", devices, "--sdf") == 0
    one, two = tmp_path / "1", tmp_path / "2"
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in two.iterdir())
    assert (one / "molecules.csv").read_bytes() == (two / "molecules.csv").read_bytes()
    capfd.readouterr()
    assert sample(models, tmp_path / "no", "--min_atoms", 12, "--devices", 2) == 1
    error = capfd.readouterr().err.strip().splitlines()
    assert error == ["flowsuite: error: min_atoms 12 is above the largest size 9"]


@pytest.mark.parametrize("start", ["C1CC1", "C[N+](=O)[O-]", "O"])
def test_every_sample_holds_the_start(start, models, tmp_path):
    assert sample(models, tmp_path, "--num", 16, "--start", start, "--min_atoms", 6) == 0
    table, core = rows(tmp_path), parse(start)
    assert all(row["smiles"] for row in table)
    # a bond may turn aromatic around the start: what is matched is the kekulised graph
    for row in table:
        mol = parse(row["smiles"])
        Chem.Kekulize(mol, clearAromaticFlags=True)
        assert mol.HasSubstructMatch(core), row["smiles"]
    assert max(sizes(tmp_path)) > core.GetNumAtoms()
    assert len({row["smiles"] for row in table}) > 4


def test_size_limits(models, tmp_path):
    assert sample(models, tmp_path, "--num", 30, "--max_atoms", 5, "--min_atoms", 3) == 0
    found = sizes(tmp_path)
    assert max(found) == 5 and sum(size < 3 for size in found) < 5
    assert sample(models, tmp_path / "one", "--num", 9, "--max_atoms", 1) == 0
    assert set(sizes(tmp_path / "one")) == {1}


def test_unchecked_samples_break_valences(models, tmp_path):
    for name, option in (("free", ["--unchecked"]), ("checked", [])):
        assert sample(models, tmp_path / name, "--num", 40, *option, name="wild") == 0
    free, checked = rows(tmp_path / "free"), rows(tmp_path / "checked")
    assert any(not row["smiles"] and row["qed"] == "" for row in free)
    assert all(row["smiles"] for row in checked)
    assert any(row["refused_draws"] != "0" for row in checked)


def test_temperature_zero_is_one_molecule(models, tmp_path):
    assert sample(models, tmp_path, "--num", 9, "--temperature", 0) == 0
    assert len({row["smiles"] for row in rows(tmp_path)}) == 1


def test_wanted_properties_are_the_context(models, tmp_path):
    for out, values in (("a", "logp=2.5,qed=0.9"), ("b", "qed=0.9, logp=2.5"), ("c", "logp=-40,qed=0.1")):
        assert sample(models, tmp_path / out, "--num", 16, "--property", values, name="conditional") == 0
    a, b, c = ((tmp_path / out / "molecules.csv").read_bytes() for out in "abc")
    assert a == b != c


def test_nothing_valid_is_told(models, tmp_path, monkeypatch, capsys):
    from flowsuite.molecules import samples

    monkeypatch.setattr(samples, "smiles_from_packed", lambda packed, **options: [None] * len(packed))
    assert sample(models, tmp_path, "--num", 4, "--sdf") == 0
    assert "0 of 4 valid, 0 different" in capsys.readouterr().out
    assert (tmp_path / "molecules.smi").read_text() == "" and not (tmp_path / "molecules.png").exists()
    assert len(rows(tmp_path)) == 4


ERRORS = [
    ("plain", ["--start", "C1CC"], "start 'C1CC'"),
    ("plain", ["--start", "CCS"], "outside the vocabulary"),
    ("plain", ["--start", "C" * 10], "too large: 10 atoms, at most 9"),
    ("plain", ["--min_atoms", "12"], "min_atoms 12 is above the largest size 9"),
    ("plain", ["--property", "logp=1"], "this model is not conditional"),
    ("plain", ["--class", "1"], "--class 1: this model is not conditional on a class"),
    ("plain", ["--points", "5"], "--points: a GraphAFModule takes no such option"),
    ("conditional", [], "give --property logp=...,qed=..."),
    ("conditional", ["--property", "logp=1,sa=2"], "the properties of this model are logp, qed"),
]


@pytest.mark.parametrize(("name", "options", "message"), ERRORS)
def test_wrong_options_get_one_short_line(name, options, message, models, tmp_path, capfd):
    assert sample(models, tmp_path / "out", *options, name=name) == 1
    error = capfd.readouterr().err.strip().splitlines()
    assert message in error[-1] and len(error[-1]) < 200 and len(error) == 1
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--property", "logp"], "expected NAME=NUMBER"),
        (["--property", "logp=nan"], "expected NAME=NUMBER"),
        (["--max_atoms", "0"], "must be at least 1, got 0"),
        (["--min_atoms", "two"], "invalid count value: 'two'"),
    ],
)
def test_words_that_are_no_options(options, message, models, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        sample(models, tmp_path, *options)
    assert message in capsys.readouterr().err


def test_properties_of_one_word():
    assert wanted("logp=2.5, qed = 0.9") == {"logp": 2.5, "qed": 0.9}


def test_python_is_as_short_as_the_readme_says(models):
    from flowsuite.core.training.checkpoint import load_module
    from flowsuite.molecules.chemistry import smiles_from_packed

    module = load_module(models / "plain.ckpt")
    made = module.generate(12, generator=torch.Generator().manual_seed(0))
    assert len(made) == 12 and len(smiles_from_packed(made.molecules)) == 12


@pytest.fixture
def interruptible():
    """Ctrl-C is an exception, also where a shell started the tests in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_is_stopped_leaves_nothing(models, tmp_path, monkeypatch, capsys, number, code, interruptible):
    saved, save_samples = [], MoleculeModule.save_samples

    def save_and_be_stopped(self, samples, out, first):
        saved.append(save_samples(self, samples, out, first))
        if first == 16:
            assert len(list(out.glob("*.npz"))) == 6  # three parts and their flags
            os.kill(os.getpid(), number)

    monkeypatch.setattr(MoleculeModule, "save_samples", save_and_be_stopped)
    before = signal.getsignal(signal.SIGTERM)
    assert sample(models, tmp_path / "made", "--num", 80) == code
    assert len(saved) == 3 and "interrupted" in capsys.readouterr().err
    assert not (tmp_path / "made").exists() and signal.getsignal(signal.SIGTERM) is before
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").touch()
    assert sample(models, tmp_path / "there", "--num", 80) == code
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["mine.txt"]


def test_stopped_while_putting_together_it_leaves_the_old_files(models, tmp_path, monkeypatch):
    from flowsuite.molecules import samples

    assert sample(models, tmp_path, "--num", 8, "--seed", 1) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def stopped(*_):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(samples, "describe", stopped)
    assert sample(models, tmp_path, "--num", 8, "--seed", 2) == 143
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_several_processes_are_stopped_and_leave_nothing(models, tmp_path):
    options = ["--num", "100000", "--batch_size", "4", "--devices", "2", "--out", str(tmp_path / "made")]
    command = ["sample", "--ckpt_path", str(models / "plain.ckpt"), *options]
    running = subprocess.Popen([sys.executable, "-m", "flowsuite.core.training.cli", *command])
    end = time.monotonic() + 120
    while len(list((tmp_path / "made").glob("molecules_*.npz"))) < 4 and time.monotonic() < end:
        time.sleep(0.2)
    running.terminate()
    assert running.wait(60) == 143
    time.sleep(1)
    assert not (tmp_path / "made").exists()
