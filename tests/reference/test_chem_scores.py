"""Scores of single molecules: logP, SA, QED, mass, ring penalties by three rules, penalised logP, similarities."""

import pytest
import torch

pytest.importorskip("rdkit")

from flowsuite.molecules import properties
from flowsuite.molecules.cycles import cycle_score
from flowsuite.molecules.filters import zinc_filter
from flowsuite.molecules.fingerprints import tanimoto
from flowsuite.molecules.sascore import sa
from flowsuite.molecules.smiles import parse
from tests.reference.checking import Check

pytestmark = pytest.mark.reference_kind("chem-scores")


def scores(rule):
    """Output array -> function; `rule` is the ring rule of the networkx that the case was made with."""
    standardised = properties.standardised
    return {
        "logp": properties.logp,
        "sa": sa,
        "qed": properties.qed,
        "mw": properties.exact_mass,
        "natoms": lambda mol: mol.GetNumAtoms(),
        "zinc_filter": zinc_filter,
        "cycle_score": lambda mol: cycle_score(mol, rule),
        "cycle_score_legacy": cycle_score,
        "cycle_score_sssr": lambda mol: cycle_score(mol, "sssr"),
        "norm_logp": lambda mol: standardised(properties.logp(mol), properties.LOGP),
        "norm_sa": lambda mol: standardised(-sa(mol), properties.NEGATIVE_SA),
        "norm_cycle": lambda mol: standardised(cycle_score(mol, rule), properties.CYCLE),
        "plogp": lambda mol: properties.plogp(mol, rule),
        "plogp_legacy": properties.plogp,
        "min_plogp": lambda mol: properties.min_plogp(mol, rule),
    }


def test_every_score(reference_case):
    mols = [parse(smiles) for smiles in reference_case.config["smiles"]]
    assert all(mol is not None for mol in mols)
    modern = int(reference_case.config.get("networkx", "3").split(".")[0]) >= 3
    check = Check(reference_case, 1e-6)
    for name, function in scores("networkx3" if modern else "legacy").items():
        if check.wants(name):
            check(name, torch.tensor([float(function(mol)) for mol in mols], dtype=torch.float64))
    pairs = reference_case.input.get("sim_pairs", torch.zeros(0, 2)).tolist()
    for name, chirality in (("sim_chiral", True), ("sim_nochiral", False)):
        if check.wants(name):
            found = [tanimoto(mols[a], mols[b], chirality=chirality) for a, b in pairs]
            check(name, torch.tensor(found, dtype=torch.float64))
    check.finish()
