"""`flowsuite pointclouds build`: a tree of meshes to clouds in the PC15k layout."""

from __future__ import annotations

import argparse
import collections
import csv
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from flowsuite.core.training.data import SPLITS
from flowsuite.core.training.files import atomic_write, make_folder, printable, reading
from flowsuite.core.training.model_options import QUIET
from flowsuite.core.training.numpy_files import map_npy
from flowsuite.core.training.seeding import fold_seed
from flowsuite.pointclouds.categories import folder_of
from flowsuite.pointclouds.meshes import read_mesh
from flowsuite.pointclouds.surface import sample_surface, unit_diagonal, z_up_to_y_up

SUFFIXES = (".off", ".obj", ".ply")
# Shares of a mesh whose split is not given: those of ShapeNet's own, and of ModelNet's about.
SHARES = {"shapenet": {"train": 0.7, "val": 0.1, "test": 0.2}, "modelnet": {"train": 0.8, "test": 0.2}}

EXAMPLES = """\
what is read: IN_DIR/CATEGORY/{train,val,test}/MODEL.off (or .obj, .ply), as ModelNet has it; or
  IN_DIR/SYNSET/MODEL/models/model_normalized.obj, as ShapeNetCore.v2 has it, with its split in --splits all.csv.
  A mesh whose split is in neither gets one by a digest of its name. Files directly in IN_DIR make one category.
what is written: OUT_DIR/CATEGORY/SPLIT/MODEL.npy, float32 (points, 3). Those that are there already are kept.
examples:
  flowsuite pointclouds build ModelNet40 ModelNet40.PC15k --layout modelnet --up z --scale unit --workers 8
  flowsuite pointclouds build ShapeNetCore.v2 ShapeNetCore.v2.PC15k --layout shapenet --splits all.csv --skip_bad
"""


@dataclass(frozen=True)
class Job:
    """One mesh and where its cloud goes."""

    source: Path
    target: Path
    points: int
    seed: int
    up: str
    scale: str


def split_by_name(name: str, shares: dict[str, float]) -> str:
    """A split drawn with the given shares, by a digest of the name: always the same, whatever else there is."""
    place, total = fold_seed("split", name) / 2**63, 0.0
    for split, share in shares.items():
        total += share
        if place < total:
            return split
    return next(iter(shares))


def read_splits(path: str | Path) -> dict[tuple[str, str], str]:
    """(synset, model) -> split, from a .csv with columns synsetId, modelId and split, such as ShapeNet's all.csv."""
    with reading(path, "table of splits"), open(path, newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        names, rows = rows.fieldnames or (), list(rows)
    if not {"synsetId", "modelId", "split"} <= set(names):
        found = printable(", ".join(names)) or "none"
        raise ValueError(f"{path}: expected columns synsetId, modelId, split, got {found}")
    short = next((row for row in rows if None in (row["synsetId"], row["modelId"], row["split"])), None)
    if short is not None:
        raise ValueError(f"{path}: a row has too few columns: {printable(', '.join(map(str, short.values())))}")
    splits = {(f"{row['synsetId']:0>8}", row["modelId"]): row["split"] for row in rows}
    for (synset, model), split in splits.items():
        if split not in SPLITS:
            raise ValueError(f"{path}: model {model} of {synset} has split {split!r}, expected {', '.join(SPLITS)}")
    return splits


def destination(path: Path, root: Path, layout: str, splits: dict[tuple[str, str], str]) -> Path:
    """`CATEGORY/SPLIT/MODEL.npy` of a mesh below `root`."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    category = parts.pop(0) if len(parts) > 1 and parts[0] not in SPLITS else root.resolve().name
    folder = folder_of(category) if layout == "shapenet" else category
    at = next((i for i, part in enumerate(parts[:-1]) if part in SPLITS), None)
    split = parts.pop(at) if at is not None else splits.get((folder, parts[0]))
    model = parts[0]
    return Path(folder, split or split_by_name(f"{folder}/{model}", SHARES[layout]), f"{model}.npy")


def plan(args: argparse.Namespace) -> list[Job]:
    """What there is to do; two meshes with one destination are an error."""
    if not args.in_dir.is_dir():
        raise FileNotFoundError(f"{args.in_dir} is not a folder: expected one with meshes")
    splits = read_splits(args.splits) if args.splits else {}
    meshes = sorted(path for path in args.in_dir.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not meshes:
        raise FileNotFoundError(f"{args.in_dir} holds no meshes: expected files ending in {', '.join(SUFFIXES)}")
    jobs: dict[Path, Job] = {}
    for path in meshes:
        target = args.out_dir / destination(path, args.in_dir, args.layout, splits)
        if target in jobs:
            raise ValueError(f"{path} and {jobs[target].source} would both become {target}")
        seed = fold_seed(args.seed, "build", path.relative_to(args.in_dir).as_posix())
        jobs[target] = Job(path, target, args.points, seed, args.up, args.scale)
    return list(jobs.values())


def is_done(job: Job) -> bool:
    """Whether the cloud is there; one with another number of points is an error."""
    if not job.target.exists():
        return False
    try:
        shape = map_npy(job.target).shape
    except (OSError, ValueError):
        raise ValueError(f"{job.target} is there but no readable .npy: remove it to have it built again") from None
    if shape != (job.points, 3):
        raise ValueError(f"{job.target} is there with shape {shape}, not {(job.points, 3)}: choose another OUT_DIR")
    return True


def convert(job: Job) -> str | None:
    """Builds one cloud; what is wrong with its mesh, or None."""
    try:
        vertices, faces = read_mesh(job.source)
    except (OSError, ValueError) as error:
        return str(error)
    vertices, faces = used(vertices, faces)
    vertices = z_up_to_y_up(vertices) if job.up == "z" else vertices
    vertices = unit_diagonal(vertices[None])[0] if job.scale == "unit" else vertices
    generator = torch.Generator().manual_seed(job.seed)
    try:
        cloud = sample_surface(vertices, faces, job.points, generator).numpy()
    except ValueError as error:
        return f"{job.source}: {error}"
    write_cloud(job.target, cloud)
    return None


def used(vertices: torch.Tensor, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The mesh without vertices that no face has: they would count for its bounding box."""
    kept, faces = faces.unique(return_inverse=True)
    return vertices[kept], faces


def write_cloud(path: Path, cloud: np.ndarray) -> None:
    """A `.npy` of float32, atomically."""
    with atomic_write(path) as file:
        np.save(file, cloud.astype(np.float32, copy=False), allow_pickle=False)


def run(jobs: list[Job], workers: int) -> Iterator[tuple[Job, str | None]]:
    """Every job and what `convert` says of it, in order."""
    if workers == 1:
        yield from ((job, convert(job)) for job in jobs)
        return
    with torch.multiprocessing.Pool(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from zip(jobs, pool.imap(convert, jobs, chunksize=4), strict=True)


def watch(results: Iterable[tuple[Job, str | None]], total: int, skip_bad: bool, quiet: bool) -> int:
    """Shows progress; the number of bad meshes, which are an error unless they are to be skipped."""
    from rich.progress import track

    bad = 0
    for _, problem in track(results, "building", total=total, disable=quiet):
        if problem is None:
            continue
        if not skip_bad:
            raise ValueError(f"{problem} (--skip_bad leaves such meshes out)")
        bad += 1
        print(f"skipped: {problem}", file=sys.stderr)
    return bad


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "flowsuite pointclouds build",
        description="Samples points uniformly from the surfaces of meshes.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("in_dir", type=Path, metavar="IN_DIR", help="folder of meshes")
    add("out_dir", type=Path, metavar="OUT_DIR", help="folder of the clouds; made if it is not there")
    add("--layout", choices=list(SHARES), required=True, help="shapenet: folders are synsets; modelnet: names")
    add("--points", type=int, default=15000, help="points of a cloud (%(default)s)")
    add("--splits", metavar="FILE.csv", help="split of every model: columns synsetId, modelId, split")
    add("--up", choices=("y", "z"), default="y", help="vertical axis of the meshes; in the clouds it is y (y)")
    add("--scale", choices=("none", "unit"), default="none", help="unit: centre, bounding box with diagonal 1")
    add("--seed", type=int, default=0, help="seed of the points (%(default)s)")
    add("--workers", type=int, default=1, help="processes (%(default)s)")
    add(
        "--skip_bad",
        "--skip-bad",
        action="store_true",
        help="leave bad meshes out, and count them, instead of stopping",
    )
    add("--quiet", action="store_true", help=QUIET)
    args = parser.parse_args(argv)
    if args.points < 1 or args.workers < 1:
        raise ValueError(f"--points and --workers must be at least 1, got {args.points} and {args.workers}")
    jobs = plan(args)
    make_folder(args.out_dir)
    todo = [job for job in jobs if not is_done(job)]
    bad = watch(run(todo, args.workers), len(todo), args.skip_bad, args.quiet)
    print(
        f"{len(todo) - bad} clouds built, {len(jobs) - len(todo)} were there, {bad} bad meshes skipped: {args.out_dir}"
    )
    if bad == len(jobs):
        raise ValueError(f"none of the {bad} meshes in {args.in_dir} could be used")
    counts = collections.Counter(job.target.parent.name for job in jobs)
    if empty := [split for split in SHARES[args.layout] if not counts[split]]:
        print(
            f"note: no shapes in {' and '.join(empty)}; put the meshes in folders of these names, or give --splits",
            file=sys.stderr,
        )
    return 0
