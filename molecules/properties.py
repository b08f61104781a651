"""Scalar properties of molecules, by name in `PROPERTIES`: written beside samples, conditioned on, optimised."""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from rdkit import Chem
from rdkit.Chem import QED as rdkit_qed
from rdkit.Chem import Crippen, Descriptors, GraphDescriptors, Lipinski, rdMolDescriptors

from flowsuite.molecules.cycles import cycle_score
from flowsuite.molecules.sascore import sa
from flowsuite.molecules.screen import Screen
from flowsuite.molecules.smiles import parse, quiet

# mean and standard deviation over ZINC250k, as published with penalised logP
LOGP = (2.4570953396190123, 1.434324401111988)
NEGATIVE_SA = (-3.0525811293166134, 0.8335207024513095)
CYCLE = (-0.0485696876403053, 0.2860212110245455)


def logp(mol: Chem.Mol) -> float:
    """Octanol-water partition coefficient by Wildman and Crippen (1999, doi:10.1021/ci990307l)."""
    return float(Crippen.MolLogP(mol))


def qed(mol: Chem.Mol) -> float:
    """Quantitative estimate of drug-likeness, 0 to 1, default weights (Bickerton 2012, doi:10.1038/nchem.1243)."""
    return float(rdkit_qed.qed(mol, qedProperties=qed_parts(mol))) if mol.GetNumAtoms() else math.nan


@functools.cache
def qed_alerts() -> Screen:
    return Screen(rdkit_qed.StructuralAlerts)


def qed_parts(mol: Chem.Mol) -> rdkit_qed.QEDproperties:
    """What `rdkit.Chem.QED.properties` has, in half of the time: contributions to logP that the molecule remembers are
    used again, and most alerts are ruled out by a fingerprint."""
    if any(mol.GetAtomWithIdx(i).GetAtomicNum() == 1 for i in range(mol.GetNumAtoms())):
        return rdkit_qed.properties(mol)  # which takes hydrogens away
    return rdkit_qed.QEDproperties(
        MW=Descriptors.MolWt(mol),
        ALOGP=Crippen.MolLogP(mol),
        HBA=sum(len(mol.GetSubstructMatches(pattern)) for pattern in rdkit_qed.Acceptors),
        HBD=rdMolDescriptors.CalcNumHBD(mol),
        PSA=rdMolDescriptors.CalcTPSA(mol),
        ROTB=rdMolDescriptors.CalcNumRotatableBonds(mol, rdMolDescriptors.NumRotatableBondsOptions.Strict),
        AROM=len(Chem.GetSSSR(Chem.DeleteSubstructs(Chem.Mol(mol), rdkit_qed.AliphaticRings))),
        ALERTS=qed_alerts().count(mol),
    )


def molecular_weight(mol: Chem.Mol) -> float:
    """Average molecular weight in g/mol, natural isotopes."""
    return float(Descriptors.MolWt(mol))


def exact_mass(mol: Chem.Mol) -> float:
    """Mass in u of the molecule of the most frequent isotopes."""
    return float(rdMolDescriptors.CalcExactMolWt(mol))


def standardised(value: float, scale: tuple[float, float]) -> float:
    return (value - scale[0]) / scale[1]


def plogp(mol: Chem.Mol, rule: str = "legacy") -> float:
    """Penalised logP: logP, minus SA score, minus rings beyond six atoms, each standardised on ZINC250k.

    `(logP - m1) / s1 + (-SA - m2) / s2 + (cycle - m3) / s3`, with the published constants (GCPN, arXiv:1806.02473).

    Args:
        mol: a molecule.
        rule: which ring is the longest, see `flowsuite.molecules.cycles.longest_ring`; "legacy" reproduces published
            numbers.
    """
    cycle = standardised(cycle_score(mol, rule), CYCLE)
    return standardised(logp(mol), LOGP) + standardised(-sa(mol), NEGATIVE_SA) + cycle


def min_plogp(mol: Chem.Mol, rule: str = "legacy") -> float:
    """The smallest penalised logP of the molecule and of its SMILES read again, with and without stereochemistry.

    Numbering the atoms anew can change a cycle basis, so a gain in this figure is one in any spelling
    (constrained optimisation of GraphAF, arXiv:2001.09382).
    """
    with quiet():
        texts = (Chem.MolToSmiles(mol), Chem.MolToSmiles(mol, isomericSmiles=False))
    again = [read for read in map(parse, texts) if read is not None]
    return min(plogp(each, rule) for each in (mol, *again))


def heavy_atoms(mol: Chem.Mol) -> float:
    return float(mol.GetNumHeavyAtoms())


Property = Callable[[Chem.Mol], float]
PROPERTIES: dict[str, Property] = {
    "logp": logp,
    "plogp": plogp,
    "plogp_sssr": partial(plogp, rule="sssr"),
    "plogp_networkx3": partial(plogp, rule="networkx3"),
    "min_plogp": min_plogp,
    "qed": qed,
    "sa": sa,
    "mw": molecular_weight,
    "exact_mass": exact_mass,
    "tpsa": rdMolDescriptors.CalcTPSA,
    "hba": Lipinski.NumHAcceptors,
    "hbd": Lipinski.NumHDonors,
    "rotatable_bonds": Lipinski.NumRotatableBonds,
    "rings": rdMolDescriptors.CalcNumRings,
    "aliphatic_rings": rdMolDescriptors.CalcNumAliphaticRings,
    "aromatic_rings": rdMolDescriptors.CalcNumAromaticRings,
    "bertz": GraphDescriptors.BertzCT,
    "heavy_atoms": heavy_atoms,
    "cycle_score": cycle_score,
}


def property_function(name: str) -> Property:
    """The function of that name in `PROPERTIES`."""
    if name not in PROPERTIES:
        close = difflib.get_close_matches(name, PROPERTIES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(PROPERTIES)}"
        raise ValueError(f"unknown property {name!r}; {hint}")
    return PROPERTIES[name]


def properties_of(mol: Chem.Mol, names: Iterable[str] = ("logp", "plogp", "qed", "sa", "mw")) -> dict[str, float]:
    """Several properties of one molecule by name; NaN where RDKit cannot compute one."""
    return {name: value_or_nan(property_function(name), mol) for name in names}


def value_or_nan(function: Property, mol: Chem.Mol) -> float:
    """`function(mol)`, NaN where RDKit has no value for such a molecule: no atoms, dummy atoms, ..."""
    try:
        with quiet():
            return float(function(mol))
    except (ValueError, RuntimeError, ZeroDivisionError):
        return math.nan


def mean_or_nan(values: Sequence[float] | np.ndarray) -> float:
    """The mean of the finite values; NaN of nothing."""
    values = np.asarray(values, dtype=np.float64)
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan
