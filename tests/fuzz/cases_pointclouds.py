"""The readers of `flowsuite.pointclouds`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from flowsuite.pointclouds.build import Job, convert, is_done, read_splits
from flowsuite.pointclouds.clouds import load_clouds, map_clouds, read_cloud
from flowsuite.pointclouds.compare import read_set
from flowsuite.pointclouds.data_pyg import PyGModelNet, read_processed
from flowsuite.pointclouds.meshes import read_mesh
from flowsuite.pointclouds.ply import read_ply_points, write_ply
from flowsuite.pointclouds.render_files import clouds_of
from tests.fuzz.harness import Reader, write
from tests.pointclouds.files import SQUARE_OFF, cloud

OBJ = "v 0 0 0\nv 2 0 0\nv 2 0 2\nv 0 0 2\nf 1/1 2/2 3/3 4\nf -1 -2 -3\n"
HEADER = (
    "ply\nformat {kind} 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
)
SQUARE = np.array([[0, 0, 0], [2, 0, 0], [2, 0, 2], [0, 0, 2]], np.float32)
SPLITS = "id,synsetId,modelId,split\n1,02691156,abc,train\n2,03001627,def,test\n"


def ascii_ply() -> str:
    rows = "".join(f"{x} {y} {z}\n" for x, y, z in SQUARE)
    return HEADER.format(kind="ascii") + rows + "3 0 1 2\n3 0 2 3\n"


def binary_ply(order: str, sizes: tuple[int, int] = (3, 3)) -> bytes:
    """Lists of one length are read at once, others one by one."""
    kind = {"<": "binary_little_endian", ">": "binary_big_endian"}[order]
    faces = b"".join(bytes([n]) + np.arange(n).astype(f"{order}i4").tobytes() for n in sizes)
    return HEADER.format(kind=kind).encode() + SQUARE.astype(f"{order}f4").tobytes() + faces


def save_cloud(path: Path) -> None:
    np.save(path, cloud(0, 20).astype(np.float32))


def map_anew(path: Path):
    packed = map_clouds([path], path.parent / "cache")
    return packed


def build(path: Path):
    job = Job(path, path.with_name("out.npy"), 16, 0, "y", "none")
    problem = convert(job)
    if problem:
        raise ValueError(problem)
    return np.load(job.target, allow_pickle=False)


def write_processed(path: Path) -> None:
    """As PyG saves a list of meshes of one triangle each."""
    from torch_geometric.data import Data
    from torch_geometric.data import InMemoryDataset as Dataset

    triangle = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    parts = {"face": torch.tensor([[0], [1], [2]]), "y": torch.tensor([1]), "category": torch.tensor([0])}
    meshes = [Data(pos=triangle * (i + 1), **parts) for i in range(2)]
    packed, slices = Dataset.collate(meshes)
    torch.save((packed.to_dict(), slices, Data), path)


READERS = [
    Reader("cloud", "a.npy", save_cloud, read_cloud, finite=True),
    Reader("clouds", "a.npy", save_cloud, lambda path: load_clouds([path]), finite=True),
    Reader("mapped clouds", "a.npy", save_cloud, map_anew, finite=True),
    Reader("set npy", "set.npy", lambda path: np.save(path, cloud(0, 20)[None]), lambda path: read_set(str(path))),
    Reader("set npz", "set.npz", lambda path: np.savez(path, x=cloud(0, 20)[None]), lambda path: read_set(str(path))),
    Reader("set folder", "set/a.npy", save_cloud, lambda path: read_set(str(path.parent)), finite=True),
    Reader("clouds to draw", "a.npy", lambda path: np.save(path, cloud(0, 20)[None]), clouds_of, finite=True),
    Reader("ply cloud", "a.ply", lambda path: write_ply(path, torch.from_numpy(SQUARE)), clouds_of, finite=True),
    Reader("ply ascii cloud", "a.ply", write(ascii_ply()), read_ply_points, finite=True),
    Reader("ply ascii", "a.ply", write(ascii_ply()), read_mesh, finite=True),
    Reader("ply binary", "a.ply", write(binary_ply("<")), read_mesh, finite=True),
    Reader("ply binary, big endian", "a.ply", write(binary_ply(">")), read_mesh, finite=True),
    Reader("ply of many sizes", "a.ply", write(binary_ply("<", (3, 4))), read_mesh, finite=True),
    Reader("off", "a.off", write(SQUARE_OFF), read_mesh, finite=True),
    Reader("obj", "a.obj", write(OBJ), read_mesh, finite=True),
    Reader("build", "a.off", write(SQUARE_OFF), build, finite=True),
    Reader("splits", "all.csv", write(SPLITS), read_splits),
    Reader(
        "built before",
        "a.npy",
        save_cloud,
        lambda path: is_done(Job(path.with_suffix(".off"), path, 20, 0, "y", "none")),
    ),
    Reader(
        "PyG ModelNet",
        "processed/test.pt",
        write_processed,
        lambda path: PyGModelNet(str(path.parents[1]), rows=8).read("test").points,
        finite=True,
    ),
    Reader("PyG file", "test.pt", write_processed, lambda path: list(read_processed(path, ["pos", "y"]))),
]
