"""What a wheel holds."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
PACKAGES = ("core", "images", "audio", "molecules", "pointclouds", "video")


@pytest.mark.slow
def test_wheel_holds_code_and_recipes(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", str(tmp_path), str(HOUSE)]
    subprocess.run(command, check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("flowsuite-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in PACKAGES:
        for path in (HOUSE / package).rglob("*"):
            if path.suffix in (".py", ".yaml") and "__pycache__" not in path.parts:
                assert f"flowsuite/{path.relative_to(HOUSE)}" in names
    top = {name.split("/")[0] for name in names}
    assert all(name == "flowsuite" or name.endswith(".dist-info") for name in top)
