"""A set of molecules whose batches are PyG batches in generation order, or in that of the file."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torch_geometric.data import Batch

from flowsuite.core.training.seeding import fold_seed
from flowsuite.molecules.packed import PackedMolecules, ordered_batch, to_batch, to_dense

AT_ONCE = 2048
ORDERS = ("random", "file")


class MoleculeSet(Dataset):
    """Molecules in random breadth-first orders that fit the window.

    Orders of training molecules are drawn anew every time, from torch's global generator, which the loader seeds from
    (seed, rank, epoch, batch). Those of evaluation are drawn once and are a function of `name` and the molecules
    alone: the same in every run, for any batch size.

    `set[i]` is a batch of one molecule; `__getitems__(indices)` a PyG batch of several: `x` atom classes,
    `edge_index`, `edge_attr` bond classes, `y` (B, P) properties or None, `batch`, `ptr`.

    Args:
        packed: the molecules; every one needs an order that fits, see `fitting_window`.
        window: W, the longest bond in places of the order.
        training: draw orders anew.
        name: of the split.
        order: "random", or "file": atoms always as they are stored, in the order of the SMILES.
    """

    def __init__(
        self, packed: PackedMolecules, window: int, training: bool = False, name: str = "test", order: str = "random"
    ):
        self.packed, self.window, self.training = packed, window, training and order == "random"
        if order == "file":
            self.fixed = packed
        else:
            self.fixed = None if training else fixed_orders(packed, window, fold_seed("evaluation order", name))

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, i: int) -> Batch:
        if not -len(self) <= i < len(self):
            raise IndexError(f"molecule {i} of {len(self)}")
        return self.__getitems__([i % len(self)])

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        index = torch.as_tensor(indices, dtype=torch.long)
        if self.training:
            return ordered_batch(self.packed, index, self.window)
        return to_batch(*self.fixed.dense(index), self.packed.properties[index] if self.packed.names else None)


def fixed_orders(packed: PackedMolecules, window: int, seed: int) -> PackedMolecules:
    """The molecules with their atoms in orders drawn with a seed; without properties."""
    generator = torch.Generator().manual_seed(seed)
    parts: list[tuple[Tensor, ...]] = []
    for indices in torch.arange(len(packed)).split(AT_ONCE) if len(packed) else ():
        ordered = to_dense(ordered_batch(packed, indices, window, generator))
        part = PackedMolecules.from_dense(*ordered, packed.vocabulary)
        parts.append((part.atoms, part.sizes, part.bonds, part.n_bonds))
    if not parts:
        return packed
    atoms, sizes, bonds, n_bonds = (torch.cat(each) for each in zip(*parts, strict=True))
    return PackedMolecules(packed.vocabulary, atoms, sizes, bonds, n_bonds, torch.zeros(len(sizes), 0))
