"""The 15,000-point sets that PointFlow published, in the layouts they were distributed in (arXiv:1906.12320)."""

from __future__ import annotations

from pathlib import Path

from flowsuite.pointclouds.categories import MODELNET10, SYNSETS, did_you_mean, folder_of, name_of
from flowsuite.pointclouds.data_base import held_out
from flowsuite.pointclouds.data_files import CloudFiles, by_category


def subfolders(root: Path) -> list[str]:
    """Names of the folders in `root`, sorted."""
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder: set root to the folder of the data set")
    found = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not found:
        raise FileNotFoundError(f"{root} holds no folders of categories")
    return found


def as_list(categories: str | list[str]) -> list[str]:
    """A list of different categories, from one or several."""
    chosen = [categories] if isinstance(categories, str) else list(categories)
    if not chosen or len(set(chosen)) != len(chosen):
        raise ValueError(f"categories must be one or more different names, got {chosen}")
    return chosen


class ShapeNetPC15k(CloudFiles):
    """ShapeNetCore.v2.PC15k: `<root>/<synset>/{train,val,test}/<model>.npy`, each (15000, 3).

    Rows 0..9999 are training points, the rest held out. Files are sorted by name within a category (the published
    loader takes them as the file system lists them), the categories follow one another in the order given, and the
    whole is shuffled by Python's `random.Random(38383)`.

    The published figures of PointFlow and its successors are on the split "val": set `evaluation: val` for those.

    Args:
        root: the folder ShapeNetCore.v2.PC15k.
        categories: names ("airplane"), synsets ("02691156"), or "all": those in `root`, in the published order. A
            folder whose name is not a synset of ShapeNet is a category by that name.
        kwargs: those of `CloudFiles` and `PointCloudDataModule`.
    """

    def __init__(self, root: str = "data/ShapeNetCore.v2.PC15k", categories: str | list[str] = "all", **kwargs):
        super().__init__(root, **kwargs)
        self.categories = as_list(categories)

    def folders(self) -> list[str]:
        """Names of the folders of the categories, in order."""
        present = subfolders(self.root)
        if self.categories == ["all"]:
            known = [synset for synset in SYNSETS.values() if synset in present]
            return known + [name for name in present if name not in known]
        chosen = [folder_of(category) for category in self.categories]
        for category, folder in zip(self.categories, chosen, strict=True):
            if folder not in present:
                hint = "" if category in SYNSETS else did_you_mean(category, [name_of(name) for name in present])
                raise FileNotFoundError(f"{self.root} has no category {category!r} (folder {folder}){hint}")
        if len(set(chosen)) != len(chosen):
            raise ValueError(f"a category is given twice, by name and by synset: {', '.join(self.categories)}")
        return chosen

    def files(self, part):
        folders = self.folders()
        paths, labels = by_category([self.root / folder / part for folder in folders])
        return paths, labels, [name_of(folder) for folder in folders]


class ModelNetPC15k(CloudFiles):
    """ModelNet40.PC15k and ModelNet10.PC15k: `<root>/<category>/{train,test}/<model>.npy`, each (15000, 3).

    The order is that of `ShapeNetPC15k`. There is no published validation split.

    Args:
        root: the folder of the categories.
        categories: names, "all" (every folder in alphabetical order), or "modelnet10" (its ten).
        validation: training shapes drawn, with a fixed seed, for the validation split; 0 leaves the training split
            whole, as the linear probe needs it, and validates on the test split, as the published code does.
        split_seed: seed of that draw.
        kwargs: those of `CloudFiles` and `PointCloudDataModule`.
    """

    def __init__(
        self,
        root: str = "data/ModelNet40.PC15k",
        categories: str | list[str] = "all",
        validation: int = 0,
        split_seed: int = 0,
        **kwargs,
    ):
        super().__init__(root, **kwargs)
        if validation < 0:
            raise ValueError(f"validation must be at least 0, got {validation}")
        self.categories, self.validation, self.split_seed = as_list(categories), validation, split_seed

    def folders(self) -> list[str]:
        """Names of the categories, in order."""
        present = subfolders(self.root)
        if self.categories == ["all"]:
            return present
        chosen = list(MODELNET10) if self.categories == ["modelnet10"] else self.categories
        for category in chosen:
            if category not in present:
                raise FileNotFoundError(f"{self.root} has no category {category!r}{did_you_mean(category, present)}")
        return chosen

    def files(self, part):
        folders = self.folders()
        drawing = self.validation > 0 and part != "test"
        split = "train" if drawing else "test" if part == "val" else part
        paths, labels = by_category([self.root / folder / split for folder in folders])
        if drawing:
            kept, drawn = held_out(len(paths), self.validation, self.split_seed, "validation")
            chosen = drawn if part == "val" else kept
            paths, labels = [paths[i] for i in chosen], [labels[i] for i in chosen]
        return paths, labels, folders
