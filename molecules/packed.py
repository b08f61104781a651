"""Sets of molecules in memory and on disk: about 100 bytes a molecule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch

from flowsuite.core.training.files import write_npz
from flowsuite.core.training.numpy_files import load_npz
from flowsuite.molecules.order import TRIES, draw_orders
from flowsuite.molecules.vocabulary import NO_BOND, Vocabulary

FORMAT = 1
LAYOUT = {
    "atoms": ("uint8", 1),
    "sizes": ("int64", 1),
    "bonds": ("uint8", 2),
    "n_bonds": ("int64", 1),
    "properties": ("float32", 2),
}
"""Type and number of dimensions of the arrays of a file."""


@dataclass
class PackedMolecules:
    """M molecular graphs end to end.

    Attributes:
        vocabulary: of the atoms.
        atoms: (sum n,) uint8 classes.
        sizes: (M,) int64 atoms of each molecule.
        bonds: (sum m, 3) uint8 rows (i, j, bond class) with i > j, places within the molecule.
        n_bonds: (M,) int64 bonds of each molecule.
        properties: (M, P) float32 numbers that describe each, P may be 0.
        names: of the properties.
    """

    vocabulary: Vocabulary
    atoms: Tensor
    sizes: Tensor
    bonds: Tensor
    n_bonds: Tensor
    properties: Tensor
    names: tuple[str, ...] = ()
    _first: tuple[Tensor, Tensor] = field(init=False, repr=False)

    def __post_init__(self):
        self._first = (self.sizes.cumsum(0) - self.sizes, self.n_bonds.cumsum(0) - self.n_bonds)

    def __len__(self) -> int:
        return self.sizes.shape[0]

    @property
    def max_atoms(self) -> int:
        return int(self.sizes.max()) if len(self) else 0

    @classmethod
    def from_graphs(
        cls,
        graphs: Iterable[tuple[Sequence[int], Sequence[tuple[int, int, int]]]],
        vocabulary: Vocabulary,
        properties: Tensor | None = None,
        names: Sequence[str] = (),
    ) -> PackedMolecules:
        """From pairs `(atom classes, [(i, j, bond class), ...])`."""
        atoms, bonds, sizes, n_bonds = [], [], [], []
        for classes, edges in graphs:
            atoms.append(np.asarray(classes, dtype=np.uint8))
            rows = np.asarray(edges, dtype=np.uint8).reshape(-1, 3)
            bonds.append(np.concatenate((np.sort(rows[:, :2], axis=1)[:, ::-1], rows[:, 2:]), axis=1))
            sizes.append(len(classes))
            n_bonds.append(len(rows))
        flat = [
            np.concatenate(part) if part else np.zeros(shape, np.uint8) for part, shape in ((atoms, 0), (bonds, (0, 3)))
        ]
        if properties is None:
            properties = torch.zeros(len(sizes), 0)
        lengths = (torch.tensor(count, dtype=torch.long) for count in (sizes, n_bonds))
        sizes, n_bonds = lengths
        return cls(
            vocabulary, torch.from_numpy(flat[0]), sizes, torch.from_numpy(flat[1]), n_bonds, properties, tuple(names)
        )

    @classmethod
    def from_dense(cls, atoms: Tensor, bonds: Tensor, vocabulary: Vocabulary) -> PackedMolecules:
        """From `atoms` (B, N), -1 for padding, and bond orders (B, N, N), 0 for none."""
        atoms, bonds = atoms.cpu(), bonds.cpu().tril(-1)
        present = atoms >= 0
        molecule, i, j = bonds.nonzero(as_tuple=True)
        rows = torch.stack((i, j, bonds[molecule, i, j].long() - 1), 1).to(torch.uint8)
        n_bonds = torch.bincount(molecule, minlength=atoms.shape[0])
        properties = torch.zeros(atoms.shape[0], 0)
        return cls(vocabulary, atoms[present].to(torch.uint8), present.sum(1), rows, n_bonds, properties)

    def _ranges(self, indices: Tensor, which: int) -> tuple[Tensor, Tensor]:
        """`(position in the batch, place in the flat array)` of all atoms (0) or bonds (1) of some molecules."""
        counts = (self.sizes, self.n_bonds)[which][indices]
        of = torch.repeat_interleave(counts)
        number = torch.arange(of.shape[0]) - (counts.cumsum(0) - counts)[of]
        return of, self._first[which][indices][of] + number

    def __getitem__(self, indices: Tensor | Sequence[int] | int) -> PackedMolecules:
        """Some of the molecules."""
        indices = torch.as_tensor(indices, dtype=torch.long).reshape(-1)
        return PackedMolecules(
            self.vocabulary,
            self.atoms[self._ranges(indices, 0)[1]],
            self.sizes[indices],
            self.bonds[self._ranges(indices, 1)[1]],
            self.n_bonds[indices],
            self.properties[indices],
            self.names,
        )

    def dense(self, indices: Tensor | None = None, max_atoms: int = 0) -> tuple[Tensor, Tensor]:
        """`(atoms (B, N) with -1 for padding, bond orders (B, N, N) uint8)`; N is the largest size, or `max_atoms`."""
        indices = torch.arange(len(self)) if indices is None else torch.as_tensor(indices, dtype=torch.long)
        sizes = self.sizes[indices]
        n = max(int(sizes.max()) if len(indices) else 0, max_atoms)
        atoms = torch.full((len(indices), n), -1)
        atoms[torch.arange(n)[None, :] < sizes[:, None]] = self.atoms[self._ranges(indices, 0)[1]].long()
        bonds = torch.zeros((len(indices), n, n), dtype=torch.uint8)
        molecule, place = self._ranges(indices, 1)
        i, j, kind = self.bonds[place].long().unbind(1)
        order = (kind + 1).to(torch.uint8)
        bonds[molecule, i, j] = order
        bonds[molecule, j, i] = order
        return atoms, bonds

    def graph(self, index: int) -> tuple[list[int], list[tuple[int, int, int]]]:
        """One molecule as `(atom classes, [(i, j, bond class), ...])`."""
        a, b = (int(first[index]) for first in self._first)
        atoms = self.atoms[a : a + int(self.sizes[index])].tolist()
        return atoms, [tuple(row) for row in self.bonds[b : b + int(self.n_bonds[index])].tolist()]

    @classmethod
    def join(cls, parts: Sequence[PackedMolecules]) -> PackedMolecules:
        """Sets with the same vocabulary and properties, one after another."""
        fields = ("atoms", "sizes", "bonds", "n_bonds", "properties")
        joined = (torch.cat([getattr(part, name) for part in parts]) for name in fields)
        return cls(parts[0].vocabulary, *joined, names=parts[0].names)

    def save(self, path: Path, **more: np.ndarray) -> None:
        """Writes an .npz, with more arrays in it if given."""
        write_npz(
            path,
            **more,
            format=np.array(FORMAT),
            vocabulary=np.array(self.vocabulary.names),
            atoms=self.atoms.numpy(),
            sizes=self.sizes.numpy(),
            bonds=self.bonds.numpy(),
            n_bonds=self.n_bonds.numpy(),
            properties=self.properties.numpy(),
            names=np.array(self.names, dtype=str),
        )

    @classmethod
    def load(cls, path: Path) -> PackedMolecules:
        """Reads what `save` wrote."""
        return cls.from_arrays(load_npz(path), path)

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], path: object) -> PackedMolecules:
        """From the arrays of a file that `save` wrote; `path` is for messages."""
        wanted = {"format", "vocabulary", "atoms", "sizes", "bonds", "n_bonds", "properties", "names"}
        missing = wanted - set(arrays)
        if missing or arrays["format"].tolist() != FORMAT:
            raise ValueError(f"{path} does not hold packed molecules of format {FORMAT}")
        for name, (kind, dimensions) in LAYOUT.items():
            if arrays[name].dtype != kind or arrays[name].ndim != dimensions:
                got = f"{arrays[name].dtype} of shape {arrays[name].shape}"
                raise ValueError(f"{path}: {name} must be {kind} with {dimensions} dimensions, got {got}")
        try:
            vocabulary = Vocabulary([str(atom) for atom in arrays["vocabulary"].ravel()])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        tensors = {name: torch.from_numpy(arrays[name]) for name in LAYOUT}
        packed = cls(vocabulary, **tensors, names=tuple(str(name) for name in arrays["names"].ravel()))
        packed.check(path)
        return packed

    def check(self, path: object) -> None:
        """That all parts fit together, and every class and place is one that there is."""
        sums = int(self.sizes.sum()), int(self.n_bonds.sum())
        counts = (self.sizes, self.n_bonds)
        fits = (
            self.sizes.shape == self.n_bonds.shape
            and all(int(each.min()) >= 0 for each in counts if each.numel())
            and sums == (self.atoms.shape[0], self.bonds.shape[0])
            and self.properties.shape == (len(self), len(self.names))
        )
        fits = fits and self.bonds.shape[1] == 3
        if not fits or (self.atoms.numel() and int(self.atoms.max()) >= len(self.vocabulary)):
            raise ValueError(f"{path}: its atoms, bonds and sizes do not belong together")
        rows = self.bonds.long()
        if rows.numel():
            sizes = torch.repeat_interleave(self.sizes, self.n_bonds)
            wrong = (rows[:, 1] >= rows[:, 0]) | (rows[:, 0] >= sizes) | (rows[:, 2] >= NO_BOND)
            if bool(wrong.any()):
                at = int(wrong.nonzero()[0, 0])
                molecule = int(torch.searchsorted(self.n_bonds.cumsum(0), at, right=True))
                raise ValueError(
                    f"{path}: bond {rows[at].tolist()} of molecule {molecule} with {int(sizes[at])} atoms: "
                    f"expected places i > j within it and a class below {NO_BOND}"
                )


def permute(atoms: Tensor, bonds: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Dense molecules with atom `order[b, k]` at place k."""
    n = order.shape[1]
    bonds = bonds.gather(1, order[:, :, None].expand(-1, -1, n)).gather(2, order[:, None, :].expand(-1, n, -1))
    return atoms.gather(1, order), bonds


def to_batch(atoms: Tensor, bonds: Tensor, properties: Tensor | None = None) -> Batch:
    """Dense molecules as a PyG batch: `x` atom classes, `edge_index` both directions, `edge_attr` bond classes, `y`
    properties, `batch` and `ptr`. The order of atoms is kept."""
    present = atoms >= 0
    sizes = present.sum(1)
    ptr = torch.cat((sizes.new_zeros(1), sizes.cumsum(0)))
    molecule, i, j = bonds.nonzero(as_tuple=True)
    return Batch(
        x=atoms[present],
        edge_index=torch.stack((ptr[molecule] + j, ptr[molecule] + i)),
        edge_attr=bonds[molecule, i, j].long() - 1,
        y=properties,
        batch=torch.repeat_interleave(sizes),
        ptr=ptr,
    )


def to_dense(batch: Batch) -> tuple[Tensor, Tensor]:
    """The dense molecules of a PyG batch, see `to_batch`."""
    ptr, of = batch.ptr, batch.batch
    sizes = ptr.diff()
    n = int(sizes.max()) if sizes.numel() else 0
    atoms = torch.full((sizes.shape[0], n), -1, device=of.device)
    atoms[of, torch.arange(of.shape[0], device=of.device) - ptr[of]] = batch.x
    bonds = torch.zeros((sizes.shape[0], n, n), dtype=torch.uint8, device=of.device)
    source, target = batch.edge_index
    molecule = of[source]
    bonds[molecule, target - ptr[molecule], source - ptr[molecule]] = (batch.edge_attr + 1).to(torch.uint8)
    return atoms, bonds


def ordered_batch(
    packed: PackedMolecules, indices: Tensor, window: int, generator: torch.Generator | None = None
) -> Batch:
    """Some molecules, each in a random breadth-first order that fits the window, as a PyG batch.

    Raises:
        ValueError: no order of some molecule fits.
    """
    atoms, bonds = packed.dense(indices)
    order, draws = draw_orders(bonds > 0, packed.sizes[indices], window, generator=generator)
    stuck = (draws > TRIES).nonzero()
    if stuck.numel():
        index = int(torch.as_tensor(indices)[stuck[0, 0]])
        raise ValueError(
            f"molecule {index}: no breadth-first order found in which every bond spans at most {window} atoms"
        )
    properties = packed.properties[indices] if packed.names else None
    return to_batch(*permute(atoms, bonds, order), properties)
