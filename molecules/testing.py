"""What `flowsuite test` measures of generated molecules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.table import Table

from flowsuite.core.training.seeding import fold_seed, global_seed
from flowsuite.molecules.chemistry import smiles_from_packed
from flowsuite.molecules.metrics.basic import under, uniqueness
from flowsuite.molecules.metrics.report import evaluate
from flowsuite.molecules.metrics.table import Report
from flowsuite.molecules.sampler import Generated

if TYPE_CHECKING:
    from flowsuite.molecules.module import GraphAFModule

REFERENCE = 10_000  # molecules of the test set that are compared with


@torch.no_grad()
def draw(module: GraphAFModule, n: int, check: bool) -> Generated:
    """`n` molecules in batches, from (seed, check, batch)."""
    parts = []
    for first in range(0, n, module.sample_batch):
        seed = fold_seed(global_seed(), "test samples", int(check), first)
        generator = torch.Generator(module.device).manual_seed(seed)
        count = min(module.sample_batch, n - first)
        parts.append(module.generate(count, None, module.test_temperature, generator, unchecked=not check))
    return Generated.join(parts)


def connected(smiles: list[str | None]) -> list[str | None]:
    """Molecules of one piece; None for all else."""
    return [None if text is None or "." in text else text for text in smiles]


def share(smiles: list[str | None]) -> float:
    return sum(text is not None for text in smiles) / len(smiles)


def test_molecules(module: GraphAFModule) -> tuple[Report, dict[str, float]]:
    """Draws `test_samples` molecules with valence checks and as many without, prints what they are like.

    Returns:
        The whole report on the checked ones, and the headline figures of both, as shares from 0 to 1.
    """
    data, n = getattr(module.trainer, "datamodule", None), module.test_samples
    checked, free = draw(module, n, check=True), draw(module, n, check=False)
    smiles, unchecked = (connected(smiles_from_packed(part.molecules)) for part in (checked, free))
    sets = {name: data.smiles(split) for name, split in (("train", "train"), ("test", "test"))} if data else {}
    report = evaluate(smiles, **sets, limit=REFERENCE)
    figures = {
        "valid": share(smiles),
        "pure_valid": float((checked.rejected == 0).float().mean()),
        "valid_unchecked": share(unchecked),
        "attached_and_valid_unchecked": share(
            [None if loose else text for text, loose in zip(unchecked, free.unattached.tolist(), strict=True)]
        ),
        "unique": uniqueness(smiles),
        "unique_unchecked": uniqueness(unchecked),
        "under_5_atoms": under([int(size) for size in checked.molecules.sizes]),
    }
    if sets:
        figures["novel"] = report.figure("basic", "novel")
    print_headline(figures, n, module.test_temperature)
    report.print()
    return report, figures


def print_headline(figures: dict[str, float], n: int, temperature: float) -> None:
    table = Table(title=f"{n} molecules at temperature {temperature:g}", box=None, padding=(0, 2, 0, 0))
    table.add_column("figure")
    table.add_column("%", justify="right")
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{100 * value:.2f}")
    Console().print(table)
