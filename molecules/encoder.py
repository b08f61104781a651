"""One molecule after another as small records of bytes: what worker processes do. Nothing here needs torch."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rdkit import Chem

from flowsuite.molecules.chemistry import (
    LARGEST,
    EncodingError,
    atoms_of,
    check_structure,
    graph_from_mol,
    has_stereo,
    largest_fragment_of,
    neutralized,
    read_mol,
    smiles_of_graph,
)
from flowsuite.molecules.properties import property_function, value_or_nan
from flowsuite.molecules.smiles import canonical_of
from flowsuite.molecules.vocabulary import Vocabulary

LOSSES = ("charges", "stereo", "neutralised", "fragments")
"""What encoding took from a molecule: formal charges, stereochemistry, charges by protons, all but one fragment."""

CODEC = 2
"""Version of how molecules become graphs and SMILES: files encoded by another one are not read from the cache."""


@dataclass(frozen=True)
class Encoded:
    """One encoded molecule.

    Attributes:
        atoms: a byte for the class of each atom.
        bonds: three bytes for each bond: i, j, class.
        smiles: canonical, without stereochemistry, of the graph: what a model that reproduces it generates. Where RDKit
            refuses the graph, that of the molecule.
        molecule: canonical, without stereochemistry, of the molecule that was encoded.
        losses: those of `LOSSES` that hit it.
        again: canonical SMILES of its graph; None where RDKit refuses it; "" where nobody asked.
        properties: values, in the order of the names.
    """

    atoms: bytes
    bonds: bytes
    smiles: str
    molecule: str
    losses: tuple[str, ...]
    again: str | None
    properties: tuple[float, ...]


def is_charged(mol: Chem.Mol) -> bool:
    return any(atom.GetFormalCharge() for atom in atoms_of(mol))


@dataclass(frozen=True)
class Preparation:
    """What is done to a molecule before its graph is taken.

    Args:
        neutralize: move protons until few atoms are charged, see `neutralized`.
        largest_fragment: keep the largest of several fragments.
        drop_charges: forget formal charges, as the published codec does.
    """

    neutralize: bool = False
    largest_fragment: bool = False
    drop_charges: bool = False

    def __call__(self, smiles: str | None) -> tuple[Chem.Mol, list[str]]:
        """The molecule, and what it lost."""
        mol, losses = read_mol(smiles), []
        if self.largest_fragment and "." in smiles and len(Chem.GetMolFrags(mol)) > 1:
            mol = largest_fragment_of(mol)
            losses.append("fragments")
        if mol.GetNumAtoms() > LARGEST:  # before what takes long for such
            raise EncodingError("too large", f"{mol.GetNumAtoms()} atoms, at most {LARGEST}")
        if (self.neutralize or self.drop_charges) and is_charged(mol):
            if self.neutralize:
                before = canonical_of(mol)
                mol = neutralized(mol)
                losses += ["neutralised"] if canonical_of(mol) != before else []
            if self.drop_charges and is_charged(mol):
                losses.append("charges")
        if has_stereo(mol):
            losses.append("stereo")
        return mol, losses


@dataclass(frozen=True)
class Encoder:
    """SMILES to graphs.

    Args:
        vocabulary: of the atoms.
        max_atoms: the largest molecule; 0 for any size.
        preparation: what is done before.
        properties: `(name, whether it stands in the file)` of what describes each molecule.
        check_every: decode every so many-th molecule again, to see whether it is the same; 0: none.
    """

    vocabulary: Vocabulary
    max_atoms: int = 0
    preparation: Preparation = Preparation()
    properties: tuple[tuple[str, bool], ...] = ()
    check_every: int = 1

    def __call__(self, record, check: bool) -> Encoded:
        if record.problem:
            raise EncodingError("unparsable", record.problem)
        mol, losses = self.preparation(record.smiles)
        classes, bonds = graph_from_mol(mol, self.vocabulary, self.max_atoms, self.preparation.drop_charges)
        # only where charges were dropped is the graph another molecule
        again = smiles_of_graph(classes, bonds, self.vocabulary) if check or "charges" in losses else ""
        values = tuple(self.value(name, given, record, mol) for name, given in self.properties)
        flat = bytes(number for bond in bonds for number in bond)
        # without stereochemistry the copy that canonical_of works on is not needed
        molecule = canonical_of(mol) if "stereo" in losses else Chem.MolToSmiles(mol)
        return Encoded(bytes(classes), flat, again or molecule, molecule, tuple(losses), again if check else "", values)

    def value(self, name: str, given: bool, record, mol: Chem.Mol) -> float:
        value = record.properties.get(name, math.nan) if given else value_or_nan(property_function(name), mol)
        if not math.isfinite(value):
            raise EncodingError("property", f"{name} is {value}")
        return value

    def encode_chunk(self, numbered: tuple[int, Sequence]) -> list[Encoded | EncodingError]:
        """Outcomes of records, the first of which has the given number."""
        first, records = numbered
        return [self.outcome(record, first + i) for i, record in enumerate(records)]

    def outcome(self, record, number: int) -> Encoded | EncodingError:
        try:
            return self(record, bool(self.check_every) and number % self.check_every == 0)
        except EncodingError as error:
            return error


def count_atoms(preparation: Preparation, max_atoms: int, numbered: tuple[int, Sequence]) -> tuple[Counter, int]:
    """How many molecules each (symbol, charge) is in, and how many molecules that is in all.

    Molecules that cannot be encoded whatever the vocabulary do not count.
    """
    counts, total = Counter(), 0
    for record in numbered[1]:
        try:
            mol, _ = preparation(record.smiles)
            check_structure(mol, max_atoms)
        except EncodingError:
            continue
        charge_of = (lambda atom: 0) if preparation.drop_charges else Chem.Atom.GetFormalCharge
        counts.update({(atom.GetSymbol(), charge_of(atom)) for atom in atoms_of(mol)})
        total += 1
    return counts, total
