"""Grids of drawn molecules with a line of text under each, as PNG or SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rdkit.Chem import rdDepictor
from rdkit.Chem.Draw import rdMolDraw2D

from flowsuite.core.training.files import atomic_write
from flowsuite.molecules.smiles import parse, quiet

PANEL = (240, 200)  # pixels of one molecule


def draw_grid(smiles: Sequence[str], legends: Sequence[str], columns: int = 5, svg: bool = False) -> bytes:
    """The bytes of a picture of all molecules, row by row.

    Args:
        smiles: of molecules; one that cannot be read leaves its panel empty but for the text.
        legends: the text under each.
        columns: of the grid.
        svg: SVG rather than PNG.

    Raises:
        ValueError: there is nothing to draw, or not one legend for each.
    """
    if not smiles or len(smiles) != len(legends):
        raise ValueError(f"expected molecules with one legend each, got {len(smiles)} and {len(legends)}")
    columns = min(columns, len(smiles))
    size = (columns * PANEL[0], math.ceil(len(smiles) / columns) * PANEL[1])
    canvas = (rdMolDraw2D.MolDraw2DSVG if svg else rdMolDraw2D.MolDraw2DCairo)(*size, *PANEL)
    canvas.drawOptions().legendFontSize = 16
    mols = [parse(text) for text in smiles]
    with quiet():
        for mol in filter(None, mols):
            rdDepictor.Compute2DCoords(mol)
        canvas.DrawMolecules([mol or parse("*") for mol in mols], legends=list(legends))
        canvas.FinishDrawing()
        drawn = canvas.GetDrawingText()
    return drawn.encode() if isinstance(drawn, str) else drawn


def write_grid(path: str | Path, smiles: Sequence[str], legends: Sequence[str], columns: int = 5) -> None:
    """Writes `draw_grid` as PNG, or as SVG where the file's name ends so."""
    drawn = draw_grid(smiles, legends, columns, svg=str(path).lower().endswith(".svg"))
    with atomic_write(path) as file:
        file.write(drawn)
