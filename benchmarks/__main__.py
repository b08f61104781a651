"""`python -m benchmarks SUITE`: side-by-side measurements with peer libraries (extra `bench`).

`python -m benchmarks report` collects the last results into benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import shlex
import sys
import warnings
from pathlib import Path

import torch

from benchmarks import report
from benchmarks.machine import commit, machine, versions
from benchmarks.result import Result
from benchmarks.suites import SUITES
from flowsuite.core.training.files import WriteError, check_writable

MOLECULES = ("qm9", "zinc")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", choices=[*SUITES, "report"])
    parser.add_argument("--rounds", type=int, default=15, help="interleaved repetitions (%(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 32], help="image sizes to time (16 and 32)")
    seconds = "training time of a race (of all contenders on a target: variational), or before sampling molecules"
    parser.add_argument("--seconds", type=float, default=120, help=f"{seconds} (%(default)s)")
    parser.add_argument("--batch", type=int, default=512, help="batch of a race on toy densities (%(default)s)")
    parts = "only training steps; only races (cnf, pointclouds, variational); only synthesis (audio)"
    parser.add_argument("--part", choices=("steps", "races", "synthesis"), help=parts)
    parser.add_argument("--molecules", nargs="+", choices=MOLECULES, default=MOLECULES, help="sizes of molecules (all)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch (%(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    parser.add_argument("--no-compile", action="store_true", help="leave out the rows of torch.compile")
    parser.add_argument(
        "--save", type=Path, metavar="FILE.json", help="write the figures there, and as Markdown beside it"
    )
    parser.add_argument("--note", default="", help="what a reader of the saved figures should know of this run")
    return parser


def main() -> None:
    if sys.argv[1:2] == ["report"]:
        return report.main(sys.argv[2:])
    parser = make_parser()
    args = parser.parse_args()
    if args.device != "cpu" and args.suite in ("cnf", "pointclouds"):
        parser.error(f"the suite {args.suite} runs on the CPU only, got --device {args.device}")
    if args.save and args.save.suffix != ".json":
        parser.error(f"--save takes a file.json (the Markdown is written beside it), got {args.save}")
    try:
        check_writable(args.save)
    except WriteError as error:
        parser.error(str(error))
    warnings.filterwarnings("ignore", ".*torch.lu is deprecated.*")
    result = begun(args)
    for table in importlib.import_module(SUITES[args.suite]).tables(args):
        result.tables.append(table)
        print(f"\n{table}", flush=True)
    if args.save:
        result.save(args.save)


def begun(args: argparse.Namespace) -> Result:
    """A result without tables; sets torch's threads."""
    torch.set_num_threads(args.threads)
    head, dirty = commit()
    return Result(
        suite=args.suite,
        command=f"python -m benchmarks {shlex.join(sys.argv[1:])}",
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        device=args.device.split(":")[0],
        commit=head,
        dirty=dirty,
        machine=machine(args.device, args.threads),
        versions=versions(),
        note=args.note,
        tables=[],
    )


if __name__ == "__main__":
    main()
