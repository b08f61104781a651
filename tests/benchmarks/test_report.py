"""The report: figures, ratios and verdicts of made-up results, and the committed page is what it writes."""

import re
import shutil

import pytest

from benchmarks import report
from benchmarks.claims import CLAIMS
from benchmarks.comparisons import Comparison, Finding, find, findings
from benchmarks.result import Result, load_result
from benchmarks.suites import SUITES
from benchmarks.table import Column, Table

RESULTS = report.FOLDER / "results"
MACHINE = {"processor": "P", "cores": 2, "threads": 1, "load": 0.5, "card": None}
COLUMNS = [
    Column("who"), Column("time", "ms", ".1f"), Column("rate", "items/s", ".0f"), Column("speed-up", "", ".1f"),
    Column("bound", "ms", ".1f"), Column("KL", "nats", ".3f"),
]  # fmt: skip
ROWS = [
    ["ours", 2.0, 500, 4.7, 1.5, -0.01],
    ["peer", 9.0, 100, 1.0, None, 0.5],
    ["slow", "not reached", 0, None, None, 0],
]
TIME = Comparison("step", "T", "time", ("ours",), ("peer",))


def result(rows=ROWS, date="2026-01-01", device="cpu", name="a", suite="images", title="T 1"):
    table = Table(title, COLUMNS, rows)
    fields = (suite, "python -m benchmarks", date, device, None, None, MACHINE, {"python": "3"}, "", [table])
    return Result(*fields, name=name)


def changed(comparison, **changes):
    return Comparison(**vars(comparison) | changes)


def test_a_ratio_is_computed_or_taken_as_stated():
    found = find(TIME, result())
    assert (found.ours, found.peer, found.gain, found.gain_shown) == (2.0, 9.0, 4.5, "4.5")
    assert found.shown == ("2.0 ms", "9.0 ms") and found.verdict == "" and found.title == "T 1"
    assert find(changed(TIME, stated="speed-up"), result()).gain == 4.7
    assert find(changed(TIME, ours=("peer",), peer=("ours",), peer_states="speed-up"), result()).gain_shown == "4.7"
    assert find(changed(TIME, column="rate", more=True), result()).gain == 5


@pytest.mark.parametrize(("aim", "verdict"), [(None, ""), (4.5, "met"), (4.6, "missed")])
def test_verdicts(aim, verdict):
    assert find(changed(TIME, aim=aim), result()).verdict == verdict


def test_aims_are_those_of_a_cpu():
    assert find(changed(TIME, aim=100), result(device="cuda")).verdict == ""


def test_differences_near_zero():
    found = find(changed(TIME, column="KL", difference=True, aim=0), result())
    assert found.gain == pytest.approx(0.51) and found.gain_shown == "0.510 nats less" and found.verdict == "met"
    worse = find(changed(TIME, column="KL", ours=("peer",), peer=("ours",), difference=True, aim=0), result())
    assert worse.verdict == "missed" and worse.gain_shown == "0.510 nats more"


def test_a_race_that_was_not_ended_misses_its_aim():
    found = find(changed(TIME, ours=("slow",), stated="speed-up", aim=2), result())
    assert found.shown[0] == "not reached" and found.gain is None and found.verdict == "missed"


def test_a_limit_is_stated():
    assert find(changed(TIME, limit=("bound", ("ours",), "bound")), result()).limit == "bound: 1.5 ms"
    assert find(changed(TIME, limit=("bound", ("peer",), "bound")), result()).limit == ""


@pytest.mark.parametrize("changes", [{"ours": ("none",)}, {"peer": ("none",)}, {"column": "none"}, {"table": "none"}])
def test_what_was_not_measured_is_left_out(changes):
    assert find(changed(TIME, **changes), result()) is None


def test_the_latest_run_counts_row_by_row():
    old, new = result(date="2026-01-01", name="old"), result(ROWS[:1], date="2026-01-01T10:00:00+00:00", name="new")
    newer = result([["ours", 3.0, 1, 1.0, 1, 1], ROWS[1]], date="2026-01-02", name="newer")
    assert next(findings([TIME], [new, old])).result.name == "old"
    assert next(findings([TIME], [old, newer, new])).ours == 3.0
    both = list(findings([TIME], [old, result(device="cuda", name="card")]))
    assert [f.result.name for f in both] == ["old", "card"]


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(RESULTS, tmp_path / "results")
    (tmp_path / "README.md").write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    return tmp_path


def run(folder):
    words = {"results": folder / "results", "out": folder / "RESULTS.md", "readme": folder / "README.md"}
    report.main([word for name, path in words.items() for word in (f"--{name}", str(path))])


def test_committed_pages_are_what_report_writes(folder):
    """Else: `python -m benchmarks report`, and commit what it wrote."""
    for path in (folder / "results").glob("*.md"):
        path.unlink()
    run(folder)
    assert (folder / "RESULTS.md").read_text() == (report.FOLDER / "RESULTS.md").read_text()
    for path in [*RESULTS.glob("*.json"), *RESULTS.glob("*.md")]:
        assert (folder / "results" / path.name).read_bytes() == path.read_bytes(), path.name
    first = (folder / "RESULTS.md").read_bytes(), (folder / "README.md").read_bytes()
    run(folder)
    assert first == ((folder / "RESULTS.md").read_bytes(), (folder / "README.md").read_bytes())


def table_rows(text):
    return [line for line in text.splitlines() if line.startswith("|")]


def test_the_headline_of_the_readme_is_that_of_the_page():
    readme = (report.FOLDER.parent / "README.md").read_text()
    block = readme.split(report.BEGIN)[1].split(report.END)[0]
    page = (report.FOLDER / "RESULTS.md").read_text().split("## Headline")[1].split("\n## ")[0]
    assert table_rows(block) == table_rows(page) and 6 <= len(table_rows(block)) - 2 <= 10


def test_the_headline_has_our_best_contender_beside_its_strongest_peer(monkeypatch):
    gains = {("ours", "peer"): 4.0, ("ours", "slow"): 5.0, ("fast", "peer"): 2.0, ("fast", "slow"): 9.0}

    def of_suite(suite, results):
        for (who, other), gain in gains.items():
            comparison = changed(TIME, ours=(who,), peer=(other,), headline=True)
            yield Finding(comparison, result(), "T 1", 1.0, gain, ("a", "b"), gain, f"{gain}", "")

    monkeypatch.setattr(report, "of_suite", of_suite)
    monkeypatch.setattr(report, "SUITES", ("images",))
    rows = table_rows(report.headline([]))[2:]
    assert len(rows) == 1 and rows[0].startswith("| step | ours | a | peer | b | 4.0 |")


def test_report_changes_only_its_part_of_the_readme(folder):
    run(folder)
    text = (folder / "README.md").read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n\n| what |") and text.endswith(f"|\n\n{report.END}\nafter\n")


@pytest.mark.parametrize("suite", SUITES)
def test_every_comparison_finds_its_figures(suite):
    """In the committed results of its suite, so that no claim is lost by a changed name."""
    results = [r for r in report.load_results(RESULTS) if r.suite == suite]
    if not results:
        pytest.skip(f"{suite}: no result committed yet")
    skipped = {  # not in the committed run: two configurations, nothing compiled; the GPU's size
        "audio": lambda c: "training step" in c.what and ("C=128" in c.what or c.ours[-1] == "ours, compiled"),
        "video": lambda c: "published," in c.what,
    }.get(suite, lambda c: False)
    found = {f.comparison for f in findings(CLAIMS[suite](), results)}
    assert [c.what for c in CLAIMS[suite]() if c not in found and not skipped(c)] == []


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_ratios_that_a_table_states_are_those_of_its_figures(path):
    """Within what rounding leaves: half a unit in the last place of each figure."""
    run = load_result(path)
    for comparison in CLAIMS[run.suite]():
        found = find(comparison, run)
        if found is None or found.gain is None or comparison.difference or not found.ours:
            continue
        computed = found.peer / found.ours if not comparison.more else found.ours / found.peer
        loose = sum(last_place(text) / value for text, value in zip(found.shown, (found.ours, found.peer), strict=True))
        assert abs(found.gain / computed - 1) < 0.5 * (loose + last_place(found.gain_shown) / found.gain) + 1e-4, found


def last_place(text):
    digits = re.match(r"[\d,]+(?:\.(\d+))?", text)
    return 10.0 ** -len(digits[1] or "")


def test_a_mangled_result_is_named_in_one_line(folder, capsys):
    bad = folder / "results" / "images_cpu.json"
    bad.write_text(bad.read_text()[:1000])
    with pytest.raises(SystemExit) as caught:
        run(folder)
    error = capsys.readouterr().err
    assert caught.value.code == 2 and str(bad) in error and error.count("\n") == 1
    assert not (folder / "RESULTS.md").exists()


def test_other_errors_are_one_line_too(folder, capsys):
    def fails(named):
        with pytest.raises(SystemExit):
            run(folder)
        error = capsys.readouterr().err
        assert named in error and error.count("\n") == 1

    path = folder / "results" / "images_cpu.json"
    good = path.read_text()
    path.write_text(good.replace('"suite": "images"', '"suite": "pictures"'))
    fails("images_cpu.json: suite: expected one of images,")
    path.write_text(good)
    (folder / "README.md").write_text("no marks")
    fails("README.md: expected the lines")
    (folder / "README.md").unlink()
    fails("README.md not found")
    shutil.rmtree(folder / "results")
    fails("no results (*.json)")


def test_suites_not_measured_are_said(folder):
    for path in (folder / "results").glob("audio*"):
        path.unlink()
    run(folder)
    assert re.search(r"Not measured yet: .*audio", (folder / "RESULTS.md").read_text())
