"""The longest ring of a molecule, by three rules, as penalised logP counts it.

A cycle basis of a graph is not unique, so the rule is part of the score. Published numbers come from the basis that
networkx < 3 returned: a walk from the first atom over a stack, closing one cycle per remaining bond
(Paton, 1969, doi:10.1145/363219.363232). It depends on the numbering of the atoms in cages and bridged rings; on
ordinary drug-like molecules it differs from the smallest set of smallest rings (SSSR) for one in two hundred.
"""

from __future__ import annotations

from rdkit import Chem

RULES = ("legacy", "networkx3", "sssr")
LARGEST_FREE = 6  # rings up to this size cost nothing


def neighbours(mol: Chem.Mol) -> list[list[int]]:
    """Bonded atoms of each atom, ascending."""
    found = [[] for _ in range(mol.GetNumAtoms())]
    for index in range(mol.GetNumBonds()):  # GetBonds() takes several times as long
        bond = mol.GetBondWithIdx(index)
        a, b = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
        found[a].append(b)
        found[b].append(a)
    return [sorted(atoms) for atoms in found]


def cycle_basis(bonded: list[list[int]], from_last: bool = False) -> list[list[int]]:
    """A cycle basis of an undirected graph by Paton's walk, as lists of vertices.

    Args:
        bonded: neighbours of each vertex, in the order in which they are tried.
        from_last: each component is entered at its last vertex rather than its first.
    """
    order = range(len(bonded))
    cycles, parent = [], {}
    for root in reversed(order) if from_last else order:
        if root not in parent:
            parent[root] = root
            cycles += component_cycles(bonded, root, parent)
    return cycles


def component_cycles(bonded: list[list[int]], root: int, parent: dict[int, int]) -> list[list[int]]:
    """The cycles found from `root`; `parent`, the spanning tree, is filled on the way."""
    cycles, stack = [], [root]
    joined = {root: set()}  # vertex -> those from which it has been reached by a tree edge or a closed cycle
    while stack:
        here = stack.pop()
        for there in bonded[here]:
            if there not in joined:
                parent[there] = here
                joined[there] = {here}
                stack.append(there)
            elif there not in joined[here]:
                cycles.append([there, *path_to(here, joined[there], parent)])
                joined[there].add(here)
    return cycles


def path_to(vertex: int, ends: set[int], parent: dict[int, int]) -> list[int]:
    """From `vertex` up the tree to the first ancestor in `ends`, both included."""
    path = [vertex]
    while True:
        vertex = parent[vertex]
        path.append(vertex)
        if vertex in ends:
            return path


def longest_ring(mol: Chem.Mol, rule: str = "legacy") -> int:
    """Atoms of the longest ring, 0 without one.

    Args:
        mol: a molecule.
        rule: "legacy" (networkx < 3: the walk starts at the first atom), "networkx3" (at the last), "sssr" (RDKit's
            smallest set of smallest rings).
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
    if mol.GetNumBonds() < 3:
        return 0
    if rule == "sssr":
        rings = mol.GetRingInfo().AtomRings()
    else:
        rings = cycle_basis(neighbours(mol), from_last=rule == "networkx3")
    return max(map(len, rings), default=0)


def cycle_score(mol: Chem.Mol, rule: str = "legacy") -> float:
    """`-max(0, longest ring - 6)`; see `longest_ring`."""
    return -float(max(0, longest_ring(mol, rule) - LARGEST_FREE))
