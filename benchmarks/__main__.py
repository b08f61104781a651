"""`python -m benchmarks SUITE`: side-by-side measurements with peer libraries (extra `bench`)."""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from pathlib import Path

from benchmarks.machine import describe_machine

# suite -> module with `tables(args)`; a suite's peers are imported with that suite only
SUITES = {
    "images": "benchmarks.images",
    "cnf": "benchmarks.cnf",
    "pointclouds": "benchmarks.pointclouds",
    "pointcloud-metrics": "benchmarks.pointcloud_metrics",
    "molecules": "benchmarks.molecules",
    "audio": "benchmarks.audio",
    "variational": "benchmarks.variational",
    "video": "benchmarks.video",
}
MOLECULES = ("qm9", "zinc")


def main() -> None:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("--rounds", type=int, default=15, help="interleaved repetitions (%(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 32], help="image sizes to time (16 and 32)")
    seconds = "training time of a race (of all contenders on a target: variational), or before sampling molecules"
    parser.add_argument("--seconds", type=float, default=120, help=seconds)
    parser.add_argument("--batch", type=int, default=512, help="batch of a race on toy densities (%(default)s)")
    parts = "only training steps; only races (cnf, pointclouds, variational); only synthesis (audio)"
    parser.add_argument("--part", choices=("steps", "races", "synthesis"), help=parts)
    parser.add_argument("--molecules", nargs="+", choices=MOLECULES, default=MOLECULES, help="sizes of molecules (all)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of torch (%(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (%(default)s)")
    parser.add_argument("--no-compile", action="store_true", help="leave out the rows of torch.compile")
    parser.add_argument("--save", type=Path, metavar="FILE.md", help="write the tables there too")
    args = parser.parse_args()
    if args.device != "cpu" and args.suite in ("cnf", "pointclouds"):
        parser.error(f"the suite {args.suite} runs on the CPU only, got --device {args.device}")
    warnings.filterwarnings("ignore", ".*torch.lu is deprecated.*")
    report = [f"# python -m benchmarks {' '.join(sys.argv[1:])}", describe_machine(args.device, args.threads)]
    for table in importlib.import_module(SUITES[args.suite]).tables(args):
        report.append(table)
        print(f"\n{table}", flush=True)
    if args.save:
        args.save.parent.mkdir(parents=True, exist_ok=True)
        args.save.write_text("\n\n".join(report) + "\n")


if __name__ == "__main__":
    main()
