"""Structural alerts: which molecules a medicinal chemist would put aside. Each filter is true for what passes."""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable
from pathlib import Path

from rdkit import Chem, RDConfig
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

from flowsuite.core.training.files import reading
from flowsuite.molecules.screen import Screen
from flowsuite.molecules.smiles import quiet
from flowsuite.molecules.strain import strain_filter

# Medicinal-chemistry alerts of MOSES, matched with explicit hydrogens (molecularsets/moses, metrics/mcf.csv, MIT).
MCF_SMARTS = (
    "[#6]=&!@[#6]-[#6]#[#7]",
    "[#6]=&!@[#6]-[#16](=[#8])=[#8]",
    "[#6]=&!@[#6&!H0]-&!@[#6](=[#8])-&!@[#7]",
    "[H]C([H])([#6])[F,Cl,Br,I]",
    "[#6]1-[#8]-[#6]-1",
    "[#6]-[#7]=[#6]=[#8]",
    "[#6&!H0]=[#8]",
    "[#6](=&!@[#7&!H0])-&!@[#6,#7,#8,#16]",
    "[#6]1-[#7]-[#6]-1",
    "[#6]~&!@[#7]~&!@[#7]~&!@[#6]",
    "[#7]=&!@[#7]",
    "[H][#6]-1=[#6]([H])-[#6]=[#6](-*)-[#8]-1",
    "[H][#6]-1=[#6]([H])-[#6]=[#6](-*)-[#16]-1",
    "[#17,#35,#53]-c(:*):[!#1!#6]:*",
    "[H][#7]([H])-[#6]-1=[#6]-[#6]=[#6]-[#6]=[#6]-1",
    "[#16]~[#16]",
    "[#7]~&!@[#7]~&!@[#7]",
    "[#7]-&!@[#6&!H0&!H1]-&!@[#7]",
    "[#6&!H0](-&!@[#8])-&!@[#8]",
    "[#35].[#35].[#35]",
    "[#17].[#17].[#17].[#17]",
    "[#9].[#9].[#9].[#9].[#9].[#9].[#9]",
)
MOSES_ELEMENTS = frozenset({"C", "N", "S", "O", "F", "Cl", "Br", "H"})
MOSES_RING = 8  # atoms of the smallest ring that is too large


@functools.cache
def mcf_patterns() -> tuple[Chem.Mol, ...]:
    return tuple(Chem.MolFromSmarts(smarts) for smarts in MCF_SMARTS)


@functools.cache
def catalog(*names: str) -> FilterCatalog:
    """RDKit's filter catalogs of these names, as one."""
    params = FilterCatalogParams()
    for name in names:
        params.AddCatalog(getattr(FilterCatalogParams.FilterCatalogs, name))
    return FilterCatalog(params)


def zinc_filter(mol: Chem.Mol) -> bool:
    """No alert of RDKit's ZINC catalog."""
    return not catalog("ZINC").HasMatch(mol)


@functools.cache
def pains_screen() -> Screen:
    """The patterns of RDKit's catalogs PAINS A, B and C, from the file in its data folder that they were made of."""
    path = Path(RDConfig.RDDataDir) / "Pains" / "wehi_pains.csv"
    with reading(path, "list of PAINS patterns, as RDKit has it"), open(path, newline="") as file:
        return Screen([Chem.MolFromSmarts(row[0], mergeHs=True) for row in csv.reader(file)])


def pains_filter(mol: Chem.Mol) -> bool:
    """No pan-assay interference alert, PAINS A, B and C (Baell and Holloway 2010, doi:10.1021/jm901137j)."""
    return not pains_screen().has_match(mol)


def mcf_filter(mol: Chem.Mol) -> bool:
    """None of the 22 medicinal-chemistry alerts of MOSES (arXiv:1811.12823)."""
    with quiet():
        full = Chem.AddHs(mol)
    return not any(full.HasSubstructMatch(pattern) for pattern in mcf_patterns())


def moses_filter(mol: Chem.Mol) -> bool:
    """MOSES' filters together: common elements, no charges, no ring of eight atoms or more, no MCF or PAINS alert."""
    if any(len(ring) >= MOSES_RING for ring in mol.GetRingInfo().AtomRings()):
        return False
    for atom in mol.GetAtoms():
        if atom.GetFormalCharge() or atom.GetSymbol() not in MOSES_ELEMENTS:
            return False
    return mcf_filter(mol) and pains_filter(mol)


FILTERS: dict[str, Callable[[Chem.Mol], bool]] = {
    "zinc": zinc_filter,
    "pains": pains_filter,
    "mcf": mcf_filter,
    "moses": moses_filter,
    "strain": strain_filter,
}
