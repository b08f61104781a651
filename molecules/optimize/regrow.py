"""Generated atoms put onto a real molecule, whose charges and stereochemistry stay where nothing changed."""

from __future__ import annotations

from collections.abc import Sequence

from rdkit import Chem

from flowsuite.molecules.chemistry import BOND_TYPES, Graph, mol_from_graph
from flowsuite.molecules.smiles import quiet
from flowsuite.molecules.vocabulary import Vocabulary


def part(graph: Graph, size: int) -> Graph:
    """The first `size` atoms of a graph, with their bonds."""
    atoms, bonds = graph
    return atoms[:size], [bond for bond in bonds if max(bond[0], bond[1]) < size]


def regrow(original: Chem.Mol, kept: Sequence[int], graph: Graph, vocabulary: Vocabulary) -> Chem.Mol | None:
    """The molecule of `graph`, whose first atoms are the atoms `kept` of `original`, as changed from `original`.

    Formal charges, isotopes, hydrogens and stereochemistry of the kept atoms stay; stereochemistry is forgotten at
    atoms that lost or gained a neighbour, and so are their hydrogens, which follow from the new valence.

    Args:
        original: kekulised.
        kept: its atoms that are kept, in the graph's order.
        graph: of the new molecule.
        vocabulary: of the graph.

    Returns:
        The sanitised molecule; None where RDKit refuses it.
    """
    atoms, bonds = graph
    edited = Chem.RWMol(original)
    place, first = list(kept), len(kept)
    removed = set(range(original.GetNumAtoms())) - set(place)
    changed = {n.GetIdx() for i in removed for n in original.GetAtomWithIdx(i).GetNeighbors()} - removed
    for found in atoms[first:]:
        number, charge = vocabulary.atoms[found]
        atom = Chem.Atom(number)
        atom.SetFormalCharge(charge)
        place.append(edited.AddAtom(atom))
    try:
        with quiet():
            for i, j, kind in bonds:
                if max(i, j) >= first:
                    edited.AddBond(place[i], place[j], BOND_TYPES[kind])
                    changed |= {place[at] for at in (i, j) if at < first}
            forget(edited, changed)
            edited.BeginBatchEdit()
            for i in removed:
                edited.RemoveAtom(i)
            edited.CommitBatchEdit()
            Chem.SanitizeMol(edited)
            Chem.AssignStereochemistry(edited, cleanIt=True, force=True)
    except (Chem.MolSanitizeException, RuntimeError):
        return None
    return edited.GetMol()


def forget(mol: Chem.RWMol, changed: set[int]) -> None:
    """Takes stereochemistry and given hydrogens from these atoms and their bonds."""
    for i in changed:
        atom = mol.GetAtomWithIdx(i)
        atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
        atom.SetNoImplicit(False)
        atom.SetNumExplicitHs(0)
        for bond in atom.GetBonds():
            bond.SetStereo(Chem.BondStereo.STEREONONE)
            bond.SetBondDir(Chem.BondDir.NONE)


def with_carbon(mol: Chem.Mol, pick: float) -> Chem.Mol | None:
    """One carbon more, on a carbon that has a hydrogen; the `pick`-th of them, 0 <= pick < 1. None if there is none."""
    places = [atom.GetIdx() for atom in mol.GetAtoms() if atom.GetAtomicNum() == 6 and atom.GetTotalNumHs()]
    if not places:
        return None
    edited = Chem.RWMol(mol)
    at = places[int(pick * len(places))]
    edited.AddBond(at, edited.AddAtom(Chem.Atom(6)), Chem.BondType.SINGLE)
    forget(edited, {at})
    try:
        with quiet():
            Chem.SanitizeMol(edited)
            Chem.AssignStereochemistry(edited, cleanIt=True, force=True)
    except (Chem.MolSanitizeException, RuntimeError):
        return None
    return edited.GetMol()


def grown(original: Chem.Mol | None, kept: Sequence[int], graph: Graph, vocabulary: Vocabulary) -> Chem.Mol | None:
    """`regrow` on the original, or the molecule of the graph alone where there is no original to keep to."""
    return mol_from_graph(*graph, vocabulary) if original is None else regrow(original, kept, graph, vocabulary)
