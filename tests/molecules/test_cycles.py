"""Longest rings by the three rules, and the basis behind them."""

import random

import pytest

pytest.importorskip("rdkit")
from rdkit import Chem

from flowsuite.molecules.cycles import RULES, cycle_basis, cycle_score, longest_ring, neighbours
from flowsuite.molecules.smiles import parse

MOLECULES = ["CCC", "C1CCCCC1", "C12C3C4C1C5C2C3C45", "C1CC2CCC1CC2", "C1CCCCCCC1.C1CC1", "c1ccc2c(c1)Cc1ccccc1-2"]


@pytest.mark.parametrize("smiles", MOLECULES)
@pytest.mark.parametrize("from_last", [False, True])
def test_a_basis_is_made_of_as_many_independent_cycles_as_there_are_ring_bonds_too_many(smiles, from_last):
    bonded = neighbours(parse(smiles))
    cycles = cycle_basis(bonded, from_last)
    edges = sum(map(len, bonded)) // 2
    components = len(Chem.GetMolFrags(parse(smiles)))
    assert len(cycles) == edges - len(bonded) + components
    vectors = []
    for cycle in cycles:
        steps = list(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
        assert all(b in bonded[a] for a, b in steps) and len(set(cycle)) == len(cycle)
        vectors.append(sum(1 << (min(a, b) * len(bonded) + max(a, b)) for a, b in steps))
    assert rank_of_bits(vectors) == len(cycles)


def rank_of_bits(vectors):
    rank, vectors = 0, list(vectors)
    while vectors:
        pivot = vectors.pop()
        if pivot:
            rank += 1
            low = pivot & -pivot
            vectors = [v ^ pivot if v & low else v for v in vectors]
    return rank


def test_against_networkx():
    networkx = pytest.importorskip("networkx", minversion="3.1")
    for smiles in [*MOLECULES, "CC1CC2CC3CC(C1)C23C", "C1CC2CCC3CCC4CCC1C2C34"]:
        mol = parse(smiles)
        for seed in range(5):
            order = list(range(mol.GetNumAtoms()))
            random.Random(seed).shuffle(order)
            shuffled = Chem.RenumberAtoms(mol, order)
            graph = networkx.Graph()
            graph.add_nodes_from(range(len(order)))
            graph.add_edges_from((a, b) for a, bonded in enumerate(neighbours(shuffled)) for b in bonded)
            theirs = max(map(len, networkx.cycle_basis(graph)), default=0)
            assert longest_ring(shuffled, "networkx3") == theirs


@pytest.mark.parametrize("rule", RULES)
def test_simple_rings(rule):
    for smiles, size in [("CCCCCCCC", 0), ("C1CC1", 3), ("C1CCCCC1", 6), ("C1CCCCCCC1", 8), ("C1CCCCCCCCCCC1.CC", 12)]:
        assert longest_ring(parse(smiles), rule) == size
        assert cycle_score(parse(smiles), rule) == -max(0, size - 6)


def test_the_rules_differ_on_cages():
    cubane = parse("C12C3C4C1C5C2C3C45")
    assert longest_ring(cubane, "sssr") == 4 < longest_ring(cubane)


def test_unknown_rule():
    with pytest.raises(ValueError, match="rule must be one of legacy, networkx3, sssr, got 'longest'"):
        cycle_score(parse("C"), "longest")
