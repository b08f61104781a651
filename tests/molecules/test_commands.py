"""`flowsuite molecules evaluate`."""

import gzip
import json

import pytest

pytest.importorskip("rdkit")
from flowsuite.core.training.cli import main as flowsuite

ERRORS = {
    "missing.smi": (None, "not found"),
    "no-column.csv": (
        b"name,structure\na,CC\n",
        "no column called smiles; say which",
    ),
    "empty.csv": (b"", "expected a header with a column of SMILES"),
    "broken.smi.gz": (b"not gzip", "damaged or not gzip"),
    "binary.smi": (b"\xff\xfe\x00\x80", "not a readable file of molecules"),
}


def test_evaluate(tmp_path, capsys):
    (tmp_path / "made.smi").write_text("CCO 1\nOCC 2\n\nC1CC 3\nc1ccccc1 4\n")
    (tmp_path / "test.csv").write_text('name,SMILES\na,"CCN\n"\nb,Cc1ccccc1\n')
    with gzip.open(tmp_path / "train.smi.gz", "wt") as file:
        file.write("CCO\n")
    options = [str(tmp_path / "made.smi"), "--train", str(tmp_path / "train.smi.gz"), "--test"]
    options += [
        str(tmp_path / "test.csv"),
        "--out",
        str(tmp_path / "out" / "report.json"),
        "--workers",
        "0",
        "--no_fcd",
    ]
    assert flowsuite(["molecules", "evaluate", *options, "--quiet"]) == 0
    printed, noise = capsys.readouterr()
    assert "75.00 %" in printed and "SNN" in printed and noise == ""
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert saved["figures"]["basic"]["valid"] == 0.75 and saved["figures"]["basic"]["novel"] == 0.5
    assert saved["counts"]["test"] == {"given": 2, "used": 2}
    assert saved["settings"]["train"].endswith("train.smi.gz")


@pytest.mark.parametrize(
    ("name", "text", "options", "valid"),
    [
        ("samples.csv", "smiles,atoms\nCCO,3\n,12\nCC,2\n,5\n", [], 0.5),
        ("one.csv", "smiles\nCCO\n\nCC\n\n", [], 1.0),
        ("one.csv", "smiles\nCCO\n\nCC\n\n", ["--count_empty"], 0.5),
        ("samples.smi", "\nCCO\n\nCC\n", [], 1.0),
        ("samples.smi", "\nCCO\n\nCC\n", ["--count_empty"], 0.5),
    ],
)
def test_samples_that_are_no_molecules_count(tmp_path, capsys, name, text, options, valid):
    (tmp_path / name).write_text(text)
    out = tmp_path / "report.json"
    arguments = [str(tmp_path / name), "--out", str(out), "--workers", "0", "--no_fcd", "--no_filters", "--quiet"]
    assert flowsuite(["molecules", "evaluate", *arguments, *options]) == 0
    report = json.loads(out.read_text())
    assert report["figures"]["basic"]["valid"] == valid and report["counts"]["generated"]["valid"] == 2


@pytest.mark.parametrize(("command", "option"), [("evaluate", "--out"), ("encode", "--out"), ("encode", "--report")])
def test_places_to_write_are_tried_first(tmp_path, capsys, command, option):
    (tmp_path / "file").write_text("")
    place = str(tmp_path / "file" / "a.npz")
    assert flowsuite(["molecules", command, str(tmp_path / "missing.smi"), option, place]) == 1
    assert f"cannot write to {place}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ERRORS)
def test_files_that_cannot_be_read(name, tmp_path, capsys):
    content, message = ERRORS[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert flowsuite(["molecules", "evaluate", str(tmp_path / name)]) == 1
    error = capsys.readouterr().err
    assert name in error and message in error and error.count("\n") == 1


def test_a_folder(tmp_path, capsys):
    assert flowsuite(["molecules", "evaluate", str(tmp_path)]) == 1
    assert "is a folder without .xyz files: expected a file of molecules" in capsys.readouterr().err


def test_help_and_wrong_commands(capsys):
    assert flowsuite(["molecules"]) == 0
    assert "evaluate" in capsys.readouterr().out
    assert flowsuite(["molecules", "evaluat"]) == 1
    assert "did you mean 'evaluate'" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        flowsuite(["molecules", "evaluate", "--help"])
    assert "examples:" in capsys.readouterr().out
