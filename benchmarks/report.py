"""`python -m benchmarks report`: the last result of every benchmark in one page, ours beside each peer."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from benchmarks.claims import CLAIMS
from benchmarks.comparisons import Finding, findings
from benchmarks.result import Result, load_result, write_text
from benchmarks.suites import SUITES
from benchmarks.table import markdown
from flowsuite.core.training.files import WriteError

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- python -m benchmarks report: from here -->", "<!-- to here -->"
INTRO = """\
# Results

Written by `python -m benchmarks report` from the figures in [results](results), each suite's last run. Both figures of
a row are from one run on one machine; [README](README.md) says how they were taken and what bounds them. *Times
better* is the peer's time or memory by ours, or our rate by the peer's. The aims are those of the issues, for CPUs.
The headline shows our best contender beside its strongest peer.
"""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser("python -m benchmarks report", description=__doc__)
    parser.add_argument(
        "--results", type=Path, default=FOLDER / "results", help="folder of the JSON files (%(default)s)"
    )
    parser.add_argument("--out", type=Path, default=FOLDER / "RESULTS.md", help="the page (%(default)s)")
    parser.add_argument(
        "--readme", type=Path, default=FOLDER.parent / "README.md", help="gets the headline rows (%(default)s)"
    )
    args = parser.parse_args(arguments)
    try:
        results = load_results(args.results)
        readme = with_headline(args.readme, results)
        for result in results:
            write_text(args.results / f"{result.name}.md", result.markdown())
        write_text(args.out, page(results))
        write_text(args.readme, readme)
    except (ValueError, FileNotFoundError, WriteError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    print(f"{len(results)} results: {args.out}, headline in {args.readme}")


def load_results(folder: Path) -> list[Result]:
    """Of all `*.json` there, in the order of their names.

    Raises:
        FileNotFoundError: there is none.
        ValueError: one cannot be read, or is of an unknown suite.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise FileNotFoundError(f"{folder}: no results (*.json); python -m benchmarks SUITE --save writes them")
    results = []
    for path in paths:
        result = load_result(path)
        if result.suite not in SUITES:
            raise ValueError(f"{path}: suite: expected one of {', '.join(SUITES)}, got {result.suite!r}")
        results.append(result)
    return results


def page(results: list[Result]) -> str:
    """RESULTS.md."""
    parts = [INTRO.rstrip(), "## Headline", headline(results), counted(results)]
    for suite in SUITES:
        found = of_suite(suite, results)
        for device in sorted({finding.result.device for finding in found}):
            parts += section(suite, device, [f for f in found if f.result.device == device])
    missing = [suite for suite in SUITES if not of_suite(suite, results)]
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.")
    return "\n\n".join(parts) + "\n"


def counted(results: list[Result]) -> str:
    """How many rows meet their aims."""
    verdicts = [finding.verdict for suite in SUITES for finding in of_suite(suite, results)]
    return (
        f"Of {len(verdicts)} rows below, {verdicts.count('met')} meet an aim and {verdicts.count('missed')} miss one."
    )


def code(text: str) -> str:
    """As code, also where it holds single backticks."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def of_suite(suite: str, results: list[Result]) -> list[Finding]:
    return list(findings(CLAIMS[suite](), [result for result in results if result.suite == suite]))


def section(suite: str, device: str, found: list[Finding]) -> list[str]:
    """Where a suite's figures come from, and a table for each of its tables."""
    parts = [f"## {suite} ({device})"]
    for name, result in sorted({f.result.name: f.result for f in found}.items()):
        parts.append(f"[{name}](results/{name}.md): {code(result.command)}. {result.provenance()}")
    for title in dict.fromkeys(f.title for f in found):
        rows = [[f.comparison.what, *cells(f), f.limit or "-"] for f in found if f.title == title]
        columns = ["what", "ours", "", "peer", "", "times better", "aim", "", "limit"]
        parts += [f"### {title}", markdown(columns, rows)]
    return parts


def headline(results: list[Result]) -> str:
    """The table of the few rows that the README shows: for each aim, our best contender beside its strongest peer."""
    rivals: dict[tuple, dict[tuple, list[Finding]]] = {}
    for found in (f for suite in SUITES for f in of_suite(suite, results) if f.comparison.headline):
        comparison = found.comparison
        of_all = rivals.setdefault((found.result.device, comparison.what, comparison.aim), {})
        of_all.setdefault(comparison.ours, []).append(found)
    strongest = [[min(found, key=gain_of) for found in ours.values()] for ours in rivals.values()]
    rows = [[f.comparison.what, *cells(f)] for f in (max(found, key=gain_of) for found in strongest)]
    return markdown(["what", "ours", "", "peer", "", "times better", "aim", ""], rows)


def gain_of(finding: Finding) -> float:
    return finding.gain or 0.0


def cells(finding: Finding) -> list[str]:
    """Who, figure, who, figure, gain, aim and verdict."""
    comparison, (ours, peer) = finding.comparison, finding.shown
    names = (comparison.ours, comparison.column), (comparison.peer, comparison.peer_column or comparison.column)
    (who, other) = (next((c for c in reversed(row) if isinstance(c, str)), column) for row, column in names)
    aim = "-" if finding.aim is None else "less" if comparison.difference else f"{finding.aim:.3g}"
    return [who, ours, other, peer, finding.gain_shown, aim, finding.verdict or "-"]


def with_headline(readme: Path, results: list[Result]) -> str:
    """The README with the present headline rows between its two marks.

    Raises:
        ValueError: the marks are not there, or not once.
    """
    try:
        text = readme.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(f"{readme} not found") from None
    if text.count(BEGIN) != 1 or not re.search(f"{re.escape(BEGIN)}.*{re.escape(END)}", text, flags=re.S):
        raise ValueError(f"{readme}: expected the lines {BEGIN!r} and {END!r} once")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{headline(results)}\n\n{END}{rest.split(END, 1)[1]}"
