"""The readers of `flowsuite.core`."""

from __future__ import annotations

import gzip
import json
import pickle
import struct
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from flowsuite.core.data.frames import read_frame_pickle
from flowsuite.core.data.idx import read_idx
from flowsuite.core.data.numbers import read_csv
from flowsuite.core.data.table import Table
from flowsuite.core.data.tabular import read_hdf5
from flowsuite.core.data.tabular_hepmass import cached, signal_rows
from flowsuite.core.training.checkpoint import build_module, load_module, read_checkpoint, save_module
from flowsuite.core.training.demo_page import read_clouds
from flowsuite.core.training.files import read_json
from flowsuite.core.training.importing import main as import_main
from flowsuite.core.training.importing import read_config, read_weights
from flowsuite.core.training.inputs import read_data_config
from flowsuite.core.training.numpy_files import load_npy, load_npz
from flowsuite.core.training.pickles import load_array_pickle
from flowsuite.core.training.pictures import open_image
from tests.fuzz.harness import Reader, write

RANDOM = np.random.default_rng(0)
TABLE = RANDOM.normal(size=(30, 3)).round(4)
CSV = "a,b,c\n" + "".join(f"{a},{b},{c}\n" for a, b, c in TABLE)
IDX = struct.pack(">4i", 2051, 2, 3, 4) + bytes(range(24))
WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.zeros(2)}
MODULE = "flowsuite.core.training.module.FlowModule"
SPLINE = {"class_path": "flowsuite.core.spline_flow.SplineFlow", "init_args": {"dims": 2}}


def write_frame(path: Path) -> None:
    import pandas

    frame = pandas.DataFrame(TABLE, columns=["Meth", "Eth", "Time"])
    with open(path, "wb") as file:
        pickle.dump(frame, file, protocol=2)


def write_hdf5(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["train"], file["test"] = TABLE, TABLE[:5]


def write_picture(path: Path) -> None:
    from PIL import Image

    Image.fromarray(RANDOM.integers(0, 256, (12, 10, 3), dtype=np.uint8)).save(path)


def write_import(path: Path) -> None:
    """The configuration of some model, with weights beside it that are none of its: whatever it says is refused."""
    torch.save(WEIGHTS, path.with_name("model.pt"))
    path.write_text(json.dumps({"dims": 2, "features": 2, "n_flow": 1, "n_block": 1, "hidden": [8], "layers": {}}))


def import_as(kind: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        weights, out = path.with_name("model.pt"), path.with_name("out.ckpt")
        import_main([kind, str(weights), "--config", str(path), "--out", str(out)])

    return read


def save_checkpoint(path: Path) -> None:
    torch.manual_seed(0)
    save_module(path, build_module(MODULE, {"flow": SPLINE}))


def write_hepmass(path: Path) -> None:
    rows = "".join(f"{i % 2}.0,{a},{b},{c}\n" for i, (a, b, c) in enumerate(TABLE))
    path.write_text("label,a,b,c\n" + rows)


def write_cache(path: Path) -> None:
    path.with_name("source.csv").write_text(CSV)
    made = cached([path.with_name("source.csv")], lambda: (TABLE, TABLE, TABLE))
    assert len(made) == 3
    next(path.parent.glob("flowsuite-*.npz")).rename(path)


def read_cache(path: Path):
    """Whatever is in the cache, the result is what would be made anew."""
    source = path.with_name("source.csv")
    cached([source], lambda: (TABLE, TABLE, TABLE))
    kept = next(path.parent.glob("flowsuite-*.npz"))
    kept.write_bytes(path.read_bytes())
    splits = cached([source], lambda: (TABLE, TABLE, TABLE))
    if not all(np.array_equal(part, TABLE.astype(np.float32)) for part in splits):
        raise ValueError(f"{path}: other numbers, which nothing can tell from the right ones")
    kept.unlink(missing_ok=True)


READERS = [
    Reader("idx", "images-idx3-ubyte", write(IDX), read_idx),
    Reader("idx gz", "images-idx3-ubyte.gz", write(gzip.compress(IDX)), read_idx),
    Reader("array pickle 2", "batch", write(pickle.dumps({b"data": TABLE, "n": [1]}, 2)), load_array_pickle),
    Reader("array pickle 5", "batch", write(pickle.dumps([TABLE], 5)), load_array_pickle),
    Reader("frame pickle", "ethylene_CO.pickle", write_frame, read_frame_pickle),
    Reader("csv", "table.csv", write(CSV), read_csv, finite=True),
    Reader("table csv", "table.csv", write(CSV), lambda path: Table(path, test=0.2).mean, finite=True),
    Reader("table npy", "table.npy", lambda path: np.save(path, TABLE), lambda path: Table(path).mean, finite=True),
    Reader("table npz", "t.npz", lambda path: np.savez(path, x=TABLE), lambda path: Table(path).mean, finite=True),
    Reader("hepmass", "1000_train.csv", write_hepmass, signal_rows, finite=True),
    Reader("hepmass cache", "kept.npz", write_cache, read_cache, refuses=False),
    Reader("hdf5", "BSDS300.hdf5", write_hdf5, lambda path: read_hdf5(path, ("train", "test"))),
    Reader("npy", "array.npy", lambda path: np.save(path, TABLE), load_npy),
    Reader("npy of columns first", "a.npy", lambda path: np.save(path, TABLE.T.astype(">f4")), load_npy),
    Reader("npz", "arrays.npz", lambda path: np.savez(path, a=TABLE, b=np.arange(3)), load_npz),
    Reader("npz deflated", "arrays.npz", lambda path: np.savez_compressed(path, a=TABLE, b="text"), load_npz),
    Reader("json", "figures.json", write(json.dumps({"a": [1, 2.5], "b": {"c": "text"}})), read_json),
    Reader("demo clouds", "clouds.npy", lambda path: np.save(path, TABLE), read_clouds, finite=True),
    Reader("checkpoint", "last.ckpt", save_checkpoint, read_checkpoint),
    Reader("module", "last.ckpt", save_checkpoint, load_module, share=0.3),
    Reader("weights pt", "model.pt", lambda path: torch.save({"model": WEIGHTS}, path), read_weights),
    Reader(
        "weights pt, old format",
        "model.pth",
        lambda path: torch.save(WEIGHTS, path, _use_new_zipfile_serialization=False),
        read_weights,
    ),
    Reader("weights npz", "model.npz", lambda path: np.savez(path, **{"param/a": TABLE}), read_weights),
    Reader("config", "config.json", write(json.dumps({"n_flow": 2, "img_size": 8, "affine": True})), read_config),
    Reader("config of data", "config.yaml", write("data:\n  class_path: a.B\n"), read_data_config),
    Reader("import", "config.json", write_import, import_as("rosinality-glow"), random=False, valid=False),
    *(
        Reader(f"image {kind}", f"a.{kind}", write_picture, open_image)
        for kind in ("png", "jpg", "gif", "bmp", "ppm", "webp", "tif")
    ),
]


def write_safetensors(path: Path) -> None:
    from safetensors.torch import save_file

    save_file(WEIGHTS, path)


if find_spec("safetensors"):
    READERS.append(Reader("weights safetensors", "model.safetensors", write_safetensors, read_weights))
