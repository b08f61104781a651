"""The PC15k layout, order and normalisation against the public PointFlow loader, on clouds made by a formula."""

import numpy as np
import pytest
import torch

from flowsuite.pointclouds.categories import SYNSETS
from flowsuite.pointclouds.data import ShapeNetPC15k

pytestmark = pytest.mark.reference_kind("pc15k-loader")

ROWS = 15000
SPLITS = ("train", "val", "test")


def write_clouds(root, config):
    """The files that the case's formula describes."""
    i, a = np.arange(ROWS)[:, None], np.arange(3)[None, :]
    formula = compile(config["formula"], "formula", "eval")
    for ci, category in enumerate(config["categories"]):
        for split, count in config["counts"][category].items():
            folder = root / SYNSETS[category] / split
            folder.mkdir(parents=True)
            for k in range(count):
                names = {"ci": ci, "si": SPLITS.index(split), "k": k, "i": i, "a": a}
                cloud = eval(formula, {"__builtins__": {}, "sin": np.sin, "cos": np.cos, "float32": np.float32}, names)
                np.save(folder / f"m{k:03d}.npy", cloud)


@pytest.fixture
def root(reference_case, tmp_path):
    write_clouds(tmp_path, reference_case.config["config"])
    return tmp_path


def options_of(case):
    return sorted({name.split("/")[0] for name in case.output if "/" in name})


def splits_of(case):
    return list(case.config["config"]["order"])


@pytest.mark.parametrize("cached", [False, True])
def test_order_and_labels(reference_case, root, cached):
    config = reference_case.config["config"]
    cache = str(root / "cache") if cached else None
    data = ShapeNetPC15k(root, config["categories"], cache=cache)
    for split, order in config["order"].items():
        clouds = data.clouds(split)
        assert list(clouds.names) == ["/".join(pair) for pair in order]
        assert torch.equal(clouds.labels, reference_case.output[f"{split}_cate_idx"])
        assert clouds.categories == config["categories"]


def test_normalisation(reference_case, root):
    config = reference_case.config["config"]
    options = options_of(reference_case)
    assert options
    for option in options:
        data = ShapeNetPC15k(root, config["categories"], normalize=option, evaluation="val")
        mean, std = data.statistics(data.clouds("train"))
        # The reference adds up in float32, which costs it a few 1e-7; ours is the float64 mean.
        torch.testing.assert_close(mean, reference_case.output[f"{option}/mean"], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(std, reference_case.output[f"{option}/std"], rtol=1e-5, atol=1e-6)


def test_points(reference_case, root):
    config = reference_case.config["config"]
    for option in options_of(reference_case):
        data = ShapeNetPC15k(root, config["categories"], normalize=option)
        for split in splits_of(reference_case):
            # The training split as evaluation items: the first points, not a random subset.
            source = data.dataset(split)
            source.training, source.n = False, data.eval_points
            batch = source.__getitems__(range(len(source)))
            for ours, theirs in (("points", "train_points"), ("reference", "test_points")):
                expected = reference_case.output[f"{option}/{split}_{theirs}_first16"]
                torch.testing.assert_close(batch[ours][:, :16], expected.float(), rtol=1e-5, atol=1e-6)
