"""What `flowsuite test` measures of generated molecules."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from flowsuite.core.training.loader import world
from flowsuite.core.training.seeding import fold_seed, global_seed
from flowsuite.molecules.chemistry import smiles_from_packed
from flowsuite.molecules.metrics.basic import under, uniqueness, validity
from flowsuite.molecules.metrics.report import evaluate
from flowsuite.molecules.metrics.table import Report
from flowsuite.molecules.processes import default_workers
from flowsuite.molecules.properties import PROPERTIES
from flowsuite.molecules.sampler import Generated
from flowsuite.molecules.smiles import parse

if TYPE_CHECKING:
    from flowsuite.molecules.module import MoleculeModule

REFERENCE = 10_000  # molecules of a reference set that are compared with
REBUILT = 500  # test molecules that are encoded and decoded
REPORT = "molecules.json"


@dataclass
class Drawn:
    """Molecules drawn with valence checks, those drawn without, and the properties (n, P) that were asked for."""

    checked: Generated
    free: Generated
    wanted: Tensor | None


@torch.no_grad()
def draw(module: MoleculeModule, n: int, check: bool, context: Tensor | None = None) -> Generated:
    """`n` molecules in batches, from (seed, check, batch); `context` holds a row for each.

    Under DDP each process draws every so many-th batch, and all get all of them: the same ones that one would draw.
    """
    (rank, ranks), parts = world(), {}
    for first in range(rank * module.sample_batch, n, ranks * module.sample_batch):
        seed = fold_seed(global_seed(), "test samples", int(check), first)
        generator = torch.Generator(module.device).manual_seed(seed)
        count = min(module.sample_batch, n - first)
        rows = None if context is None else context[first : first + count].to(module.device)
        parts[first] = module.generate(count, rows, module.test_temperature, generator, unchecked=not check)
    if ranks > 1:
        shares = [None] * ranks
        torch.distributed.all_gather_object(shares, parts)
        parts = {first: part for share in shares for first, part in share.items()}
    return Generated.join([part for _, part in sorted(parts.items())])


def draw_both(module: MoleculeModule, data: Any) -> Drawn:
    """`test_samples` molecules with valence checks and as many without, by all processes together.

    A conditional model is asked for the properties of test molecules, in turn.
    """
    n = module.test_samples
    context = wanted_properties(data, n) if module.flow.properties else None
    return Drawn(*(draw(module, n, check, context) for check in (True, False)), context)


def judge(module: MoleculeModule, data: Any, drawn: Drawn) -> tuple[Report, dict[str, float]]:
    """What drawn molecules are like, beside those of the data.

    Returns:
        The whole report on the checked ones, and headline figures: shares from 0 to 1, and the mean absolute error of
        each property that was asked for.
    """
    workers, checked, free = default_workers(), drawn.checked, drawn.free
    smiles, unchecked = (smiles_from_packed(part.molecules, workers) for part in (checked, free))
    sets = {} if data is None else {"train": data.smiles("train"), "test": data.smiles("test")}
    if data is not None and "test_scaffolds" in data.sources():
        sets["scaffold_test"] = data.smiles("test_scaffolds")
    report = evaluate(
        smiles, **sets, limit=REFERENCE, workers=workers, progress=True, device=str(module.device), canonical_train=True
    )
    attached = [None if loose else text for text, loose in zip(unchecked, free.unattached.tolist(), strict=True)]
    figures = {
        "valid": validity(smiles),
        "pure_valid": float((checked.rejected == 0).float().mean()),
        "valid_unchecked": validity(unchecked),
        "attached_and_valid_unchecked": validity(attached),
        "unique": uniqueness(smiles),
        "unique_unchecked": uniqueness(unchecked),
        "under_5_atoms": under(checked.molecules.sizes.tolist()),
    }
    if data is not None:
        figures["novel"] = report.figure("basic", "novel")
        figures["reconstructed"] = reconstruction(module, data)
    if drawn.wanted is not None:
        figures |= property_errors(module.flow.properties, smiles, drawn.wanted)
    return report, figures


def wanted_properties(data: Any, n: int) -> Tensor:
    """Properties (n, P) of test molecules, in turn."""
    if data is None:
        raise ValueError("a conditional model is tested on the properties of a data module")
    rows = data.packed("test").properties
    return rows[torch.arange(n) % len(rows)]


def property_errors(names: tuple[str, ...], smiles: list[str | None], wanted: Tensor) -> dict[str, float]:
    """`error_of_<name>`: mean |property - wanted| over valid molecules, of the names in `PROPERTIES`."""
    valid = [(parse(text), row) for text, row in zip(smiles, wanted.tolist(), strict=True) if text is not None]
    found = {}
    for column, name in enumerate(names):
        if name in PROPERTIES and valid:
            errors = [abs(PROPERTIES[name](mol) - row[column]) for mol, row in valid]
            found[f"error_of_{name}"] = sum(errors) / len(errors)
    return found


@torch.no_grad()
def reconstruction(module: MoleculeModule, data: Any) -> float:
    """Share of test molecules whose noise decodes to the very same graph, atom by atom."""
    packed = data.packed("test")
    indices = torch.arange(min(len(packed), REBUILT))
    again = module.rebuilt(packed[indices])
    pairs = zip(smiles_from_packed(packed[indices]), smiles_from_packed(again), strict=True)
    return sum(a == b for a, b in pairs) / len(again)


def save(report: Report, figures: dict[str, float], folder: Path) -> Path:
    """The report with the headline figures as JSON in `folder`."""
    report.figures = {"headline": figures, **report.figures}
    path = folder / REPORT
    report.save(path)
    return path


def print_headline(figures: dict[str, float], n: int, temperature: float) -> None:
    table = Table(title=f"{n} molecules at temperature {temperature:g}", box=None, padding=(0, 2, 0, 0))
    table.add_column("figure")
    table.add_column("", justify="right")
    for name, value in figures.items():
        shown = f"{value:.3f}" if name.startswith("error_of_") else f"{100 * value:.2f} %"
        table.add_row(name.replace("_", " "), shown)
    Console().print(table)
