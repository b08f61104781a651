"""Where the shared molecules are, if anywhere."""

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("FLOWSUITE_DATA", Path(__file__).parents[3] / "shared" / "data")) / "molecules"


def shared(name: str) -> Path:
    """A file of shared molecules; the test is skipped where there is none."""
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"no {path}: set FLOWSUITE_DATA to the folder of data sets")
    return path
