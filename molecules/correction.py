"""What MoFlow does to make a molecule of every graph: bonds lowered, the largest fragment kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def lower_bonds(atoms: Tensor, bonds: Tensor, valences: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Bond orders lowered until no atom is over-valent (arXiv 2006.10137, section 4.4).

    The first over-valent atom of each molecule has its bond of highest order, the first of these, lowered by one; and
    so on. All molecules at once; a graph that is within the valences is returned as it is.

    Args:
        atoms: (B, N) classes, -1 for none.
        bonds: (B, N, N) orders, symmetric, with an empty diagonal.
        valences: the largest sum of bond orders of every class; an absent atom has none.

    Returns:
        `(bonds, lowered (B,))`: how many times a bond was lowered.
    """
    limit = torch.tensor([*valences, 0], device=bonds.device)[atoms]
    bonds, lowered = bonds.clone(), bonds.new_zeros(bonds.shape[0], dtype=torch.long)
    rows = torch.arange(bonds.shape[0], device=bonds.device)
    while rows.numel():
        excess = bonds[rows].sum(2) > limit[rows]
        broken = excess.any(1)
        rows, i = rows[broken], excess[broken].int().argmax(1)
        j = bonds[rows, i].argmax(1)
        bonds[rows, i, j] -= 1
        bonds[rows, j, i] -= 1
        lowered[rows] += 1
    return bonds, lowered


def fragments(bonds: Tensor) -> Tensor:
    """The first atom (B, N) of the connected part that each atom is in, of bond orders (B, N, N)."""
    n = bonds.shape[1]
    reach = (bonds > 0).float() + torch.eye(n, device=bonds.device)
    length = 1
    while length < n - 1:
        reach = (reach @ reach > 0).float()
        length *= 2
    return (reach > 0).int().argmax(2)


def largest_fragment(atoms: Tensor, bonds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each molecule's connected part of most atoms, the first of these.

    Args:
        atoms: (B, N) classes, -1 for none.
        bonds: (B, N, N) orders; absent atoms have none.

    Returns:
        `(atoms, bonds, lost (B,))`: the other atoms are absent; how many there were.
    """
    label = fragments(bonds)
    present = atoms >= 0
    size = torch.zeros_like(atoms).scatter_add(1, label, present.long())
    keep = present & (label == size.argmax(1, keepdim=True))
    lost = (present & ~keep).sum(1)
    return atoms.where(keep, -1), bonds * (keep[:, :, None] & keep[:, None, :]), lost
