"""The border between RDKit's molecules and graphs of atom and bond classes; nothing here needs torch."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rdkit import Chem
from rdkit.Chem.MolStandardize import rdMolStandardize

from flowsuite.molecules.mapping import bar
from flowsuite.molecules.processes import in_processes
from flowsuite.molecules.smiles import parse, quiet
from flowsuite.molecules.vocabulary import Vocabulary, atom_name

if TYPE_CHECKING:
    from flowsuite.molecules.packed import PackedMolecules

Graph = tuple[list[int], list[tuple[int, int, int]]]
"""Atom classes, and bonds (i, j, bond class)."""

LARGEST = 255  # places of atoms are stored as bytes
BOND_TYPES = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)
BOND_CLASSES = {kind: index for index, kind in enumerate(BOND_TYPES)}
DECODED_AT_A_TIME = 500

REASONS = (
    "unparsable",
    "empty",
    "disconnected",
    "explicit hydrogen",
    "isotope",
    "radical",
    "too large",
    "atom outside the vocabulary",
    "bond type",
    "valence",
    "window",
    "property",
)
"""Why a molecule cannot be encoded."""


class EncodingError(ValueError):
    """A molecule that cannot be encoded.

    Attributes:
        reason: one of `REASONS`.
        detail: what exactly, may be empty.
    """

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail

    def __reduce__(self):
        return EncodingError, (self.reason, self.detail)


def read_mol(smiles: str | None) -> Chem.Mol:
    """The sanitised molecule of a SMILES; raises an EncodingError, "unparsable" or "empty"."""
    if smiles is None:
        raise EncodingError("unparsable")
    if not smiles.strip():
        raise EncodingError("empty")
    mol = parse(smiles)
    if mol is None:
        raise EncodingError("unparsable")
    return mol


@functools.cache
def standardizers() -> tuple[rdMolStandardize.LargestFragmentChooser, rdMolStandardize.Uncharger]:
    return rdMolStandardize.LargestFragmentChooser(), rdMolStandardize.Uncharger()


def largest_fragment_of(mol: Chem.Mol) -> Chem.Mol:
    """The largest connected part of a molecule, such as the drug of a salt."""
    with quiet():
        return standardizers()[0].choose(mol)


def neutralized(mol: Chem.Mol) -> Chem.Mol:
    """The molecule with protons moved so that as few atoms as possible are charged (RDKit's Uncharger).

    Charges that no proton can take away stay: of quaternary nitrogen, of nitro groups.
    """
    with quiet():
        return standardizers()[1].uncharge(mol)


def has_stereo(mol: Chem.Mol) -> bool:
    """Whether a molecule says something about its stereochemistry."""
    return any(atom.GetChiralTag() != Chem.ChiralType.CHI_UNSPECIFIED for atom in atoms_of(mol)) or any(
        bond.GetStereo() > Chem.BondStereo.STEREOANY for bond in bonds_of(mol)
    )


def atoms_of(mol: Chem.Mol) -> list[Chem.Atom]:
    """As `mol.GetAtoms()`, which takes several times as long."""
    return [mol.GetAtomWithIdx(i) for i in range(mol.GetNumAtoms())]


def bonds_of(mol: Chem.Mol) -> list[Chem.Bond]:
    """As `mol.GetBonds()`, which takes several times as long."""
    return [mol.GetBondWithIdx(i) for i in range(mol.GetNumBonds())]


def check_structure(mol: Chem.Mol, max_atoms: int = 0) -> None:
    """Raises an EncodingError where no graph of heavy atoms says all of the constitution, whatever the vocabulary."""
    n = mol.GetNumAtoms()
    if n == 0:
        raise EncodingError("empty")
    if n > (max_atoms or LARGEST):
        raise EncodingError("too large", f"{n} atoms, at most {max_atoms or LARGEST}")
    fragments = len(Chem.GetMolFrags(mol))
    if fragments > 1:
        raise EncodingError("disconnected", f"{fragments} fragments")
    for atom in atoms_of(mol):
        if atom.GetIsotope():
            raise EncodingError("isotope", f"{atom.GetIsotope()}{atom.GetSymbol()}")
        if atom.GetAtomicNum() == 1:
            raise EncodingError("explicit hydrogen", f"atom {atom.GetIdx()}")
        if atom.GetNumRadicalElectrons():
            raise EncodingError("radical", f"{atom.GetSymbol()}, atom {atom.GetIdx()}")


def graph_from_mol(
    mol: Chem.Mol, vocabulary: Vocabulary, max_atoms: int = 0, drop_charges: bool = False
) -> tuple[list[int], list[tuple[int, int, int]]]:
    """The kekulised graph of the heavy atoms of a molecule, in RDKit's order.

    Args:
        mol: sanitised.
        vocabulary: what atoms are written in.
        max_atoms: the largest molecule; 0 for `LARGEST`.
        drop_charges: forget formal charges, as the published codec does. Such graphs may be over-valent.

    Returns:
        `(classes, [(i, j, bond class), ...])`.

    Raises:
        EncodingError: with a reason of `REASONS`.
    """
    check_structure(mol, max_atoms)
    classes = []
    for atom in atoms_of(mol):
        charge = 0 if drop_charges else atom.GetFormalCharge()
        found = vocabulary.classes.get((atom.GetAtomicNum(), charge))
        if found is None:
            raise EncodingError("atom outside the vocabulary", atom_name(atom.GetSymbol(), charge))
        classes.append(found)
    bonds = kekulised_bonds(mol)
    if not drop_charges:
        check_valences(classes, bonds, vocabulary)
    return classes, bonds


def kekulised(mol: Chem.Mol) -> Chem.Mol:
    """The molecule with aromatic bonds alternately single and double; a copy unless there are none.

    Raises:
        EncodingError: RDKit finds no such assignment.
    """
    if not any(bond.GetIsAromatic() for bond in bonds_of(mol)):
        return mol
    mol = Chem.Mol(mol)
    try:
        with quiet():
            Chem.Kekulize(mol, clearAromaticFlags=True)
    except Chem.KekulizeException:
        raise EncodingError("unparsable", "cannot be kekulised") from None
    return mol


def kekulised_bonds(mol: Chem.Mol) -> list[tuple[int, int, int]]:
    """`(i, j, bond class)` of every bond, aromatic ones alternately single and double."""
    bonds = []
    for bond in bonds_of(kekulised(mol)):
        kind = BOND_CLASSES.get(bond.GetBondType())
        if kind is None:
            raise EncodingError("bond type", str(bond.GetBondType()).lower())
        bonds.append((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), kind))
    return bonds


def check_valences(classes: Sequence[int], bonds: Sequence[tuple[int, int, int]], vocabulary: Vocabulary) -> None:
    """Raises an EncodingError where an atom has more bonds than its class may have when molecules are generated."""
    total = [0] * len(classes)
    for i, j, kind in bonds:
        total[i] += kind + 1
        total[j] += kind + 1
    for found, used in zip(classes, total, strict=True):
        if used > vocabulary.valences[found]:
            most = vocabulary.valences[found]
            raise EncodingError("valence", f"{used} bonds of {vocabulary.names[found]}, at most {most}")


def mol_from_graph(classes: Sequence[int], bonds: Sequence[Sequence[int]], vocabulary: Vocabulary) -> Chem.Mol | None:
    """The sanitised molecule of a graph, hydrogens implied; None where RDKit refuses it or there is no atom."""
    if not len(classes):
        return None
    mol = Chem.RWMol()
    for found in classes:
        number, charge = vocabulary.atoms[found]
        atom = Chem.Atom(number)
        atom.SetFormalCharge(charge)
        mol.AddAtom(atom)
    try:
        with quiet():
            for i, j, kind in bonds:
                mol.AddBond(int(i), int(j), BOND_TYPES[kind])
            Chem.SanitizeMol(mol)
    except (Chem.MolSanitizeException, RuntimeError):
        return None
    return mol.GetMol()


def smiles_of_graph(classes: Sequence[int], bonds: Sequence[Sequence[int]], vocabulary: Vocabulary) -> str | None:
    """Canonical SMILES of a graph; None for what is no molecule."""
    mol = mol_from_graph(classes, bonds, vocabulary)
    return None if mol is None else Chem.MolToSmiles(mol)


def smiles_of_graphs(vocabulary: Vocabulary, graphs: Sequence[Graph]) -> list[str | None]:
    return [smiles_of_graph(*graph, vocabulary) for graph in graphs]


def smiles_from_packed(packed: PackedMolecules, workers: int = 0, progress: str = "") -> list[str | None]:
    """Canonical SMILES of every molecule, None where RDKit refuses the graph.

    Args:
        packed: molecules.
        workers: processes; 0 for this process.
        progress: what the progress bar says; none if empty.
    """
    work = functools.partial(smiles_of_graphs, packed.vocabulary)
    starts = range(0, len(packed), DECODED_AT_A_TIME)
    numbers = range(len(packed))
    chunks = ([packed.graph(i) for i in numbers[start : start + DECODED_AT_A_TIME]] for start in starts)
    results = in_processes(work, chunks, min(workers, len(starts)))
    found = []
    with bar(progress, len(packed)) as advance:
        for part in results:
            found += part
            advance(len(part))
    return found
