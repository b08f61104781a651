"""Synthetic accessibility by Ertl and Schuffenhauer (2009, doi:10.1186/1758-2946-1-8), from RDKit's Contrib folder."""

from __future__ import annotations

import functools
import importlib.util
import math
from pathlib import Path
from types import ModuleType

from rdkit import Chem, RDConfig


@functools.cache
def contrib(folder: str) -> ModuleType:
    """RDKit's `SA_Score/sascorer.py` in this Contrib folder, with its table of fragments checked."""
    place = Path(folder) / "SA_Score"
    for name in ("sascorer.py", "fpscores.pkl.gz"):
        if not (place / name).is_file():
            raise FileNotFoundError(f"{place / name} not found: this RDKit has no SA score; pip's rdkit has it")
    spec = importlib.util.spec_from_file_location("rdkit_sascorer", place / "sascorer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sa(mol: Chem.Mol) -> float:
    """Synthetic accessibility, 1 (easy) to 10 (hard); NaN for a molecule without atoms."""
    return float(contrib(RDConfig.RDContribDir).calculateScore(mol)) if mol.GetNumAtoms() else math.nan
