"""Writes a few images in each container that the data sets are distributed in."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from tests.tfrecords import example, record


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">{1 + array.ndim}i", 2048 + array.ndim, *array.shape) + array.tobytes()


def write_mnist(root: Path, n: int = 12, zipped: bool = True) -> dict[str, np.ndarray]:
    root.mkdir(parents=True, exist_ok=True)
    written = {}
    for seed, prefix in enumerate(("train", "t10k")):
        images, labels = pixels(n, 28, 28, seed=seed), (np.arange(n) % 10).astype(np.uint8)
        written[prefix] = images
        for name, array in ((f"{prefix}-images-idx3-ubyte", images), (f"{prefix}-labels-idx1-ubyte", labels)):
            data = idx_bytes(array)
            (root / (name + ".gz" if zipped else name)).write_bytes(gzip.compress(data) if zipped else data)
    return written


def write_cifar(root: Path, n: int = 4, binary: bool = False) -> dict[str, np.ndarray]:
    folder = root / ("cifar-10-batches-bin" if binary else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    written = {}
    for seed, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        data, labels = pixels(n, 3072, seed=seed), [(seed + i) % 10 for i in range(n)]
        written[name] = data
        if binary:
            records = np.concatenate((np.array(labels, np.uint8)[:, None], data), axis=1)
            (folder / f"{name}.bin").write_bytes(records.tobytes())
        else:
            batch = {"data": data, "labels": labels, "batch_label": name, "filenames": ["x.png"] * n}
            (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    return written


def write_svhn(root: Path, n: int = 8) -> np.ndarray:
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    for seed, part in enumerate(("train", "test", "extra")):
        images, labels = pixels(32, 32, 3, n, seed=seed), (np.arange(n) % 10 + 1).astype(np.uint8)[:, None]
        savemat(root / f"{part}_32x32.mat", {"X": images, "y": labels})
    return images


def encoded(array: np.ndarray, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return buffer.getvalue()


def write_celeba(root: Path, n: int = 9) -> None:
    folder = root / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    names = [f"{i:06d}.jpg" for i in range(1, n + 1)]
    rows = np.linspace(0, 255, 218).astype(np.uint8)[:, None, None]
    for i, name in enumerate(names):
        picture = np.broadcast_to(rows, (218, 178, 3)).copy()
        picture[..., 2] = 10 * i
        (folder / name).write_bytes(encoded(picture, "JPEG"))
    partition = "".join(f"{name} {min(2, 3 * i // n)}\n" for i, name in enumerate(names))
    (folder.parent / "list_eval_partition.txt").write_text(partition)
    attributes = "".join(f"{name} {'1' if i % 2 else '-1'} -1\n" for i, name in enumerate(names))
    (folder.parent / "list_attr_celeba.txt").write_text(f"{n}\nSmiling Young\n{attributes}")


def write_celebahq(root: Path, size: int = 16, n: int = 6) -> np.ndarray:
    """TFRecords with zeros for checksums, which nobody reads."""
    for seed, part in enumerate(("train", "validation")):
        (root / part).mkdir(parents=True)
        images, log2 = pixels(n, size, size, 3, seed=seed), size.bit_length() - 1
        for half in range(2):
            with open(root / part / f"{part}-r{log2:02d}-s-{half:04d}-of-0002.tfrecords", "wb") as file:
                for i in range(half * n // 2, (half + 1) * n // 2):
                    attributes = [1 if (i + k) % 2 else -1 for k in range(40)]
                    fields = {"shape": [size, size, 3], "data": images[i].tobytes(), "label": [i], "attr": attributes}
                    file.write(record(example(fields), checksum=None))
    return images


def write_imagenet(root: Path, size: int = 32, n: int = 6, tar: bool = False) -> np.ndarray:
    root.mkdir(parents=True, exist_ok=True)
    for seed, part in enumerate(("train", "valid")):
        name, images = f"{part}_{size}x{size}", pixels(n, size, size, 3, seed=seed)
        if tar:
            with tarfile.open(root / f"{name}.tar", "w") as archive:
                for i, image in enumerate(images):
                    data = encoded(image)
                    member = tarfile.TarInfo(f"{name}/{i:07d}.png")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
        else:
            (root / name).mkdir()
            for i, image in enumerate(images):
                (root / name / f"{i:07d}.png").write_bytes(encoded(image))
    return images


def write_imagenet_batches(root: Path, size: int = 8, n: int = 3, npz: bool = True) -> dict[str, np.ndarray]:
    root.mkdir(parents=True, exist_ok=True)
    written = {}
    for seed, name in enumerate([*(f"train_data_batch_{i}" for i in range(1, 11)), "val_data"]):
        data, labels = pixels(n, 3 * size * size, seed=seed), [1 + (seed * n + i) % 1000 for i in range(n)]
        written[name] = data
        if npz:
            np.savez(root / f"{name}.npz", data=data, labels=np.array(labels))
        else:
            (root / name).write_bytes(pickle.dumps({"data": data, "labels": labels}))
    return written


def write_lsun(root: Path, category: str = "bedroom", n: int = 6, size: tuple[int, int] = (120, 100)) -> None:
    import lmdb

    for seed, part in enumerate(("train", "val")):
        path = root / f"{category}_{part}_lmdb"
        path.mkdir(parents=True)
        with lmdb.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
            for i, image in enumerate(pixels(n, *size, 3, seed=seed)):
                transaction.put(f"{i:040x}".encode(), encoded(image, "WEBP"))


def write_folder(root: Path, n: int = 8, size: tuple[int, int] = (20, 16), classes: tuple[str, ...] = ("",)) -> None:
    for c, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(pixels(n, *size, 3, seed=c)):
            (root / name / f"{i:03d}.png").write_bytes(encoded(image))


def write_npz(path: Path, n: int = 12, shape: tuple[int, ...] = (8, 8, 3)) -> dict[str, np.ndarray]:
    arrays = {f"{part}_images": pixels(n, *shape, seed=s) for s, part in enumerate(("train", "test"))}
    arrays |= {f"{part}_labels": np.arange(n) % 10 for part in ("train", "test")}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return arrays


def write_tfd(root: Path, n: int = 16) -> None:
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    folds = np.tile((np.arange(n) % 4)[:, None], (1, 5))
    labels = np.where(folds[:, :1] == 0, -1, 3)
    savemat(root / "TFD_48x48.mat", {"images": pixels(n, 48, 48), "labs_ex": labels, "folds": folds})


def write_freyfaces(path: Path, n: int = 240) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(pixels(n, 560).astype(np.float32) / 255, protocol=2))


def write_amat(root: Path, n: int = 6) -> dict[str, np.ndarray]:
    """Larochelle's binary MNIST: a line of zeros and ones an image."""
    root.mkdir(parents=True, exist_ok=True)
    written = {}
    for seed, part in enumerate(("train", "valid", "test")):
        written[part] = pixels(n, 784, seed=seed) % 2
        lines = [" ".join(map(str, row)) + " \n" for row in written[part]]
        (root / f"binarized_mnist_{part}.amat").write_text("".join(lines))
    return written


def write_omniglot(root: Path, n: int = 9) -> dict[str, np.ndarray]:
    """`chardata.mat`: grey values in 0..1, an image a column, its own columns first."""
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    images = {name: pixels(n, 28, 28, seed=seed) for seed, name in enumerate(("data", "testdata"))}
    columns = {name: (x / 255).transpose(0, 2, 1).reshape(n, 784).T for name, x in images.items()}
    savemat(root / "chardata.mat", columns | {"target": np.zeros((50, n)), "targetchar": np.zeros((1, n))})
    return images


def write_caltech(root: Path, n: int = 5) -> dict[str, np.ndarray]:
    """`caltech101_silhouettes_28_split1.mat`: zeros and ones, columns first, labels from 1."""
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    images = {part: pixels(n, 28, 28, seed=seed) % 2 for seed, part in enumerate(("train", "val", "test"))}
    arrays = {f"{part}_data": x.transpose(0, 2, 1).reshape(n, 784) for part, x in images.items()}
    arrays |= {f"{part}_labels": np.arange(1, n + 1, dtype=np.uint8)[:, None] for part in images}
    savemat(root / "caltech101_silhouettes_28_split1.mat", arrays)
    return images
