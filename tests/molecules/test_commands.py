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
        "--no-fcd",
    ]
    assert flowsuite(["molecules", "evaluate", *options, "--quiet"]) == 0
    printed, noise = capsys.readouterr()
    assert "75.00 %" in printed and "SNN" in printed and noise == ""
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert saved["figures"]["basic"]["valid"] == 0.75 and saved["figures"]["basic"]["novel"] == 0.5
    assert saved["counts"]["test"] == {"given": 2, "used": 2}
    assert saved["settings"]["train"].endswith("train.smi.gz")


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
