"""Encodings of the published code: kekulised graphs, breadth-first orders, targets and what each decision sees."""

from __future__ import annotations

import pytest
import torch
from rdkit import Chem

from flowsuite.molecules.chemistry import graph_from_mol
from flowsuite.molecules.order import bfs_order, bond_spans
from flowsuite.molecules.packed import PackedMolecules, permute
from flowsuite.molecules.prefix import expand
from flowsuite.molecules.vocabulary import ELEMENTS, Vocabulary
from tests.reference.checking import Check

pytestmark = pytest.mark.reference_kind("encodings")


def encode(config) -> PackedMolecules:
    symbols = {number: symbol for symbol, (number, _) in ELEMENTS.items()}
    vocabulary = Vocabulary([symbols[number] for number in config["atom_list"]])
    mols = [Chem.MolFromSmiles(smiles) for smiles in config["smiles"]]
    n = max(config["max_size"], max(mol.GetNumAtoms() for mol in mols))
    for mol in mols:  # the published code keeps radicals, as no more than their atoms and bonds
        for atom in mol.GetAtoms():
            atom.SetNumRadicalElectrons(0)
    graphs = [graph_from_mol(mol, vocabulary, n, drop_charges=True) for mol in mols]
    return PackedMolecules.from_graphs(graphs, vocabulary)


def by_type(bonds: torch.Tensor) -> torch.Tensor:
    """(B, 3, N, N) one-hot of bond orders (B, N, N)."""
    return torch.stack([bonds == order for order in (1, 2, 3)], 1).float()


def dense_states(graphs, n: int) -> torch.Tensor:
    """(S, 3, n, n) one-hot bonds of every state."""
    made = torch.zeros(graphs.num_graphs, 3, n, n)
    a, b = graphs.edge_index
    graph = graphs.batch[a]
    made[graph, graphs.edge_type, a - graphs.start[graph], b - graphs.start[graph]] = 1
    return made


def check_masks(check: Check, vocabulary: Vocabulary, n: int, window: int, edge_index: torch.Tensor) -> torch.Tensor:
    """The masks, as the states of a molecule whose bonds are all there are within the window.

    Published masks show earlier atoms beyond the window too, where no bond can be.
    """
    place = torch.arange(n)
    span = (place[:, None] - place[None, :]).abs()
    bonds = ((span > 0) & (span <= window)).to(torch.uint8)[None]
    prefixes = expand(torch.zeros(1, n, dtype=torch.long), bonds, vocabulary, window, stop=False)
    state = torch.cat((prefixes.atoms.state, prefixes.edges.state))
    size = prefixes.graphs.size[state]
    visible = (place[None, :] < size[:, None]).float()
    seen = dense_states(prefixes.graphs, n).sum(1)[state] + torch.diag_embed(visible)
    complete = torch.cat((size[:n], edge_index[:, 1]))  # atoms all of whose bonds are decided
    old = (place[None, :] < complete[:, None]).float()
    seen += old[:, :, None] * old[:, None, :] * (span > window)
    check("node_masks", visible)
    check("adj_masks", seen)
    return seen


def test_encodings(reference_case):
    config, given = reference_case.config, reference_case.input
    check = Check(reference_case, 1e-12)
    packed = encode(config)
    n, window, count = given["perm"].shape[1], config["edge_unroll"], len(packed)
    atoms, bonds = packed.dense(max_atoms=n)
    numbers = torch.tensor([*(number for number, _ in packed.vocabulary.atoms), 0])
    check("atomic_num", numbers[atoms])
    check("adj_rdkit_order", by_type(bonds))
    check("mol_size", packed.sizes)

    perm, rows = given["perm"], torch.arange(count)
    priority = torch.arange(n).repeat(count, 1)
    place = torch.arange(n).repeat(count, 1)
    molecule, k = (perm >= 0).nonzero(as_tuple=True)
    priority[molecule, perm[molecule, k]] = place[molecule, k]
    order = bfs_order(bonds > 0, priority, perm[rows, given["start"]])
    check("bfs_order", order)
    atoms, bonds = permute(atoms, bonds, order)
    check("node_onehot", torch.nn.functional.one_hot(atoms + 1, len(packed.vocabulary) + 1)[:, :, 1:])
    typed = by_type(bonds)
    none = 1 - typed.sum(1, keepdim=True)
    check("adj", torch.cat((typed, none), 1) + torch.eye(n))

    prefixes = expand(atoms, bonds, packed.vocabulary, window, stop=False, pad_to=n)
    check("node_target", prefixes.atoms.target)
    check("edge_target", prefixes.edges.target)
    newest = torch.cat([torch.full((min(i, window),), i) for i in range(n)])
    earlier = newest - prefixes.edges.span.reshape(count, -1)[0]
    edge_index = torch.stack((earlier, newest), 1)
    check("edge_index", edge_index)
    seen = check_masks(check, packed.vocabulary, n, window, edge_index)
    check.finish()

    if int(bond_spans(bonds > 0, torch.arange(n).repeat(count, 1)).max()) > window:
        return  # bonds that no decision makes: we draw such orders again
    # What each decision sees of the real molecules is the published graph behind the published mask.
    states = dense_states(prefixes.graphs, n)
    node, edge = (steps.state.reshape(count, -1) for steps in (prefixes.atoms, prefixes.edges))
    steps = torch.cat((node, edge), 1)
    for b in range(count):
        assert torch.equal(states[steps[b]], typed[b][None] * seen[:, None])
