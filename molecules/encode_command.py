"""`flowsuite molecules encode`: a file of molecules as packed graphs, and what became of them."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from flowsuite.core.training.files import atomic_write, check_writable
from flowsuite.core.training.model_options import QUIET
from flowsuite.molecules.processes import default_workers
from flowsuite.molecules.readers import FORMATS
from flowsuite.molecules.vocabulary import PRESETS

EXAMPLES = """\
examples:
  flowsuite molecules encode molecules.smi --out molecules.npz
  flowsuite molecules encode zinc.csv --column smiles --atoms zinc250k-charged --max_atoms 38 --out zinc.npz
  flowsuite molecules encode salts.smi.gz --largest_fragment --neutralize --properties logp qed --out salts.npz
  flowsuite molecules encode zinc.smi --atoms zinc250k --drop_charges     the published codec: what it loses
"""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "flowsuite molecules encode",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("file", metavar="FILE", help=".smi, .txt, .csv, .tsv (.gz, .bz2), .sdf, .xyz, a folder or .tar of .xyz")
    add("--out", metavar="FILE.npz", help="write the graphs there; without, only the report is printed")
    add("--json", "--report", dest="report", metavar="FILE", help="write the report there too")
    add(
        "--atoms",
        nargs="+",
        default=["auto"],
        metavar="CLASS",
        help=f"atom classes such as C N O N+, one of {', '.join(PRESETS)}, or auto: those in the file (auto)",
    )
    add("--min_share", type=float, default=1e-4, metavar="X", help="auto leaves out rarer classes (%(default)s)")
    add("--max_atoms", type=int, default=0, metavar="N", help="leave out larger molecules (255)")
    add("--window", type=int, default=12, metavar="W", help="longest bond in places of the order (%(default)s)")
    add("--column", help="of SMILES in a .csv")
    add("--layout", choices=FORMATS, help="of the file; told by its name if not given")
    add("--where", nargs=2, metavar=("COLUMN", "VALUE"), help="only these rows of a .csv")
    add("--properties", nargs="+", default=[], metavar="NAME", help="numbers to keep: columns, or logp qed sa ...")
    add("--neutralize", action="store_true", help="move protons until few atoms are charged")
    add("--largest_fragment", action="store_true", help="keep the largest fragment of salts")
    add("--drop_charges", action="store_true", help="forget formal charges, as the published codec does")
    add("--stop", action="store_true", help="stop at the first molecule that cannot be encoded")
    add("--check_every", type=int, default=1, metavar="N", help="decode every N-th again; 0: none (%(default)s)")
    add("--workers", type=int, default=default_workers(), metavar="N", help="processes, 0 for none (%(default)s)")
    add("--quiet", action="store_true", help=QUIET)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs `encode_file`; errors are exceptions with a message of one line."""
    args = make_parser().parse_args(argv)
    if args.out and Path(args.out).suffix != ".npz":
        raise ValueError(f"--out must end in .npz, got {args.out}")
    check_writable(args.out, args.report)
    from flowsuite.molecules.encode import encode_file  # only now: it takes seconds to import

    begin = time.perf_counter()
    one_name = len(args.atoms) == 1 and (args.atoms[0] == "auto" or args.atoms[0] in PRESETS)
    encoded = encode_file(
        args.file,
        args.atoms[0] if one_name else args.atoms,
        args.max_atoms,
        args.window,
        column=args.column,
        layout=args.layout,
        where=tuple(args.where) if args.where else None,
        min_share=args.min_share,
        on_error="stop" if args.stop else "skip",
        neutralize=args.neutralize,
        largest_fragment=args.largest_fragment,
        drop_charges=args.drop_charges,
        properties=args.properties,
        check_every=args.check_every,
        workers=args.workers,
        progress="" if args.quiet else f"encoding {os.path.basename(args.file)}",
    )
    encoded.report.print()
    if args.report:
        with atomic_write(args.report) as file:
            file.write(json.dumps(json.loads(encoded.report.to_json()), indent=1).encode())
    if args.out:
        encoded.save(args.out)
        size = os.path.getsize(args.out) / 1e6
        print(f"{len(encoded.packed):,} molecules in {args.out} ({size:.1f} MB, {time.perf_counter() - begin:.1f} s)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
