"""PyG's ModelNet and ShapeNet, from small files that PyG itself has written."""

from __future__ import annotations

import json

import pytest
import torch

from flowsuite.pointclouds.data import PyGModelNet, PyGShapeNet
from flowsuite.pointclouds.data_pyg import read_processed
from tests.pointclouds.files import SQUARE_OFF

pytest.importorskip("torch_geometric")

CATEGORIES = ("bathtub", "bed", "chair", "desk", "dresser", "monitor", "night_stand", "sofa", "table", "toilet")


def write_modelnet(root):
    for number, category in enumerate(CATEGORIES):
        for split, size in (("train", 2), ("test", 1)):
            folder = root / "raw" / category / split
            folder.mkdir(parents=True)
            for k in range(size):
                triangle = SQUARE_OFF.replace("4 0 1 2 3", "3 0 1 2").replace("2 0 2", f"2 0 {2 + number}")
                (folder / f"{category}_{k:04d}.off").write_text(triangle)


def write_shapenet(root):
    from torch_geometric.datasets import ShapeNet

    raw = root / "raw"
    (raw / "train_test_split").mkdir(parents=True)
    for split, size in (("train", 3), ("val", 1), ("test", 2)):
        names = []
        for synset in ("02691156", "03001627"):
            (raw / synset).mkdir(exist_ok=True)
            for k in range(size):
                table = torch.randn(30 + k, 7)
                table[:, 6] = 0
                rows = "\n".join(" ".join(f"{value:.5f}" for value in row) for row in table.tolist())
                (raw / synset / f"{split}{k}.txt").write_text(rows)
                names.append(f"shape_data/{synset}/{split}{k}")
        (raw / "train_test_split" / f"shuffled_{split}_file_list.json").write_text(json.dumps(names))
    for name in ShapeNet.category_ids.values():  # PyG asks for every category's folder
        (raw / name).mkdir(exist_ok=True)


@pytest.mark.filterwarnings("ignore")
def test_modelnet(tmp_path, capfd):
    write_modelnet(tmp_path)
    data = PyGModelNet(str(tmp_path), rows=300, points=50, eval_points=50, batch_size=4)
    clouds = data.clouds("train")
    assert clouds.points.shape == (20, 300, 3) and clouds.categories == list(CATEGORIES)
    assert sorted(clouds.labels.tolist()) == sorted(list(range(10)) * 2)
    assert [len(data.dataset(split)) for split in ("val", "test")] == [10, 10]
    low, high = clouds.points.amin(1), clouds.points.amax(1)
    assert ((high - low).norm(dim=1) - 1).abs().max() < 0.1
    # The square lies in x and z, the vertical of ModelNet, which is axis 1 here.
    assert clouds.points[..., 2].abs().max() < 1e-5 and (high - low)[:, 1].min() > 0.3
    assert next(iter(data.train_dataloader()))["points"].shape == (4, 50, 3)
    again = PyGModelNet(str(tmp_path), rows=300, validation=5, points=50, eval_points=50)
    assert [len(again.dataset(split)) for split in ("train", "val", "test")] == [15, 5, 10]


@pytest.mark.filterwarnings("ignore")
def test_shapenet(tmp_path, capfd):
    write_shapenet(tmp_path)
    data = PyGShapeNet(str(tmp_path), ["Airplane", "Chair"], rows=33, points=20, eval_points=10)
    assert [len(data.dataset(split)) for split in ("train", "val", "test")] == [6, 2, 4]
    clouds = data.clouds("train")
    assert clouds.points.shape == (6, 33, 3) and sorted(clouds.labels.tolist()) == [0, 0, 0, 1, 1, 1]
    assert clouds.categories == ["Airplane", "Chair"]
    shape = next(iter(read_processed(data.processed("train"), ["pos", "category"])))
    assert {tuple(row) for row in clouds.points[0].tolist()} == {tuple(row) for row in shape["pos"].tolist()}
    with pytest.raises(ValueError, match="unknown category 'Char'; did you mean"):
        PyGShapeNet(str(tmp_path), "Char").clouds("train")


class Evil:
    def __reduce__(self):
        return (print, ("this ran",))


def test_pickled_code_is_refused(tmp_path, capfd):
    path = tmp_path / "processed" / "training.pt"
    path.parent.mkdir()
    torch.save((Evil(), {}), path)
    with pytest.raises(ValueError, match=r"training.pt: not a readable processed file of PyG") as error:
        PyGModelNet(str(tmp_path)).clouds("train")
    assert "\n" not in str(error.value) and "this ran" not in capfd.readouterr().out
    torch.save(({"pos": torch.zeros(3, 3)}, {"pos": torch.tensor([0, 3])}), path)
    with pytest.raises(ValueError, match=r"training\.pt: no face, y, it has pos"):
        PyGModelNet(str(tmp_path)).clouds("train")
