"""What the commands that take a trained PointFlow share: its checkpoint, clouds by name, arguments."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from flowsuite.core.training import inputs
from flowsuite.core.training.files import check_writable
from flowsuite.core.training.model_options import QUIET, add_model_options, open_model, png, positive
from flowsuite.pointclouds import data as data_modules
from flowsuite.pointclouds.checks import as_clouds
from flowsuite.pointclouds.compare import read_set
from flowsuite.pointclouds.data_base import PointCloudDataModule
from flowsuite.pointclouds.normalize import check_normalization
from flowsuite.pointclouds.pointflow import PointFlow

ABSTRACT = ("PointCloudDataModule", "CloudFiles")
MODULES = {name: getattr(data_modules, name) for name in data_modules.__all__ if name not in ABSTRACT}
Batch = dict[str, Tensor]


class FileClouds(torch.utils.data.Dataset):
    """Clouds from files, all points of each, normalised with the statistics of a model; batches as of `CloudSet`."""

    def __init__(self, clouds: Tensor, flow: PointFlow):
        self.clouds, self.mean, self.std = clouds, flow.mean.cpu(), flow.std.cpu()

    def __len__(self) -> int:
        return len(self.clouds)

    def __getitems__(self, indices: list[int]) -> Batch:
        n = len(indices)
        points = (self.clouds[indices] - self.mean) / self.std
        return {"points": points, "mean": self.mean.expand(n, -1, -1), "std": self.std.expand(n, -1, -1)}


def data_module(name: str, options: str = "{}") -> PointCloudDataModule:
    """A data module by class name, or the one that a recipe (or a configuration file) configures."""
    return inputs.data_module(name, options, MODULES, "flowsuite.pointclouds.data", "a .npy, .npz, a folder of .npy")


def open_clouds(spec: str, flow: PointFlow, split: str = "test", options: str = "{}"):
    """The clouds that `spec` names: a `.npy`, `.npz` or folder of `.npy`, else a data module or a recipe."""
    path = Path(spec)
    if path.suffix in (".npy", ".npz") or path.is_dir():
        return FileClouds(as_clouds(read_set(spec), spec), flow)
    data = data_module(spec, options)
    check_normalization(data, flow.mean, flow.std)
    return data.dataset(split)


def take(dataset, indices: list[int], device: torch.device) -> Batch:
    """The batch of the given numbers."""
    for i in indices:
        if not 0 <= i < len(dataset):
            raise ValueError(f"cloud number {i} does not exist: the set has {len(dataset)}, numbered from 0")
    return {name: value.to(device) for name, value in dataset.__getitems__(indices).items()}


def batches(dataset, size: int, device: torch.device, num: int | None = None, what: str = "") -> Iterator[Batch]:
    """The first `num` clouds in order, all if None; with a progress bar called `what`, if not empty."""
    from rich.progress import track

    num = len(dataset) if num is None else num
    if num > len(dataset):
        raise ValueError(f"asked for {num} clouds, the set has {len(dataset)}")
    starts = range(0, num, size)
    for start in track(starts, what) if what else starts:
        yield take(dataset, list(range(start, min(start + size, num))), device)


def in_units(points: Tensor, batch: Batch) -> Tensor:
    """Normalised points of a batch in the units of the data, on the CPU."""
    return (points * batch["std"] + batch["mean"]).float().cpu()


def load_model(args: argparse.Namespace):
    """The module of a checkpoint, on the device asked for, once it is clear that the results can be written; the seed
    is set."""
    check_writable(vars(args).get("out"), vars(args).get("json"))
    from flowsuite.pointclouds.module import PointFlowModule

    torch.manual_seed(args.seed)
    return open_model(args, PointFlowModule, "a PointFlowModule")


def make_parser(name: str, what: str, example: str, picture: bool = True) -> argparse.ArgumentParser:
    """A parser with the arguments of all these commands."""
    example = f"examples:\n  flowsuite pointclouds {name} --ckpt_path best.ckpt {example}"
    parser = argparse.ArgumentParser(
        f"flowsuite pointclouds {name}",
        description=what,
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add_model_options(parser, "a trained PointFlow")
    where = ".npy, .npz or folder of .npy in the units of the training data; a data module such as Shapes; or a recipe"
    add("--data", required=True, help=where)
    add("--data_args", default="{}", metavar="JSON", help="arguments of the data module")
    add("--split", default="test", choices=("train", "val", "test"), help="of a data set (%(default)s)")
    add("--batch_size", type=positive, default=32, help="clouds at a time (%(default)s)")
    add("--quiet", action="store_true", help=QUIET)
    if picture:
        add("--out", required=True, metavar="FILE.png", type=png, help="the picture to write")
    return parser
