"""Pickles of arrays, read without running anything that they name, in memory that the file itself accounts for."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from flowsuite.core.training.files import mapped, reading


class Array:
    """What stands for `numpy.ndarray` in a pickle: to call that would make an array of any size."""


def encode(text: str, encoding: str) -> bytes:
    """How protocol 2 pickles of Python 3 spell bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for text encoding {encoding!r}, and only latin1 is allowed")
    return text.encode("latin1")


def reconstruct(kind: type, shape: tuple[int, ...], _: Any) -> np.ndarray:
    """The empty array that its state, shape and numbers, is then given to."""
    if kind is not Array or shape != (0,):
        raise pickle.UnpicklingError(f"it asks for an array of shape {shape} before its numbers")
    return np.zeros(0, np.int8)


def scalar(dtype: np.dtype, data: bytes) -> np.generic:
    if dtype.hasobject or dtype.itemsize != len(data):
        raise pickle.UnpicklingError(f"it has {len(data)} bytes for a number of type {dtype}")
    return np.frombuffer(data, dtype)[0]


def from_buffer(data: Any, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(data, dtype).reshape(shape, order=order)


class ArrayUnpickler(pickle._Unpickler):
    """Rebuilds NumPy arrays, containers, numbers and strings; any other global is refused, so nothing can run.

    It is the unpickler in Python: that in C makes as much room as the numbers of memoised objects say.
    """

    ALLOWED: ClassVar = {
        ("_codecs", "encode"): encode,
        ("numpy._core.multiarray", "_reconstruct"): reconstruct,
        ("numpy._core.multiarray", "scalar"): scalar,
        ("numpy._core.numeric", "_frombuffer"): from_buffer,
        ("numpy", "ndarray"): Array,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        found = self.ALLOWED.get((module.replace("numpy.core.", "numpy._core."), name))
        if found is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only NumPy arrays are allowed")
        return found

    def load_bytearray(self) -> None:
        """The bytes that are there, where the original makes room for as many as are promised."""
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    dispatch: ClassVar = {**pickle._Unpickler.dispatch, pickle.BYTEARRAY8[0]: load_bytearray}


def unpickle(path: str | Path, unpickler: type[ArrayUnpickler], encoding: str = "latin1") -> Any:
    """What an unpickler makes of a file."""
    with mapped(path) as data:
        return unpickler(data, encoding=encoding).load()


def load_array_pickle(path: str | Path, encoding: str = "latin1") -> Any:
    """A pickle of NumPy arrays in plain containers (Python 2 ones too); anything else in it is refused."""
    with reading(path, "pickle of arrays"):
        return unpickle(path, ArrayUnpickler, encoding)
