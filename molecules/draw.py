"""Pictures of molecules."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D
from torch import Tensor

from flowsuite.core.training.files import atomic_write
from flowsuite.molecules.smiles import parse, quiet

CELL = (220, 170)  # pixels of one molecule


def draw_grid(
    smiles: Sequence[str | None], legends: Sequence[str] = (), columns: int = 6, cell: tuple[int, int] = CELL, svg=False
) -> bytes:
    """A grid of drawn molecules as PNG, or SVG; what is no molecule leaves an empty cell with its legend.

    Args:
        smiles: any spelling; at least one.
        legends: a line under each.
        columns: molecules in a row.
        cell: width and height of each, pixels.
        svg: SVG rather than PNG.
    """
    if not smiles:
        raise ValueError("there is no molecule to draw")
    mols = [parse(text) or Chem.Mol() for text in smiles]
    columns = min(columns, len(mols))
    rows = -(-len(mols) // columns)
    kind = rdMolDraw2D.MolDraw2DSVG if svg else rdMolDraw2D.MolDraw2DCairo
    canvas = kind(columns * cell[0], rows * cell[1], *cell)
    canvas.drawOptions().legendFontSize = 14
    with quiet():
        prepared = [_prepared(mol) for mol in mols]
        canvas.DrawMolecules(prepared, legends=[str(text) for text in legends] or [""] * len(mols))
    canvas.FinishDrawing()
    picture = canvas.GetDrawingText()
    return picture.encode() if svg else picture


def _prepared(mol: Chem.Mol) -> Chem.Mol:
    try:
        return rdMolDraw2D.PrepareMolForDrawing(mol)
    except (ValueError, RuntimeError):  # a ring system that RDKit's kekulisation gives up on is drawn aromatic
        return rdMolDraw2D.PrepareMolForDrawing(mol, kekulize=False)


def write_grid(path: Path, smiles: Sequence[str | None], legends: Sequence[str] = (), columns: int = 6) -> Path:
    """`draw_grid` into a file, SVG or PNG by its name."""
    with atomic_write(path) as file:
        file.write(draw_grid(smiles, legends, columns, svg=path.suffix == ".svg"))
    return path


def grid_tensor(smiles: Sequence[str | None], columns: int = 6) -> Tensor:
    """A grid as (3, H, W) in [0, 1], for TensorBoard."""
    with Image.open(io.BytesIO(draw_grid(smiles, columns=columns))) as image:
        pixels = np.asarray(image.convert("RGB"))
    return torch.from_numpy(pixels.copy()).movedim(-1, 0).float() / 255
