"""`flowsuite pointclouds evaluate`: the result tables of a checkpoint, for generation and reconstruction."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from flowsuite.core.training.files import atomic_write
from flowsuite.core.training.model_options import positive
from flowsuite.pointclouds import reconstruction_metrics
from flowsuite.pointclouds.compare import as_json, result_table
from flowsuite.pointclouds.metrics import GENERATION_METRICS, evaluate_generations
from flowsuite.pointclouds.tools import batches, in_units, load_model, make_parser, open_clouds


def generate(module, n: int, points: int, args: argparse.Namespace, generator: torch.Generator) -> Tensor:
    sizes = [min(args.batch_size, n - start) for start in range(0, n, args.batch_size)]
    sets = (module.generate(size, None, args.temperature, generator, points) for size in sizes)
    return torch.cat([clouds.float().cpu() for clouds in sets])


def reconstruct(module, dataset, args: argparse.Namespace) -> tuple[Tensor, Tensor, Tensor]:
    """Reconstructions, held-out points and given points of a set, in the units of the data."""
    rows = []
    for batch in batches(dataset, args.batch_size, module.device, args.num, "" if args.quiet else "reconstructing"):
        reference = batch.get("reference", batch["points"])
        found = module.flow.reconstruct(batch["points"], reference.shape[1])
        rows.append([in_units(points, batch) for points in (found, reference, batch["points"])])
    return tuple(torch.cat(part) for part in zip(*rows, strict=True))


@torch.no_grad()
def evaluate(args: argparse.Namespace) -> dict:
    """All figures by name, not scaled; prints the tables."""
    module = load_model(args)
    dataset = open_clouds(args.data, module.flow, args.split, args.data_args)
    found, reference, given = reconstruct(module, dataset, args)
    wanted = [name for name in args.metrics if name in reconstruction_metrics.RECONSTRUCTION_METRICS] or ["cd"]
    held_out = hasattr(dataset, "first_rows")
    figures = reconstruction_metrics.evaluate_reconstruction(
        found, reference, given if held_out else None, (*wanted, "f-score"), progress=not args.quiet
    )
    print(f"Reconstruction of {len(found)} shapes, {found.shape[1]} points, against ", end="")
    print("held-out points (oracle: the given points against those)" if held_out else "the given points")
    for name, value in figures.items():
        factor, unit = reconstruction_metrics.SCALES[name]
        print(f"{name:<16}{factor * value:10.3f} {unit}")
    report = {"shapes": len(found), "points": found.shape[1], "reconstruction": figures}
    if module.flow.latent is None:
        return report
    generator = torch.Generator(module.device).manual_seed(args.seed)
    sets = [generate(module, len(reference), reference.shape[1], args, generator) for _ in range(args.sets)]
    spreads = evaluate_generations(sets, reference, args.metrics, not args.quiet)
    print(f"Generation, {args.sets} sets of {len(reference)} shapes (1-NNA ideally 50 %)")
    print(result_table(spreads))
    return {**report, "sets": args.sets, "generation": {name: as_json(spread) for name, spread in spreads.items()}}


def main(argv: list[str]) -> int:
    parser = make_parser("evaluate", __doc__, "--data pointclouds/demo --sets 3 --json figures.json", picture=False)
    add = parser.add_argument
    add(
        "--metrics",
        nargs="+",
        default=["cd", "jsd"],
        choices=GENERATION_METRICS,
        help="EMD is exact, and slow (cd jsd)",
    )
    add("--sets", type=positive, default=3, help="sample sets (%(default)s)")
    add("--num", type=positive, help="the first N shapes of the split (all)")
    add("--temperature", type=float, default=1.0, help="of the shape codes (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the figures there too, not scaled")
    args = parser.parse_args(argv)
    report = evaluate(args)
    if args.json:
        with atomic_write(args.json) as file:
            file.write((json.dumps(report, indent=2) + "\n").encode())
    return 0
