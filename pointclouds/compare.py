"""`flowsuite pointclouds compare`: the result table of generated clouds against reference clouds, from files."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.training.files import atomic_write, check_writable
from flowsuite.core.training.model_options import QUIET
from flowsuite.core.training.numpy_files import load_npy, load_npz
from flowsuite.pointclouds.checks import as_clouds
from flowsuite.pointclouds.clouds import load_clouds
from flowsuite.pointclouds.data_files import list_npy
from flowsuite.pointclouds.metrics import GENERATION_METRICS, SCALES, Spread, evaluate_generations

ORDER = ("JSD", "MMD-CD", "MMD-EMD", "COV-CD", "COV-EMD", "1-NNA-CD", "1-NNA-EMD")  # columns of published tables
EXAMPLES = """\
examples:
  flowsuite pointclouds compare samples.npy references.npy
  flowsuite pointclouds compare a.npy b.npy c.npy references/ --metrics cd jsd --points 2048 --json figures.json
"""


def read_set(path: str) -> Tensor:
    """Clouds (B, N, 3) from a `.npy` or `.npz` with one such array, or a folder of `.npy` files in order of names.

    The files of a folder hold (N, 3) or (B, N, 3) each, all with equally many points.
    """
    place = Path(path)
    if place.is_dir():
        return as_clouds(read_folder(place), path)
    if place.suffix == ".npz":
        return as_clouds(read_archive(place), path)
    if place.suffix != ".npy" and place.exists():
        raise ValueError(f"{path}: expected a .npy, a .npz or a folder of .npy files")
    return as_clouds(load_npy(place), path)


def read_folder(folder: Path) -> Tensor | np.ndarray:
    files = list_npy(folder)
    if load_npy(files[0]).ndim == 2:
        return load_clouds(files)
    sets = [as_clouds(load_npy(file), str(file)) for file in files]
    for file, clouds in zip(files, sets, strict=True):
        if clouds.shape[1] != sets[0].shape[1]:
            raise ValueError(f"{file}: {clouds.shape[1]} points a cloud, but {files[0]} has {sets[0].shape[1]}")
    return torch.cat(sets)


def read_archive(path: Path) -> np.ndarray:
    arrays = load_npz(path)
    found = [name for name, array in arrays.items() if array.ndim == 3 and array.shape[-1] == 3]
    if len(found) != 1:
        listed = ", ".join(f"{name} {array.shape}" for name, array in arrays.items()) or "nothing"
        raise ValueError(f"{path}: expected one array of shape (clouds, points, 3), got {listed}")
    return arrays[found[0]]


def cut(clouds: Tensor, name: str, num: int | None, points: int | None) -> Tensor:
    """The first `num` clouds, of each the first `points` points."""
    for wanted, have, what in ((num, clouds.shape[0], "clouds"), (points, clouds.shape[1], "points")):
        if wanted is not None and have < wanted:
            raise ValueError(f"{name}: {have} {what}, asked for {wanted}")
    return clouds[:num, :points]


def result_table(figures: dict[str, Spread]) -> str:
    """The figures at the scales of the published tables, one a line, mean +- sd over the sample sets."""
    names = [name for name in ORDER if name in figures] + [name for name in figures if name not in ORDER]
    lines = []
    for name in names:
        spread, (factor, unit) = figures[name], SCALES[name]
        sd = f" +- {factor * spread.sd:<8.3f}" if len(spread.values) > 1 else ""
        lines.append(f"{name:<16}{factor * spread.mean:10.3f}{sd} {unit}")
    return "\n".join(lines)


def compare(args: argparse.Namespace) -> None:
    check_writable(args.json)
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    reference = cut(read_set(args.reference), args.reference, args.num, args.points).to(device)
    generated = [cut(read_set(path), path, args.num, args.points) for path in args.generated]
    figures = evaluate_generations(generated, reference, args.metrics, not args.quiet, names=args.generated)
    print(result_table(figures))
    sets = f"{len(generated)} sample set{'s' if len(generated) > 1 else ''}"
    print("; ".join([f"{sets} of {len(reference)} clouds of {generated[0].shape[1]} points", *notes(args)]))
    if args.json:
        report = {
            "generated": args.generated,
            "reference": args.reference,
            "clouds": len(reference),
            "points": [generated[0].shape[1], reference.shape[1]],
            "figures": {name: as_json(spread) for name, spread in figures.items()},
        }
        with atomic_write(args.json) as file:
            file.write((json.dumps(report, indent=2) + "\n").encode())


def notes(args: argparse.Namespace) -> list[str]:
    """How to read the table."""
    spread = ["mean +- standard deviation over the sets"] if len(args.generated) > 1 else []
    ideal = ["1-NNA ideally 50 %"] if {"cd", "emd"} & set(args.metrics) else []
    return spread + ideal + (["EMD exact"] if "emd" in args.metrics else [])


def as_json(spread: Spread) -> dict:
    """Plain figures, not scaled; no standard deviation of a single set."""
    return asdict(spread) | ({"sd": None} if len(spread.values) < 2 else {})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = "clouds: a .npy or .npz of shape (clouds, points, 3), or a folder of .npy files"
    parser.add_argument("generated", nargs="+", metavar="GENERATED", help=f"sets of generated {what}")
    parser.add_argument("reference", metavar="REFERENCE", help="reference clouds, in the same units")
    parser.add_argument(
        "--metrics", nargs="+", default=list(GENERATION_METRICS), choices=GENERATION_METRICS, help="which (all)"
    )
    parser.add_argument("--num", type=int, metavar="N", help="use the first N clouds of each set")
    parser.add_argument("--points", type=int, metavar="N", help="use the first N points of each cloud")
    parser.add_argument("--device", help="of CD; the GPU if there is one. EMD runs on the CPU")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too, not scaled")
    parser.add_argument("--quiet", action="store_true", help=QUIET)


def main(argv: list[str] | None = None) -> int:
    """Runs `compare`; errors are exceptions with a message of one line."""
    parser = argparse.ArgumentParser(
        "flowsuite pointclouds compare",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_arguments(parser)
    compare(parser.parse_args(argv))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
