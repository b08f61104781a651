"""The published data sets: QM9, ZINC250k, MOSES."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from flowsuite.core.training.files import find_file, read_json
from flowsuite.molecules.data_base import Source, held_out
from flowsuite.molecules.data_files import SplitFile, without_copies


class HoldOut(SplitFile):
    """A published file in a folder, whose test set is a published list of its rows, if that is there.

    Args:
        root: folder with one of the data set's files, or the file itself.
        holdout: list of rows to test on; None: the published one if the folder has it, else a seeded draw; "" draws
            in any case.
        holdout_base: number of the first row in such a list; 1 in MoFlow's and GraphNVP's.
        column: of SMILES in a CSV file; found by its name if None.
        kwargs: those of `SplitFile` and `MoleculeDataModule`.
    """

    files: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()

    def __init__(
        self, root: str, holdout: str | None = None, holdout_base: int = 1, column: str | None = None, **kwargs
    ):
        super().__init__(**kwargs)
        self.root, self.holdout, self.holdout_base = Path(root), holdout, holdout_base
        self.reading = {"column": column} if column is not None else {}

    @property
    def folder(self) -> Path:
        return self.root if self.root.is_dir() else self.root.parent

    def sources(self):
        if self.root.is_file():
            return {"train": Source(self.root, self.reading)}
        if (self.root / "train.txt").is_file():  # JT-VAE's splits
            parts = (("train", ["train.txt"]), ("val", ["valid.txt", "val.txt"]), ("test", ["test.txt"]))
            return {part: Source(find_file(self.root, names)) for part, names in parts}
        names = [name + packed for name in self.files for packed in ("", ".gz", ".bz2")]
        return {"train": Source(find_file(self.root, names, f"expected one of {', '.join(self.files)}"), self.reading)}

    def holdout_file(self) -> Path | None:
        """The list of rows to test on."""
        if self.holdout is not None:
            return Path(self.holdout) if self.holdout else None
        return next((self.folder / name for name in self.lists if (self.folder / name).is_file()), None)

    def draw(self, missing):
        path = self.holdout_file()
        if path is None or "test" not in missing:
            return super().draw(missing)
        encoded = self.encoded("train")
        total = encoded.report.total
        test = read_rows(path, total, self.holdout_base)
        kept = torch.ones(total, dtype=torch.bool)
        kept[test] = False
        rest = kept.nonzero()[:, 0]
        drawn = held_out(len(rest), {"val": self.val}, self.split_seed)
        parts = {name: rest[part] for name, part in drawn.items()}
        return {**parts, "test": test, "train": without_copies(parts["train"], encoded)}


def read_rows(path: Path, total: int, base: int = 1) -> Tensor:
    """Rows 0..total-1 from a JSON list of numbers that begin at `base`, or of a dictionary with one such list."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} not found: expected a JSON list of rows to hold out")
    try:
        values = read_json(path)
        if isinstance(values, dict):
            (values,) = values.values()
        rows = torch.tensor([int(value) - base for value in values], dtype=torch.long)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: not a JSON list of row numbers ({error})") from None
    if not len(rows) or int(rows.min()) < 0 or int(rows.max()) >= total:
        low, high = (int(rows.min()) + base, int(rows.max()) + base) if len(rows) else ("none", "none")
        raise ValueError(f"{path}: rows {low} to {high} do not fit {total} molecules numbered from {base}")
    return rows.unique()


class QM9(HoldOut):
    """QM9 (doi:10.1038/sdata.2014.22): 133,885 molecules of up to nine C, N, O, F.

    `root` holds one of `files`, as .gz too: a CSV or list of SMILES, gdb9.sdf, or the raw archive or folder of .xyz;
    and perhaps MoFlow's list of 13,082 rows to test on, `valid_idx_qm9.json`.

    Args:
        root, kwargs: see `HoldOut`, `SplitFile`, `MoleculeDataModule`.
        atoms: as there.
        max_atoms: as there.
        window: as there.
    """

    files = (
        *("qm9_property.csv", "qm9.csv", "qm9.smi", "qm9_train.smi", "gdb9.sdf"),
        *("dsgdb9nsd.xyz.tar", "dsgdb9nsd.xyz", "dsgdb9nsd"),
    )
    lists = ("valid_idx_qm9.json",)

    def __init__(
        self, root: str, atoms: Sequence[str] | str = "qm9-charged", max_atoms: int = 9, window: int = 8, **kwargs
    ):
        super().__init__(root, atoms=atoms, max_atoms=max_atoms, window=window, **kwargs)


class ZINC250k(HoldOut):
    """ZINC250k (arXiv 1610.02415): 249,455 drug-like molecules of 6 to 38 heavy atoms.

    `root` holds one of `files`, as .gz too, and perhaps MoFlow's list of 24,887 rows to test on, `valid_idx_zinc.json`;
    or JT-VAE's train.txt, valid.txt and test.txt.

    Args:
        root, kwargs: see `HoldOut`, `SplitFile`, `MoleculeDataModule`.
        atoms: as there.
        max_atoms: as there.
        window: as there.
    """

    files = (
        *(
            "250k_rndm_zinc_drugs_clean_3.csv",
            "250k_rndm_zinc_drugs_clean_sorted.smi",
            "250k_rndm_zinc_drugs_clean.smi",
        ),
        *("zinc250k_property.csv", "zinc250k.csv", "zinc250k.smi", "zinc250k_valid.smi"),
    )
    lists = ("valid_idx_zinc.json", "valid_idx_zinc250k.json")

    def __init__(
        self,
        root: str,
        atoms: Sequence[str] | str = "zinc250k-charged",
        max_atoms: int = 38,
        window: int = 12,
        **kwargs,
    ):
        super().__init__(root, atoms=atoms, max_atoms=max_atoms, window=window, **kwargs)


class MOSES(SplitFile):
    """MOSES (arXiv 1811.12823): 1.6 million training molecules, 176 thousand test, and as many of unseen scaffolds.

    `root` holds `dataset_v1.csv`, whose column SPLIT says train, test or test_scaffolds, or `train.csv`, `test.csv`
    and, if wanted, `test_scaffolds.csv`, as .gz too. The validation set is drawn from the training set. The scaffold
    test set is `smiles("test_scaffolds")`, `packed("test_scaffolds")`.

    Args:
        root: the folder.
        val: validation molecules, a share or a number.
        check_every: as in `MoleculeDataModule`.
        atoms: as there.
        max_atoms: as there.
        window: as there.
        kwargs: those of `SplitFile` and `MoleculeDataModule`.
    """

    def __init__(
        self,
        root: str,
        val: float = 10000,
        check_every: int = 20,
        atoms: Sequence[str] | str = "moses",
        max_atoms: int = 30,
        window: int = 12,
        **kwargs,
    ):
        super().__init__(val=val, check_every=check_every, atoms=atoms, max_atoms=max_atoms, window=window, **kwargs)
        self.root = Path(root)

    def sources(self):
        for whole in ("dataset_v1.csv", "dataset_v1.csv.gz"):
            if (path := self.root / whole).is_file():
                parts = ("train", "test", "test_scaffolds")
                return {part: Source(path, {"where": ("SPLIT", part)}) for part in parts}
        names = {part: [f"{part}.csv", f"{part}.csv.gz"] for part in ("train", "test", "test_scaffolds")}
        found = {part: Source(find_file(self.root, names[part], "or dataset_v1.csv")) for part in ("train", "test")}
        if any((self.root / name).is_file() for name in names["test_scaffolds"]):
            found["test_scaffolds"] = Source(find_file(self.root, names["test_scaffolds"]))
        return found
