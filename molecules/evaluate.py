"""`flowsuite molecules evaluate`: every metric of a file of generated SMILES, as a table and as JSON."""

from __future__ import annotations

import argparse
import csv
import gzip
import os
from pathlib import Path

from flowsuite.molecules.metrics.report import evaluate

EXAMPLES = """\
examples:
  flowsuite molecules evaluate generated.smi --train train.smi --test test.smi --out report.json
  flowsuite molecules evaluate generated.csv --test test.smi.gz --workers 8 --no-fcd
"""


def read_smiles(path: str | os.PathLike) -> list[str]:
    """The SMILES of a file in order: the first word of each line, or the column `smiles` of a .csv; .gz is unpacked.

    Empty lines are passed over.
    """
    path = Path(path)
    if not path.exists() or path.is_dir():
        raise FileNotFoundError(f"{path} not found" if not path.is_dir() else f"{path} is a folder, expected a file")
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            if path.name.removesuffix(".gz").lower().endswith(".csv"):
                return read_column(file, path)
            return [line.split()[0] for line in file if line.strip()]
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, csv.Error) as error:
        raise ValueError(f"{path}: not a readable text file of SMILES ({error})") from None


def read_column(file, path: Path) -> list[str]:
    """The column called `smiles`, in any case, of a CSV file with a header."""
    rows = csv.DictReader(file)
    names = [name for name in rows.fieldnames or [] if name.strip().lower() == "smiles"]
    if not names:
        raise ValueError(f"{path}: expected a column smiles, got {', '.join(rows.fieldnames or []) or 'no header'}")
    return [text for row in rows if (text := (row[names[0]] or "").strip())]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "flowsuite molecules evaluate",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "generated",
        metavar="GENERATED",
        help="SMILES as generated, one a line, or a .csv with a column smiles; .gz too",
    )
    add("--train", metavar="FILE", help="training molecules, for novelty")
    add("--test", metavar="FILE", help="held-out molecules to compare with")
    add("--scaffold_test", metavar="FILE", help="second test set, of unseen scaffolds")
    add("--out", metavar="FILE.json", help="write all figures and histograms there too")
    add("--isomeric", action="store_true", help="molecules that differ in stereochemistry only are different")
    add("--limit", type=int, metavar="N", help="compare with a random sample of so many test molecules")
    add("--no-filters", dest="filters", action="store_false", help="no structural alerts, the slowest part")
    add("--no-fcd", dest="fcd", action="store_false", help="no Frechet ChemNet distance")
    add("--workers", type=int, default=cores(), metavar="N", help="processes, 0 for none (%(default)s)")
    add("--device", help="of similarities and ChemNet: cpu, cuda, ...; the GPU if there is one")
    add("--seed", type=int, default=0, help="of samples (%(default)s)")
    add("--quiet", action="store_true", help="no progress bars")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs `evaluate`; errors are exceptions with a message of one line."""
    import torch

    args = make_parser().parse_args(argv)
    sets = {name: read_smiles(path) for name in ("train", "test", "scaffold_test") if (path := getattr(args, name))}
    report = evaluate(
        read_smiles(args.generated),
        **sets,
        isomeric=args.isomeric,
        workers=args.workers,
        device=args.device or ("cuda" if torch.cuda.is_available() else "cpu"),
        progress=not args.quiet,
        filters=args.filters,
        fcd=args.fcd,
        limit=args.limit,
        seed=args.seed,
    )
    report.settings |= {"generated": args.generated, **{name: getattr(args, name) for name in sets}}
    report.print()
    if args.out:
        report.save(args.out)
        print(f"written to {args.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
