"""The border to RDKit for strings: SMILES parsed without noise, canonical SMILES, and scores of many molecules."""

from __future__ import annotations

from rdkit import Chem, rdBase

quiet = rdBase.BlockLogs
"""`with quiet():` RDKit writes nothing to the terminal."""


def parse(smiles: str | None) -> Chem.Mol | None:
    """The sanitised molecule, or None where RDKit refuses it or there is no atom in it; RDKit's log stays off."""
    if smiles is None:
        return None
    try:
        with quiet():
            mol = Chem.MolFromSmiles(smiles)
    except UnicodeError:
        return None
    return mol if mol is not None and mol.GetNumAtoms() else None


def canonical(smiles: str | None, isomeric: bool = False) -> str | None:
    """RDKit's canonical SMILES, or None for what is no molecule.

    Args:
        smiles: any spelling.
        isomeric: keep stereochemistry and isotopes; without, molecules that differ in these only become one.
    """
    mol = parse(smiles)
    return None if mol is None else canonical_of(mol, isomeric)


def canonical_of(mol: Chem.Mol, isomeric: bool = False) -> str:
    """Canonical SMILES of a molecule; see `canonical`."""
    with quiet():
        if isomeric:
            return Chem.MolToSmiles(mol)
        mol = Chem.Mol(mol)
        Chem.RemoveStereochemistry(mol)
        marked = [atom for atom in mol.GetAtoms() if atom.GetIsotope()]
        for atom in marked:
            atom.SetIsotope(0)
        return Chem.MolToSmiles(Chem.RemoveHs(mol) if marked else mol, isomericSmiles=False)
