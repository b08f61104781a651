"""`flowsuite molecules evaluate`: every metric of a file of generated SMILES, as a table and as JSON."""

from __future__ import annotations

import argparse

from flowsuite.core.training.files import check_writable
from flowsuite.core.training.model_options import QUIET
from flowsuite.molecules.processes import default_workers

EXAMPLES = """\
examples:
  flowsuite molecules evaluate generated.smi --train train.smi --test test.smi --out report.json
  flowsuite molecules evaluate drawn/molecules.csv --train train.smi       what flowsuite sample wrote, invalid ones too
  flowsuite molecules evaluate generated.csv --test test.smi.gz --workers 8 --no_fcd
"""


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
        help="SMILES as generated, one a line, or a .csv with a column smiles, empty where invalid; .gz too",
    )
    add("--count_empty", action="store_true", help="empty lines of GENERATED are invalid molecules too")
    add("--train", metavar="FILE", help="training molecules, for novelty")
    add("--test", metavar="FILE", help="held-out molecules to compare with")
    add("--scaffold_test", metavar="FILE", help="second test set, of unseen scaffolds")
    add("--json", "--out", dest="out", metavar="FILE", help="write all figures and histograms there too")
    add("--isomeric", action="store_true", help="molecules that differ in stereochemistry only are different")
    add("--limit", type=int, metavar="N", help="compare with a random sample of so many test molecules")
    add("--no_filters", dest="filters", action="store_false", help="no structural alerts, the slowest part")
    add("--no_fcd", dest="fcd", action="store_false", help="no Frechet ChemNet distance")
    add("--workers", type=int, default=default_workers(), metavar="N", help="processes, 0 for none (%(default)s)")
    add("--device", help="of similarities and ChemNet: cpu, cuda, ...; the GPU if there is one")
    add("--seed", type=int, default=0, help="of samples (%(default)s)")
    add("--quiet", action="store_true", help=QUIET)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs `evaluate`; errors are exceptions with a message of one line."""
    args = make_parser().parse_args(argv)
    # Only now: these take seconds to import, and help must answer at once.
    import torch

    from flowsuite.molecules.metrics.report import evaluate
    from flowsuite.molecules.readers import read_smiles

    check_writable(args.out)
    sets = {name: read_smiles(path) for name in ("train", "test", "scaffold_test") if (path := getattr(args, name))}
    report = evaluate(
        read_smiles(args.generated, empty=args.count_empty),
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
