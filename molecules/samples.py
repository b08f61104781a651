"""Writing generated molecules: `.smi`, CSV with properties, drawings, SDF."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from rdkit import Chem

from flowsuite.core.training.files import atomic_write, write_npz
from flowsuite.core.training.numpy_files import load_npz
from flowsuite.molecules.chemistry import smiles_from_packed
from flowsuite.molecules.csv_files import write_csv
from flowsuite.molecules.draw import write_grid
from flowsuite.molecules.mapping import map_molecules
from flowsuite.molecules.packed import PackedMolecules
from flowsuite.molecules.processes import default_workers
from flowsuite.molecules.properties import PROPERTIES, properties_of
from flowsuite.molecules.sampler import Generated
from flowsuite.molecules.smiles import parse, quiet

COLUMNS = ("mw", "logp", "qed", "sa", "plogp")  # properties of the CSV
SHOWN = 36  # molecules in the picture
FEW = 500  # samples that are not worth starting processes for


def part_path(out: Path, first: int) -> Path:
    return out / f"molecules_{first:06d}.npz"


def save_part(generated: Generated, out: Path, first: int) -> Path:
    """Generated molecules number `first` on, as they are, for `write_all` to put together."""
    path = part_path(out, first)
    generated.molecules.save(path)
    write_npz(_flags(path), rejected=generated.rejected.numpy(), unattached=generated.unattached.numpy())
    return path


def _flags(path: Path) -> Path:
    return path.with_name(f"flags_{path.name.removeprefix('molecules_')}")


def load_part(out: Path, first: int) -> Generated:
    path = part_path(out, first)
    flags = load_npz(_flags(path))
    return Generated(PackedMolecules.load(path), *(torch.from_numpy(flags[k]) for k in ("rejected", "unattached")))


def remove_parts(out: Path, parts: Sequence[int]) -> None:
    """Removes the parts that begin with these numbers, as far as they are there."""
    for first in parts:
        for path in (part_path(out, first), _flags(part_path(out, first))):
            path.unlink(missing_ok=True)


def write_all(out: Path, parts: Sequence[int], sdf: bool = False, svg: bool = False) -> str:
    """All parts put together into `molecules.smi`, `.csv`, a picture and, if asked for, `.sdf`.

    The .smi holds one canonical SMILES a line, of molecules that RDKit accepts as one piece. The CSV has a row for
    every sample: SMILES (empty if invalid), properties, and how many draws were refused.

    Returns:
        A line that says what was generated.
    """
    generated = Generated.join([load_part(out, first) for first in parts])
    workers = default_workers() if len(generated) > FEW else 0
    smiles = smiles_from_packed(generated.molecules, workers=workers, progress="canonical SMILES")
    rows = describe(smiles, generated, workers)
    for stale in ("smi", "csv", "png", "svg", "sdf"):  # only now: what takes its time, and may be stopped, is done
        (out / f"molecules.{stale}").unlink(missing_ok=True)
    valid = [text for text in smiles if text is not None]
    with atomic_write(out / "molecules.smi") as file:
        file.write("".join(f"{text}\n" for text in valid).encode())
    write_csv(out / "molecules.csv", rows)
    if valid:
        legends = [f"QED {PROPERTIES['qed'](parse(text)):.2f}" for text in valid[:SHOWN]]
        write_grid(out / f"molecules.{'svg' if svg else 'png'}", valid[:SHOWN], legends)
    if sdf:
        write_sdf(out / "molecules.sdf", valid)
    remove_parts(out, parts)
    unrefused = int((generated.rejected == 0).sum())
    return (
        f"{len(valid)} of {len(smiles)} valid, {len(set(valid))} different, {unrefused} without a refused draw, "
        f"{float(np.mean(generated.molecules.sizes.numpy())):.1f} atoms on average"
    )


def describe(smiles: Sequence[str | None], generated: Generated, workers: int = 0) -> list[dict[str, object]]:
    """A row for each sample; a property that RDKit cannot compute is left empty."""
    scores = map_molecules(partial(properties_of, names=COLUMNS), smiles, workers, "properties")
    sizes, refused = generated.molecules.sizes.tolist(), generated.rejected.tolist()
    rows = []
    for text, found, size, draws in zip(smiles, scores, sizes, refused, strict=True):
        values = ((found or {}).get(name, math.nan) for name in COLUMNS)
        shown = ("" if math.isnan(value) else f"{value:.4f}" for value in values)
        rows.append(
            {"smiles": text or "", **dict(zip(COLUMNS, shown, strict=True)), "atoms": size, "refused_draws": draws}
        )
    return rows


def write_sdf(path: Path, smiles: Sequence[str]) -> Path:
    """An SD file of 2-D drawings."""
    text = io.StringIO()
    writer = Chem.SDWriter(text)
    with quiet():
        for number, each in enumerate(smiles):
            mol = parse(each)
            Chem.rdDepictor.Compute2DCoords(mol)
            mol.SetProp("_Name", f"molecule_{number}")
            writer.write(mol)
    writer.close()
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())
    return path
