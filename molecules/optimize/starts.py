"""Molecules to be improved: read, encoded, and cut back along random breadth-first orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from flowsuite.molecules.chemistry import EncodingError, graph_from_mol, read_mol
from flowsuite.molecules.optimize.rollout import Starts
from flowsuite.molecules.order import draw_orders
from flowsuite.molecules.packed import PackedMolecules, permute
from flowsuite.molecules.readers import read_records
from flowsuite.molecules.vocabulary import Vocabulary


@dataclass
class StartSet:
    """M molecules to be improved, of which some can be encoded.

    Attributes:
        smiles: as they were given.
        graphs: of those that can be encoded, atoms as RDKit numbers them.
        number: (E,) which of `smiles` each graph is of.
        reasons: why others were left out, counted.
        left_out: `(number from 1, SMILES, why)` of these.
    """

    smiles: list[str]
    graphs: PackedMolecules
    number: Tensor
    reasons: Counter = field(default_factory=Counter)
    left_out: list[tuple[int, str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.smiles)

    @classmethod
    def encode(
        cls, smiles: Sequence[str], vocabulary: Vocabulary, max_atoms: int, window: int, keep_charges: bool = True
    ) -> StartSet:
        """Encodes molecules; those that would leave no room for one more atom, or fit no order, are left out.

        Args:
            smiles: of molecules.
            vocabulary, max_atoms, window: of the model.
            keep_charges: with charged atom classes where the vocabulary has them; without, charges are forgotten.
        """
        found, number, left_out, reasons = [], [], [], Counter()
        for i, text in enumerate(smiles):
            try:
                found.append(encode_start(text, vocabulary, max_atoms - 1, keep_charges))
                number.append(i)
            except EncodingError as error:
                reasons[error.reason] += 1
                left_out.append((i + 1, text, str(error)))
        graphs = PackedMolecules.from_graphs(found, vocabulary)
        self = cls(list(smiles), graphs, torch.tensor(number, dtype=torch.long), reasons, left_out)
        return self._within(window)

    def _within(self, window: int) -> StartSet:
        """Leaves out what has no order within the window."""
        if not len(self.graphs):
            return self
        _, bonds = self.graphs.dense()
        _, draws = draw_orders(bonds > 0, self.graphs.sizes, window, generator=torch.Generator().manual_seed(0))
        fits = draws <= 50
        for i in self.number[~fits].tolist():
            self.reasons["window"] += 1
            self.left_out.append((i + 1, self.smiles[i], f"no breadth-first order within {window}"))
        self.graphs, self.number = self.graphs[fits.nonzero()[:, 0]], self.number[fits]
        return self

    @classmethod
    def read(cls, path: str | Path) -> list[str]:
        """The SMILES of a file, any format of `flowsuite.molecules.readers`."""
        return [record.smiles or "" for record in read_records(path)]

    def describe(self) -> str:
        """One line: how many can be gone on from, and why others cannot."""
        counts = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())
        line = f"{len(self.graphs)} of {len(self)} start molecules can be encoded"
        if not counts:
            return line
        number, text, why = self.left_out[0]
        return f"{line} ({counts}; first: number {number}, {text}, {why})"


def encode_start(text: str, vocabulary: Vocabulary, max_atoms: int, keep_charges: bool):
    """The graph of a molecule; an atom whose charge the vocabulary lacks is taken as the neutral one."""
    mol = read_mol(text)
    if keep_charges:
        try:
            return graph_from_mol(mol, vocabulary, max_atoms)
        except EncodingError as error:
            if error.reason not in ("atom outside the vocabulary", "valence"):
                raise
    return graph_from_mol(mol, vocabulary, max_atoms, drop_charges=True)


@dataclass
class Cuts(Starts):
    """Starts, with `order` (n, N): the place in the whole molecule of every atom, kept ones first."""

    order: Tensor = field(default_factory=lambda: torch.zeros(0, 0, dtype=torch.long))


def cut(
    graphs: PackedMolecules, chosen: Tensor, window: int, remove: int, generator: torch.Generator | None = None
) -> Cuts:
    """Each of the `chosen` molecules in a new random breadth-first order, half of them less their last atoms.

    With probability 1/2 a molecule loses k of its last atoms, k uniform in 0..`remove`, as published; it keeps one.

    Args:
        graphs: molecules.
        chosen: (n,) which of them.
        window: orders in which a bond spans more are drawn again.
        remove: the largest k.
        generator: of the randomness.
    """
    atoms, bonds = graphs.dense(chosen)
    sizes = graphs.sizes[chosen]
    order, _ = draw_orders(bonds > 0, sizes, window, generator=generator)
    atoms, bonds = permute(atoms, bonds, order)
    k = torch.randint(remove + 1, sizes.shape, generator=generator)
    k *= torch.rand(sizes.shape, generator=generator) < 0.5
    kept = (sizes - k).clamp_min(1)
    present = torch.arange(atoms.shape[1])[None, :] < kept[:, None]
    atoms = atoms.masked_fill(~present, -1)
    bonds = bonds * (present[:, :, None] & present[:, None, :])
    return Cuts(atoms, bonds, chosen, order)
