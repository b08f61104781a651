"""`flowsuite pointclouds render`: a contact sheet of clouds in files."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.training.numpy_files import load_npy
from flowsuite.pointclouds.clouds import check_points
from flowsuite.pointclouds.ply import read_ply_points
from flowsuite.pointclouds.render import write_sheet

EXAMPLES = """\
examples:
  flowsuite pointclouds render samples/*.npy --out samples.png
  flowsuite pointclouds render data/shapes/03001627/train --num 16 --out chairs.png
  flowsuite pointclouds render cloud.npy --values log_density.npy --out heat.png
"""


def clouds_of(path: Path) -> list[np.ndarray]:
    """The clouds in a `.npy` (N, 3) or (B, N, 3), or the vertices of a `.ply`."""
    if path.suffix.lower() == ".ply":
        return [read_ply_points(path)]
    array = load_npy(path)
    if array.ndim == 3:
        return [check_points(cloud, f"{path}, cloud {i}") for i, cloud in enumerate(array)]
    return [check_points(array, path)]


def files_of(paths: list[Path]) -> list[Path]:
    """The files named, and those in the folders named, sorted."""
    found = []
    for path in paths:
        inside = sorted(p for p in path.rglob("*") if p.suffix in (".npy", ".ply")) if path.is_dir() else [path]
        if not inside:
            raise FileNotFoundError(f"{path} holds no .npy or .ply clouds")
        found += inside
    return found


def read_clouds(paths: list[Path], num: int, points: int) -> list[Tensor]:
    """The first `num` clouds of some files, at most `points` of each, evenly picked; 0: all."""
    clouds: list[Tensor] = []
    for path in files_of(paths):
        clouds += [torch.from_numpy(thin(cloud, points)) for cloud in clouds_of(path)]
        if len(clouds) >= num:
            break
    return clouds[:num]


def thin(cloud: np.ndarray, points: int) -> np.ndarray:
    """At most `points` rows, evenly picked; all if 0."""
    return cloud[:: max(1, len(cloud) // points)][:points] if points else cloud


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "flowsuite pointclouds render",
        description="Draws clouds side by side, axis 1 (y) up.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help=".npy (N, 3) or (B, N, 3), .ply, or folders of those")
    add("--out", required=True, metavar="FILE.png", help="the picture to write")
    add("--num", type=int, default=64, help="clouds at most (%(default)s)")
    add("--points", type=int, default=4096, help="points drawn of each cloud at most; 0 for all (%(default)s)")
    add("--columns", type=int, help="clouds in a row (as square as possible)")
    add("--size", type=int, default=192, help="pixels of a cloud's side (%(default)s)")
    add("--azimuth", type=float, default=35.0, help="degrees about the vertical axis; 0 is the front (%(default)s)")
    add("--elevation", type=float, default=22.0, help="degrees above the horizon (%(default)s)")
    add("--values", metavar="FILE.npy", help="a number a point, (N,) or (B, N), that colours them; draws all points")
    args = parser.parse_args(argv)
    if args.num < 1 or args.points < 0 or (args.columns or 1) < 1:
        raise ValueError(
            f"expected --num >= 1, --points >= 0, --columns >= 1: {args.num}, {args.points}, {args.columns}"
        )
    if not args.out.lower().endswith(".png"):
        raise ValueError(f"--out must end in .png, got {args.out}")
    values = None if args.values is None else torch.from_numpy(load_npy(args.values))
    clouds = read_clouds(args.files, args.num, 0 if args.values else args.points)
    options = {"size": args.size, "azimuth": args.azimuth, "elevation": args.elevation, "values": values}
    print(write_sheet(args.out, clouds, args.columns, **options))
    return 0
