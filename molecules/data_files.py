"""Your own molecules: one file, or one for each split."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from flowsuite.molecules.data_base import MoleculeDataModule, Source, held_out, size_of
from flowsuite.molecules.encode import EncodedMolecules


class SplitFile(MoleculeDataModule):
    """A data set in files "train" and, if there are any, "val" and "test"; what has no file is drawn from "train".

    The draw is one of records of the file, before any is left out: with other atoms or sizes the same molecules are
    held out. Training molecules with the same constitution as one that is held out of their file are left out.

    Args:
        val: validation molecules where they have no file, a share or a number.
        test: test molecules where they have no file, a share or a number.
        split_seed: of the draw.
        kwargs: those of `MoleculeDataModule`.
    """

    def __init__(self, val: float = 0.05, test: float = 0.05, split_seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.val, self.test, self.split_seed = val, test, split_seed
        for name, value in (("val", val), ("test", test)):
            size_of(name, value, 1)
        self._drawn: dict[str, Tensor] = {}

    def records(self, part):
        sources = self.sources()
        missing = [split for split in ("val", "test") if split not in sources]
        if part in sources and (part != "train" or not missing):
            return part, None
        if not self._drawn:
            self._drawn = self.draw(missing)
        return "train", self._drawn[part]

    def draw(self, missing: list[str]) -> dict[str, Tensor]:
        """Numbers of the records of the source "train" that are "train" and the `missing` parts."""
        encoded = self.encoded("train")
        parts = held_out(encoded.report.total, {name: getattr(self, name) for name in missing}, self.split_seed)
        parts["train"] = without_copies(parts["train"], encoded)
        return parts


def without_copies(train: Tensor, encoded: EncodedMolecules) -> Tensor:
    """Those of the records `train` that have not the constitution of any other record."""
    training = torch.isin(encoded.records, train).tolist()
    others = {smiles for smiles, mine in zip(encoded.smiles, training, strict=True) if not mine}
    copies = [i for i, smiles in enumerate(encoded.smiles) if training[i] and smiles in others]
    return train[~torch.isin(train, encoded.records[copies])]


class SmilesFile(SplitFile):
    """Any file of molecules, see `flowsuite.molecules.readers.read_records` for the layouts.

    Args:
        path: .smi, .txt, .csv, .tsv (also .gz, .bz2), .sdf, .xyz, a folder of .xyz, or an .npz written by
            `flowsuite molecules encode`.
        val_path: file of the validation set; None: drawn from `path`.
        test_path: file of the test set; None: drawn from `path`.
        column: of SMILES in CSV files; found by its name if None.
        layout: of the files; told by their names if None.
        kwargs: those of `SplitFile` and `MoleculeDataModule`.
    """

    def __init__(
        self,
        path: str,
        val_path: str | None = None,
        test_path: str | None = None,
        column: str | None = None,
        layout: str | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.paths = {name: Path(p) for name, p in (("train", path), ("val", val_path), ("test", test_path)) if p}
        self.reading = {name: value for name, value in (("column", column), ("layout", layout)) if value is not None}

    def sources(self):
        return {name: Source(path, self.reading) for name, path in self.paths.items()}
