"""Everything the metrics need to know about a molecule, read off in one visit; plain data that workers send back."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rdkit import Chem
from rdkit.Chem import rdmolops
from rdkit.Chem.Scaffolds import MurckoScaffold

from flowsuite.molecules.chemistry import atoms_of, bonds_of, kekulised
from flowsuite.molecules.cycles import neighbours
from flowsuite.molecules.filters import moses_filter
from flowsuite.molecules.fingerprints import packed_morgan
from flowsuite.molecules.mapping import Failure, as_list, map_molecules, run
from flowsuite.molecules.metrics.nspdk import Features, features
from flowsuite.molecules.metrics.orbits import orbit_counts
from flowsuite.molecules.properties import PROPERTIES, value_or_nan
from flowsuite.molecules.smiles import canonical_of

MOSES_BITS, GUACAMOL_BITS = 1024, 4096
SCALARS = ("logp", "sa", "qed", "mw", "bertz", "tpsa", "hba", "hbd", "rotatable_bonds", "aliphatic_rings")
SCALARS += ("aromatic_rings",)
BONDS = {Chem.BondType.SINGLE: "single", Chem.BondType.DOUBLE: "double", Chem.BondType.TRIPLE: "triple"}


@dataclass(slots=True)
class Record:
    """One molecule.

    Attributes:
        key: canonical SMILES that says which molecule it is.
        atoms, bonds: how often each (element, charge), and each kekulised bond order, occurs; heavy atoms only.
        scalars: the properties named in `SCALARS`, NaN where undefined.
        bits, long_bits: Morgan bits, packed, of MOSES (1,024) and GuacaMol (4,096).
        fragments: BRICS fragments; scaffold: Bemis-Murcko scaffold of two rings or more, else None.
        degrees, clustering: histograms of the atoms' degrees and clustering coefficients, each summing to 1.
        orbits: mean graphlet orbit counts (15,) of its atoms.
        nspdk: features of the NSPDK kernel.
        passes: MOSES' filters, None where nobody asked.
    """

    key: str
    atoms: Counter
    bonds: Counter
    scalars: np.ndarray
    bits: np.ndarray
    long_bits: np.ndarray
    fragments: list[str]
    scaffold: str | None
    degrees: np.ndarray
    clustering: np.ndarray
    orbits: np.ndarray
    nspdk: Features
    passes: bool | None

    @property
    def size(self) -> int:
        return sum(self.atoms.values())


def read_records(
    smiles: Sequence[str | None], isomeric: bool, filters: bool, workers: int = 0, progress: str = ""
) -> tuple[list[Record | None], list[Failure]]:
    """The record of each SMILES, and where reading one off failed.

    A record is None for what is no molecule and for failures; a SMILES that comes twice is read once.
    """
    smiles = as_list(smiles)
    distinct = list(dict.fromkeys(smiles))
    reader = functools.partial(record, isomeric=isomeric, filters=filters)
    found, failures, _ = run(reader, distinct, workers, progress)
    by_smiles = dict(zip(distinct, found, strict=True))
    return [by_smiles[text] for text in smiles], failures


def read_keys(smiles: Sequence[str], isomeric: bool, workers: int = 0, progress: str = "") -> set[str]:
    """The canonical SMILES of those that are molecules."""
    distinct = list(dict.fromkeys(as_list(smiles)))
    keys = map_molecules(functools.partial(canonical_of, isomeric=isomeric), distinct, workers, progress)
    return {key for key in keys if key is not None}


def record(mol: Chem.Mol, isomeric: bool = False, filters: bool = True) -> Record:
    """Reads off everything; `isomeric` is what `key` keeps, `filters` asks for `passes`, the slowest part."""
    degrees, clustering, orbits = structure(mol)
    return Record(
        key=canonical_of(mol, isomeric),
        atoms=Counter((a.GetSymbol(), a.GetFormalCharge()) for a in atoms_of(mol) if a.GetAtomicNum() != 1),
        bonds=bond_counts(mol),
        scalars=np.array([value_or_nan(PROPERTIES[name], mol) for name in SCALARS]),
        bits=packed_morgan(mol, MOSES_BITS),
        long_bits=packed_morgan(mol, GUACAMOL_BITS),
        fragments=Chem.MolToSmiles(rdmolops.FragmentOnBRICSBonds(mol)).split("."),
        scaffold=scaffold(mol),
        degrees=degrees,
        clustering=clustering,
        orbits=orbits,
        nspdk=features(mol),
        passes=moses_filter(mol) if filters else None,
    )


def bond_counts(mol: Chem.Mol) -> Counter:
    """Single, double, triple and other bonds of the kekulised molecule."""
    return Counter(BONDS.get(bond.GetBondType(), "other") for bond in bonds_of(kekulised(mol)))


def scaffold(mol: Chem.Mol, least_rings: int = 2) -> str | None:
    """SMILES of the Bemis-Murcko scaffold (1996, doi:10.1021/jm9602928), None below `least_rings` rings."""
    if mol.GetRingInfo().NumRings() < least_rings:
        return None
    frame = MurckoScaffold.GetScaffoldForMol(mol)
    return Chem.MolToSmiles(frame) if frame.GetRingInfo().NumRings() >= least_rings else None


def structure(mol: Chem.Mol, largest_degree: int = 8, bins: int = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Histograms of the atoms' degrees 0 .. 8 and clustering coefficients in [0, 1], and their mean orbit counts."""
    bonded = Chem.GetAdjacencyMatrix(mol).astype(np.float64)
    degree = bonded.sum(1)
    closed = ((bonded @ bonded) * bonded).sum(1)
    coefficient = closed / np.maximum(degree * (degree - 1), 1)
    degrees = np.bincount(np.minimum(degree, largest_degree).astype(int), minlength=largest_degree + 1)
    clustering = np.histogram(coefficient, bins, (0.0, 1.0))[0]
    return degrees / len(degree), clustering / len(degree), orbit_counts(neighbours(mol)).mean(0)


def scalar(records: Sequence[Record], name: str) -> np.ndarray:
    """The finite values of a property in `SCALARS`."""
    place = SCALARS.index(name)
    values = np.array([each.scalars[place] for each in records], dtype=np.float64)
    return values[np.isfinite(values)]


def stacked(records: Sequence[Record], name: str) -> np.ndarray:
    """An array attribute of all records, stacked; there must be at least one record."""
    return np.stack([getattr(each, name) for each in records])
