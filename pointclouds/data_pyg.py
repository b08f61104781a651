"""PyTorch Geometric's `ModelNet` (meshes) and `ShapeNet` (clouds with parts), as point clouds of one size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from flowsuite.core.training.files import reading, reason
from flowsuite.core.training.seeding import fold_seed
from flowsuite.core.training.torch_files import load_torch
from flowsuite.pointclouds.categories import MODELNET10, did_you_mean
from flowsuite.pointclouds.clouds import Clouds
from flowsuite.pointclouds.data_base import PointCloudDataModule, held_out
from flowsuite.pointclouds.data_folder import resample
from flowsuite.pointclouds.surface import sample_surface, unit_diagonal, z_up_to_y_up


def read_processed(path: Path, keys: list[str]) -> Iterator[dict[str, Tensor]]:
    """The examples of a file that PyG's `InMemoryDataset` saved; pickled objects other than its own are refused."""
    import torch_geometric.data  # noqa: F401  registers the classes that such a file may name

    with reading(path, "processed file of PyG"):
        packed, slices = load_torch(path)[:2]
        packed = packed if isinstance(packed, dict) else packed.to_dict()
    missing = [key for key in keys if key not in packed or key not in slices]
    if missing:
        raise ValueError(f"{path}: no {', '.join(missing)}, it has {', '.join(packed)}")
    with reading(path, "processed file of PyG"):
        for i in range(len(slices[keys[0]]) - 1):
            parts = {key: slice(int(slices[key][i]), int(slices[key][i + 1])) for key in keys}
            yield {key: packed[key][:, part] if key == "face" else packed[key][part] for key, part in parts.items()}


def process(root: Path, raw: Sequence[str], dataset: type, *arguments: object) -> None:
    """Has PyG process the files that are unpacked in `root/raw`.

    PyG would download what is missing, without a checksum to hold it against: here that is an error. `force_reload`
    keeps it from unpickling what lies in `root/processed`.

    Raises:
        FileNotFoundError, ValueError: one of the files `raw` is missing, or PyG cannot process them.
    """
    missing = next((root / "raw" / name for name in raw if not (root / "raw" / name).exists()), None)
    if missing is not None:
        where = getattr(dataset, "url", None) or dataset.urls[arguments[0]]
        raise FileNotFoundError(
            f"{missing} not found: unpack {where} in {root / 'raw'}; unchecked files are not fetched"
        )
    try:
        dataset(str(root), *arguments, force_reload=True)
    except Exception as error:
        raise ValueError(f"{root / 'raw'}: PyG cannot process it ({reason(error)})") from None


def pack(clouds: list[Tensor], path: Path) -> Tensor:
    """(S, N, 3) of clouds of one size, all finite."""
    if not clouds:
        raise ValueError(f"{path}: no shapes of the categories asked for")
    points = torch.stack(clouds).float()
    bad = (~points.isfinite()).flatten(1).any(dim=1).nonzero()
    if len(bad):
        raise ValueError(f"{path}: shape {int(bad[0, 0])} has points that are NaN or infinite")
    return points


class PyGModelNet(PointCloudDataModule):
    """`torch_geometric.datasets.ModelNet`: its meshes, with points sampled uniformly on their surfaces.

    The first time, PyG processes what is unpacked in `root/raw`; what it saved is read with `weights_only=True`.
    Nothing is downloaded: there is no checksum to compare a download with. ModelNet's vertical axis is the third; it
    becomes axis 1 here. Its units differ from mesh to mesh: every shape is scaled to a bounding box with diagonal 1.

    Args:
        root: PyG's folder of the data set.
        name: "10" or "40".
        rows: points of every shape.
        validation: training shapes drawn for validation; 0: validate on the test split.
        seed: of the points, and of that draw.
        kwargs: those of `PointCloudDataModule`.
    """

    def __init__(self, root: str, name: str = "10", rows: int = 15000, validation: int = 0, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        if name not in ("10", "40") or rows < 2 or validation < 0:
            raise ValueError(
                f'expected name "10" or "40", rows >= 2, validation >= 0, got {name}, {rows}, {validation}'
            )
        self.root, self.name, self.rows, self.validation, self.seed = Path(root), name, rows, validation, seed

    def prepare_data(self):
        if not (self.root / "processed" / "training.pt").exists():
            from torch_geometric.datasets import ModelNet

            process(self.root, MODELNET10, ModelNet, self.name)

    def source(self, part):
        self.prepare_data()
        if part == "test" or (part == "val" and not self.validation):
            return self.read("test")
        if not self.validation:
            return self.read("training")
        if "val" not in self._clouds:
            whole = self.read("training")
            parts = held_out(len(whole), self.validation, self.seed, "validation")
            self._clouds |= {name: whole.subset(part) for name, part in zip(("train", "val"), parts, strict=True)}
        return self._clouds[part]

    def read(self, stem: str) -> Clouds:
        path = self.root / "processed" / f"{stem}.pt"
        clouds, labels = [], []
        for i, mesh in enumerate(read_processed(path, ["pos", "face", "y"])):
            draw = torch.Generator().manual_seed(fold_seed(self.seed, "modelnet", stem, i))
            try:
                cloud = sample_surface(mesh["pos"].float(), mesh["face"].T, self.rows, draw)
            except (ValueError, IndexError) as error:
                raise ValueError(f"{path}: mesh {i}: {error}") from None
            clouds.append(unit_diagonal(z_up_to_y_up(cloud)[None])[0])
            labels.append(int(mesh["y"]))
        categories = self.categories(max(labels, default=0) + 1)
        names = [f"{categories[label]}/{stem}/{i:05d}" for i, label in enumerate(labels)]
        return Clouds(pack(clouds, path), torch.tensor(labels), names, categories)

    def categories(self, n: int) -> list[str]:
        raw = self.root / "raw"
        found = sorted(p.name for p in raw.iterdir() if p.is_dir()) if raw.is_dir() else []
        if len(found) < n and self.name == "10":
            found = list(MODELNET10)
        return found if len(found) >= n else [f"category{i}" for i in range(n)]


class PyGShapeNet(PointCloudDataModule):
    """`torch_geometric.datasets.ShapeNet`: the clouds of the part segmentation benchmark, with axis 1 up.

    They have 500 to 3,000 points, so each is brought to `rows` by a fixed random choice (small ones repeat points,
    held-out ones among them): good for generation, not for figures comparable with ShapeNetCore.v2.PC15k.

    Args:
        root: PyG's folder of the data set, processed for the same categories; of what is in `root/raw` PyG does it the
            first time.
        categories: PyG's names ("Airplane", "Chair", ...) or "all".
        rows: points of every shape.
        eval_points: as in `PointCloudDataModule`.
        kwargs: those of `PointCloudDataModule`.
    """

    def __init__(
        self, root: str, categories: str | list[str] = "all", rows: int = 2048, eval_points: int = 512, **kwargs
    ):
        super().__init__(eval_points=eval_points, **kwargs)
        self.root, self.rows = Path(root), rows
        self.chosen = [categories] if isinstance(categories, str) else list(categories)

    def categories(self) -> list[str]:
        from torch_geometric.datasets import ShapeNet

        known = list(ShapeNet.category_ids)
        if self.chosen == ["all"]:
            return known
        for name in self.chosen:
            if name not in known:
                raise ValueError(f"unknown category {name!r}{did_you_mean(name, known)}")
        return self.chosen

    def processed(self, part: str) -> Path:
        stem = "_".join(name[:3].lower() for name in self.categories())
        return self.root / "processed" / f"{stem}_{part}.pt"

    def prepare_data(self):
        if not self.processed("train").exists():
            from torch_geometric.datasets import ShapeNet

            raw = [*ShapeNet.category_ids.values(), "train_test_split"]
            process(self.root, raw, ShapeNet, self.categories())

    def source(self, part):
        self.prepare_data()
        path, categories = self.processed(part), self.categories()
        clouds, labels = [], []
        for i, shape in enumerate(read_processed(path, ["pos", "category"])):
            seed = fold_seed("shapenet", part, i)
            clouds.append(torch.from_numpy(resample(shape["pos"].numpy(), self.rows, seed)))
            labels.append(int(shape["category"]))
        names = [f"{categories[label]}/{part}/{i:05d}" for i, label in enumerate(labels)]
        return Clouds(pack(clouds, path), torch.tensor(labels), names, categories)
