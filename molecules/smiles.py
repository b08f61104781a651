"""The border to RDKit for strings: SMILES parsed without noise, canonical SMILES."""

from __future__ import annotations

from rdkit import Chem, rdBase

quiet = rdBase.BlockLogs
"""`with quiet():` RDKit writes nothing to the terminal."""


def parse(smiles: str | None) -> Chem.Mol | None:
    """The sanitised molecule, or None where RDKit refuses it or there is no atom in it; RDKit's log stays off.

    Atom-map numbers (`[CH3:1]`), which say nothing about the molecule, are dropped.
    """
    if smiles is None or not smiles.isascii():  # RDKit would stop reading at the first other letter
        return None
    try:
        with quiet():
            mol = Chem.MolFromSmiles(smiles)
    except UnicodeError:
        return None
    if mol is None or not mol.GetNumAtoms():
        return None
    if ":" in smiles:
        clear_map_numbers(mol)
    return mol


def clear_map_numbers(mol: Chem.Mol) -> None:
    for atom in mol.GetAtoms():
        atom.SetAtomMapNum(0)


def canonical(smiles: str | None, isomeric: bool = False) -> str | None:
    """RDKit's canonical SMILES, or None for what is no molecule.

    Args:
        smiles: any spelling.
        isomeric: keep stereochemistry and isotopes; without, molecules that differ in these only become one.
    """
    mol = parse(smiles)
    return None if mol is None else canonical_of(mol, isomeric)


def canonical_of(mol: Chem.Mol, isomeric: bool = False) -> str:
    """Canonical SMILES of a molecule, without atom-map numbers; see `canonical`."""
    with quiet():
        mol = Chem.Mol(mol)
        clear_map_numbers(mol)
        if isomeric:
            return Chem.MolToSmiles(mol)
        Chem.RemoveStereochemistry(mol)
        marked = [atom for atom in mol.GetAtoms() if atom.GetIsotope()]
        for atom in marked:
            atom.SetIsotope(0)
        return Chem.MolToSmiles(Chem.RemoveHs(mol) if marked else mol, isomericSmiles=False)
