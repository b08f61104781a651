"""Pickles of arrays, read without running anything that they name."""

from __future__ import annotations

import pickle
from pathlib import Path


def _encode(text: str, encoding: str) -> bytes:
    """How protocol 2 pickles of Python 3 spell bytes."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"it asks for text encoding {encoding!r}, and only latin1 is allowed")
    return text.encode("latin1")


class ArrayUnpickler(pickle.Unpickler):
    """Rebuilds NumPy arrays, containers, numbers and strings; any other global is refused, so nothing can run."""

    ALLOWED = frozenset(
        {
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy._core.numeric", "_frombuffer"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        }
    )

    def find_class(self, module, name):
        if (module, name) == ("_codecs", "encode"):
            return _encode
        module = module.replace("numpy.core.", "numpy._core.")
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only NumPy arrays are allowed")
        return super().find_class(module, name)


def load_array_pickle(path: str | Path, encoding: str = "latin1"):
    """A pickle of NumPy arrays in plain containers (Python 2 ones too); anything else in it is refused."""
    try:
        with open(path, "rb") as file:
            return ArrayUnpickler(file, encoding=encoding).load()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found") from None
    except Exception as error:
        raise ValueError(f"{path}: not a readable pickle of arrays ({error})") from None
