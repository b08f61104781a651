"""What the tests of optimisation share: a tiny model, and targets that go wrong."""

import torch
from rdkit import Chem

from flowsuite.core.training.checkpoint import save_flow_checkpoint
from flowsuite.molecules.graphaf import GraphAF

ARGUMENTS = {
    "atoms": ["C", "N", "O", "F", "N+", "O-"],
    "max_atoms": 9,
    "window": 8,
    "hidden": 24,
    "layers": 2,
    "decision": "categorical",
    "decision_options": {"hidden": 24},
}


def tiny(seed: int = 0, **options) -> GraphAF:
    """Untrained, but inclined to single bonds and to molecules of several atoms, so that little has to be redrawn."""
    torch.manual_seed(seed)
    flow = GraphAF(**{**ARGUMENTS, **options}).eval()
    if flow.atom_decision.__class__.__name__ == "CategoricalDecision":
        with torch.no_grad():
            flow.atom_decision.trunk[-1].bias[-1] -= 1.0
            flow.edge_decision.trunk[-1].bias += torch.tensor([0.0, -2.5, -4.0, 0.5])
    return flow


def save_tiny(path, **options) -> str:
    arguments = {**ARGUMENTS, **options}
    flow = tiny(**options)
    save_flow_checkpoint(path, "flowsuite.molecules.graphaf.GraphAF", arguments, flow.state_dict())
    return str(path)


def carbons(mol: Chem.Mol) -> float:
    return float(sum(atom.GetAtomicNum() == 6 for atom in mol.GetAtoms()))


def length(smiles: str) -> float:
    return float(len(smiles))


def lengths(smiles: list[str]) -> list[float]:
    if any("F" in text for text in smiles):
        raise RuntimeError("no fluorine here")
    return [float(len(text)) for text in smiles]


def moody(mol: Chem.Mol):
    """Numbers, NaN, None, an exception, text, an exit: by the number of atoms."""
    n = mol.GetNumAtoms()
    if n % 6 == 0:
        return float("nan")
    if n % 6 == 1:
        raise RuntimeError("no opinion on this")
    if n % 6 == 2:
        return None
    if n % 6 == 3:
        return "3.0"
    if n % 6 == 4:
        raise SystemExit(1)
    return float(carbons(mol))


def hopeless(mol: Chem.Mol) -> float:
    raise ValueError("never")
