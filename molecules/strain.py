"""Steric strain: the energy of bent angles after a force-field relaxation (GCPN, arXiv:1806.02473)."""

from __future__ import annotations

import math

from rdkit import Chem
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from flowsuite.molecules.smiles import quiet

CUTOFF = 0.82  # kcal/mol an angle
TERMS = ("Bond", "StretchBend", "Oop", "Torsion", "VdW", "Ele")


def angle_strain(mol: Chem.Mol, tries: int = 20, steps: int = 200, seed: int = 0) -> float:
    """MMFF94 angle-bend energy in kcal/mol per angle of an ETKDG conformer relaxed in MMFF94.

    Args:
        mol: a molecule; hydrogens are added.
        tries: attempts at a conformer.
        steps: of the relaxation.
        seed: of the conformer, so that a molecule has one answer.

    Returns:
        0 for one or two heavy atoms, NaN where no conformer is found or MMFF94 has no parameters.
    """
    if mol.GetNumAtoms() <= 2:
        return 0.0
    with quiet():
        full = Chem.AddHs(mol)
        try:
            return relaxed_strain(full, tries, steps, seed)
        except (RuntimeError, ValueError):
            return math.nan


def relaxed_strain(full: Chem.Mol, tries: int, steps: int, seed: int) -> float:
    options = rdDistGeom.ETKDG()
    options.maxIterations, options.randomSeed = tries, seed
    angles = sum(atom.GetDegree() * (atom.GetDegree() - 1) // 2 for atom in full.GetAtoms())
    if not angles or rdDistGeom.EmbedMolecule(full, options) < 0:
        return math.nan
    if not rdForceFieldHelpers.MMFFHasAllMoleculeParams(full):
        return math.nan
    terms = rdForceFieldHelpers.MMFFGetMoleculeProperties(full)
    rdForceFieldHelpers.MMFFGetMoleculeForceField(full, terms).Minimize(maxIts=steps)
    for name in TERMS:
        getattr(terms, f"SetMMFF{name}Term")(False)
    return rdForceFieldHelpers.MMFFGetMoleculeForceField(full, terms).CalcEnergy() / angles


def strain_filter(mol: Chem.Mol, cutoff: float = CUTOFF) -> bool:
    """Whether the molecule can be built without bending its angles by more than `cutoff` kcal/mol each on average."""
    return angle_strain(mol) < cutoff
