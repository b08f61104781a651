"""Tables and results: what is written is read again, and what is mangled is named."""

import json
import math
import subprocess
import sys

import pytest

from benchmarks.machine import commit, machine, versions
from benchmarks.result import Result, load_result
from benchmarks.table import Column, Table

COLUMNS = [Column("who"), Column("time", "ms", ".1f"), Column("count", "", ",")]


def made(**changes):
    table = Table("A table", COLUMNS, [["ours", 1.26, 1234], ["peer", "not reached", None]])
    fields = {
        "suite": "images", "command": "python -m benchmarks images", "date": "2026-01-02T03:04:05+00:00",
        "device": "cpu", "commit": "0123456789", "dirty": True, "machine": machine("cpu", 1),
        "versions": {"python": "3"}, "note": "", "tables": [table],
    }  # fmt: skip
    return Result(**fields | changes)


def test_a_table_in_markdown():
    assert str(made().tables[0]).splitlines() == [
        "## A table", "", "| who | time, ms | count |", "|---|---|---|",
        "| ours | 1.3 | 1,234 |", "| peer | not reached | - |",
    ]  # fmt: skip


@pytest.mark.parametrize("row", [["ours", 1.0], ["ours", 1.0, 2, 3], ["ours", [1.0], 2], ["ours", True, 2]])
def test_wrong_rows(row):
    with pytest.raises(ValueError, match="table 'T', row 0: expected"):
        Table("T", COLUMNS, [row])


@pytest.mark.parametrize("spec", ["x", "{", ".1000f", "1000d", None])
def test_wrong_formats(spec):
    with pytest.raises((ValueError, TypeError)):
        Column("time", "ms", spec)


def test_a_result_is_read_as_written(tmp_path):
    result = made()
    result.save(tmp_path / "a.json")
    read = load_result(tmp_path / "a.json")
    assert read.name == "a" and read.markdown() == result.markdown() == (tmp_path / "a.md").read_text()
    assert read.tables == result.tables and read.machine == result.machine
    assert "commit 0123456 with changes" in read.provenance()
    read.save(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_figures_that_are_not_finite_do_not_spoil_a_run(tmp_path):
    table = Table("T", COLUMNS, [["ours", math.nan, 1], ["peer", math.inf, 1.23456789]])
    made(tables=[table]).save(tmp_path / "a.json")
    assert load_result(tmp_path / "a.json").tables[0].rows == [["ours", "nan", 1], ["peer", "inf", 1.23457]]


def edited(change):
    def run(content):
        change(content)
        return json.dumps(content)

    return run


@pytest.mark.parametrize(
    ("mangle", "named"),
    [
        (lambda c: json.dumps(c)[:-20], "not JSON"),
        (lambda c: "[1, 2]", "expected an object"),
        (lambda c: "[" * 100_000, "not JSON"),
        (lambda c: json.dumps(c).replace("1.26", "NaN"), "NaN"),
        (edited(lambda c: c.pop("date")), "no field date"),
        (edited(lambda c: c.update(extra=1)), "unknown field extra"),
        (edited(lambda c: c.update(suite=3)), "suite: expected str, got 3"),
        (edited(lambda c: c.update(dirty="yes")), "dirty: expected bool or NoneType"),
        (edited(lambda c: c.update(machine=[])), "machine: expected dict"),
        (edited(lambda c: c["machine"].pop("threads")), "no field machine.threads"),
        (edited(lambda c: c["machine"].update(threads=True)), "machine.threads: expected int"),
        (edited(lambda c: c["tables"].append(7)), "table 1"),
        (edited(lambda c: c["tables"][0].pop("rows")), "table 0: no 'rows'"),
        (edited(lambda c: c["tables"][0]["rows"][0].pop()), "table 0: table 'A table', row 0: expected 3 cells, got 2"),
        (edited(lambda c: c["tables"][0]["columns"][1].update(spec="{x}")), "expected a format"),
        (edited(lambda c: c["tables"][0].update(title=None)), "expected a title"),
    ],
)
def test_a_mangled_file_is_named_in_one_line(tmp_path, mangle, named):
    made().save(tmp_path / "good.json")
    path = tmp_path / "bad.json"
    path.write_text(mangle(json.loads((tmp_path / "good.json").read_text())))
    with pytest.raises(ValueError) as caught:
        load_result(path)
    assert str(path) in str(caught.value) and named in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json not found"):
        load_result(tmp_path / "none.json")


def test_the_commit_and_whether_it_was_changed(tmp_path):
    assert commit(tmp_path) == (None, None)

    def git(*words):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True)

    git("init", "-q")
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    files = [tmp_path / "code.py", tmp_path / "benchmarks" / "results" / "a.json"]
    for file in files:
        file.write_text("1")
    git("add", "-A")
    git("commit", "-q", "-m", "one")
    head, dirty = commit(tmp_path)
    assert len(head) == 40 and dirty is False
    files[1].write_text("2")
    assert commit(tmp_path) == (head, False)
    files[0].write_text("2")
    assert commit(tmp_path) == (head, True)


def test_what_it_was_measured_on():
    found = machine("cpu", 3)
    assert found["threads"] == 3 and found["processor"] and found["card"] is None
    assert versions()["python"].startswith("3.") and "torch" in versions()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["images", "--save", "figures.md"], "--save takes a file.json"),
        (["images", "--save", "/proc/none/a.json"], "cannot write to /proc/none/a.json"),
        (["cnf", "--device", "cuda"], "runs on the CPU only"),
        (["glow"], "invalid choice: 'glow'"),
    ],
)
def test_wrong_commands_say_so_before_they_measure(words, named, monkeypatch, capsys):
    from benchmarks.__main__ import main

    monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    error = capsys.readouterr().err
    assert caught.value.code == 2 and named in error and "Traceback" not in error


def test_save_writes_json_and_markdown(tmp_path, monkeypatch, capsys):
    from benchmarks import __main__ as command
    from benchmarks import images

    monkeypatch.setattr(images, "tables", lambda args: iter(made().tables))
    monkeypatch.setattr(command.torch, "set_num_threads", lambda n: None)
    path = tmp_path / "images_cpu.json"
    words = ["images", "--threads", "1", "--save", str(path), "--note", "Other jobs ran."]
    monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
    command.main()
    result = load_result(path)
    assert result.suite == "images" and result.tables == made().tables and result.note == "Other jobs ran."
    assert result.command.startswith("python -m benchmarks images --threads 1 --save")
    assert result.date.endswith("+00:00") and result.machine["threads"] == 1 and result.versions["torch"]
    assert (tmp_path / "images_cpu.md").read_text() == result.markdown()
    assert "| ours | 1.3 | 1,234 |" in capsys.readouterr().out
