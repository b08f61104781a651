"""`flowsuite pointclouds shapes`: the procedural shapes as files, in the layout of ShapeNetCore.v2.PC15k."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from flowsuite.pointclouds.build import write_cloud
from flowsuite.pointclouds.categories import folder_of
from flowsuite.pointclouds.data_shapes import check_families, make_shapes
from flowsuite.pointclouds.families import FAMILIES

EXAMPLES = """\
examples:
  flowsuite pointclouds shapes data/shapes
  flowsuite pointclouds shapes data/shapes --families chair table --train 500 --val 50 --test 50
then, in a recipe: data: class_path: flowsuite.pointclouds.data.ShapeNetPC15k, init_args: root: data/shapes
"""


def write_shapes(
    out: str | Path, families: list[str], sizes: dict[str, int], rows: int = 15000, seed: int = 0, chunk: int = 32
) -> Iterator[int]:
    """Writes `<out>/<synset>/<split>/<number>.npy`; gives the number of clouds after every chunk.

    The clouds are those of `Shapes` with the same seed; a family that ShapeNet does not have is its own folder.

    Args:
        out: the folder.
        families: names.
        sizes: shapes of each family by split.
        rows: points of a cloud.
        seed: of the shapes.
        chunk: clouds made at a time.
    """
    for family in check_families(families):
        for split, size in sizes.items():
            for first in range(0, size, chunk):
                numbers = range(first, min(first + chunk, size))
                for number, cloud in zip(numbers, make_shapes(family, split, numbers, rows, seed).numpy(), strict=True):
                    write_cloud(Path(out) / folder_of(family) / split / f"{number:05d}.npy", cloud)
                yield len(numbers)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "flowsuite pointclouds shapes",
        description="Writes procedurally made shapes in the layout of ShapeNetCore.v2.PC15k.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("out_dir", type=Path, metavar="OUT_DIR", help="folder to write to; made if it is not there")
    add("--families", nargs="+", default=list(FAMILIES), metavar="NAME", help=f"some of {', '.join(FAMILIES)} (all)")
    for split, default in (("train", 100), ("val", 20), ("test", 20)):
        add(f"--{split}", type=int, default=default, help=f"{split} shapes of each family (%(default)s)")
    add("--points", type=int, default=15000, help="points of a cloud (%(default)s)")
    add("--seed", type=int, default=0, help="another seed makes other shapes (%(default)s)")
    args = parser.parse_args(argv)
    sizes = {"train": args.train, "val": args.val, "test": args.test}
    if min(sizes.values()) < 0 or args.points < 1:
        raise ValueError(f"expected sizes >= 0 and --points >= 1, got {sizes} and {args.points}")
    from rich.progress import Progress

    total = len(check_families(args.families)) * sum(sizes.values())
    with Progress() as progress:
        task = progress.add_task("making shapes", total=total)
        for n in write_shapes(args.out_dir, args.families, sizes, args.points, args.seed):
            progress.advance(task, n)
    print(f"{total} clouds in {args.out_dir}")
    return 0
