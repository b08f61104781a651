"""Base of the molecule data modules: files encoded once, split, and drawn in random orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flowsuite.core.training.data import SPLITS, FlowDataModule
from flowsuite.core.training.seeding import fold_seed
from flowsuite.molecules.data_cache import encode_cached
from flowsuite.molecules.dataset import ORDERS, MoleculeSet
from flowsuite.molecules.encode import EncodedMolecules
from flowsuite.molecules.encoding_report import EncodingReport
from flowsuite.molecules.packed import PackedMolecules
from flowsuite.molecules.processes import default_workers
from flowsuite.molecules.vocabulary import Vocabulary


@dataclass
class Source:
    """A file of molecules and how it is read: `column`, `layout`, `where` of `read_records`."""

    path: Path
    reading: dict[str, Any] = field(default_factory=dict)


class MoleculeDataModule(FlowDataModule):
    """PyG batches of molecules in random breadth-first orders, see `MoleculeSet`; a data set overrides `sources`, and
    `records` where one source is split into several parts.

    Args:
        batch_size: molecules per process and step.
        num_workers: worker processes of each loader; 0 loads in the training process.
        atoms: atom classes, the name of a preset, or "auto": the (element, charge) pairs of the training data.
        max_atoms: larger molecules are left out; 0: 255.
        window: W, the longest bond in places of the order.
        properties: names of numbers to have with each molecule, columns of the data or of
            `flowsuite.molecules.properties.PROPERTIES`.
        neutralize: move protons until few atoms are charged.
        largest_fragment: keep the largest fragment of salts, which are left out otherwise.
        drop_charges: forget formal charges, as the published codec does.
        on_error: "skip" leaves out and counts what cannot be encoded, "stop" raises.
        min_share: atom classes that fewer of the molecules have are left out of an "auto" vocabulary.
        check_every: decode every so many-th molecule again while encoding, to report how many come back; 0: none.
        cache: folder for encoded files; None: `.flowsuite` beside the data, or else the user's cache folder.
        workers: processes that encode; None: one a core.
        progress: show progress bars.
        order: of the atoms in a batch: "random" breadth-first orders that fit the window, new every time; or "file",
            always that of the SMILES, for models of whole molecules such as MoFlow.
    """

    def __init__(
        self,
        batch_size: int = 128,
        num_workers: int = 0,
        atoms: Sequence[str] | str = "auto",
        max_atoms: int = 0,
        window: int = 12,
        properties: Sequence[str] = (),
        neutralize: bool = False,
        largest_fragment: bool = False,
        drop_charges: bool = False,
        on_error: str = "skip",
        min_share: float = 1e-4,
        check_every: int = 1,
        cache: str | None = None,
        workers: int | None = None,
        progress: bool = True,
        order: str = "random",
    ):
        super().__init__(batch_size, num_workers)
        if atoms != "auto":
            Vocabulary(atoms)
        if order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {order!r}")
        self.atoms, self.window, self.order, self.cache = atoms, window, order, cache
        self.encoding = {
            "max_atoms": max_atoms,
            "window": window,
            "on_error": on_error,
            "neutralize": neutralize,
            "largest_fragment": largest_fragment,
            "drop_charges": drop_charges,
            "properties": tuple(properties),
            "min_share": min_share,
            "check_every": check_every,
        }
        self.workers, self.progress = workers, progress
        self._encoded: dict[str, EncodedMolecules] = {}
        self._parts: dict[str, tuple[EncodedMolecules, Tensor]] = {}

    # What a data set defines

    def sources(self) -> dict[str, Source]:
        """The files by the names of what they hold; "train" is one of them."""
        raise NotImplementedError(f"{type(self).__name__} must define sources()")

    def records(self, part: str) -> tuple[str, Tensor | None]:
        """`(source, numbers of its records)` of "train", "val" or "test"; None: all of them."""
        return part, None

    # Encoding

    def prepare_data(self):
        """On one process, before the others come: the encoded files."""
        for name in self.sources():
            self.encoded(name)

    def encoded(self, name: str) -> EncodedMolecules:
        """A source, encoded; an "auto" vocabulary is that of the source "train"."""
        if name not in self._encoded:
            sources = self.sources()
            if name not in sources:
                raise ValueError(f"{type(self).__name__} has no {name!r}: expected one of {', '.join(sources)}")
            source = sources[name]
            atoms = self.vocabulary if self.atoms == "auto" and name != "train" else self.atoms
            self._encoded[name] = encode_cached(
                source.path,
                atoms,
                self.cache,
                **self.encoding,
                **source.reading,
                workers=default_workers() if self.workers is None else self.workers,
                progress=f"encoding {source.path.name}" if self.progress else "",
            )
        return self._encoded[name]

    @property
    def vocabulary(self) -> Vocabulary:
        return self.encoded("train").packed.vocabulary

    @property
    def report(self) -> EncodingReport:
        """What became of the molecules of the source "train"."""
        return self.encoded("train").report

    @property
    def reports(self) -> dict[str, EncodingReport]:
        """What became of the molecules of every source."""
        return {name: self.encoded(name).report for name in self.sources()}

    @property
    def max_atoms(self) -> int:
        """Heavy atoms of the largest molecule of any split."""
        return max(self.packed(split).max_atoms for split in SPLITS)

    # Parts

    def part(self, split: str) -> tuple[EncodedMolecules, Tensor]:
        """`(encoded, indices into it)` of a split, which may also be the name of a source."""
        if split not in self._parts:
            name, records = self.records(split) if split in SPLITS else (split, None)
            encoded = self.encoded(name)
            chosen = torch.arange(len(encoded.records))
            if records is not None:
                wanted = torch.zeros(max(encoded.report.total, 1), dtype=torch.bool)
                wanted[records] = True
                chosen = wanted[encoded.records].nonzero()[:, 0]
            if not len(chosen):
                raise ValueError(f"the {split} set has no molecule; {encoded.report.summary()}")
            self._parts[split] = encoded, chosen
        return self._parts[split]

    def packed(self, split: str) -> PackedMolecules:
        """The molecules of a split."""
        encoded, chosen = self.part(split)
        return encoded.packed if len(chosen) == len(encoded.packed) else encoded.packed[chosen]

    def smiles(self, split: str) -> list[str]:
        """Canonical SMILES without stereochemistry of a split, in its order: what generated ones are compared with."""
        encoded, chosen = self.part(split)
        return [encoded.smiles[i] for i in chosen.tolist()]

    def normalization(self) -> dict[str, Tensor]:
        """Mean and standard deviation of each property over the training set, (P,) float32; a constant has std 1."""
        values = self.packed("train").properties.double()
        std = values.std(0, unbiased=False)
        return {"mean": values.mean(0).float(), "std": torch.where(std > 0, std, 1.0).float()}

    def make_dataset(self, split):
        return MoleculeSet(self.packed(split), self.window, split == "train", split, self.order)


def held_out(total: int, sizes: dict[str, float], seed: int) -> dict[str, Tensor]:
    """The numbers 0..total-1, split at random: "train" and the names of `sizes`, each ascending.

    Args:
        total: how many.
        sizes: a share below 1, or a number of them, of each part besides "train".
        seed: of the draw.
    """
    counts = {name: size_of(name, value, total) for name, value in sizes.items()}
    left = total - sum(counts.values())
    if left < 1:
        wanted = ", ".join(f"{name} {value}" for name, value in sizes.items())
        raise ValueError(f"{wanted} leave nothing of {total} molecules to train on")
    order = torch.randperm(total, generator=torch.Generator().manual_seed(fold_seed("split", seed)))
    parts = order.split([*counts.values(), left])
    return {name: part.sort().values for name, part in zip((*counts, "train"), parts, strict=True)}


def size_of(name: str, value: float, total: int) -> int:
    """A share or a number of `total`, as a number, at least 1."""
    if value <= 0 or (value >= 1 and value != int(value)):
        raise ValueError(f"{name} must be a share between 0 and 1 or a whole number of molecules, got {value}")
    return int(value) if value >= 1 else max(1, round(value * total))
