"""Where runs keep their files: `<root>/<name>/version_<n>/checkpoints/{best,last}.ckpt`."""

from __future__ import annotations

import os
import re
from pathlib import Path

VERSION_VARIABLE = "FLOWSUITE_VERSION"  # tells the processes that Lightning starts which version rank 0 chose


def versions(root: Path) -> list[int]:
    """Version numbers under `<root>`, ascending."""
    numbers = [re.fullmatch(r"version_(\d+)", path.name) for path in root.glob("version_*")]
    return sorted(int(match[1]) for match in numbers if match)


def next_version(root: Path) -> int:
    return max(versions(root), default=-1) + 1


def newest_checkpoint(root: Path, kind: str) -> tuple[Path, int] | None:
    """`best.ckpt` or `last.ckpt` of the newest version that has it, and that version."""
    for version in reversed(versions(root)):
        path = root / f"version_{version}" / "checkpoints" / f"{kind}.ckpt"
        if path.is_file():
            return path, version
    return None


def choose_version(root: Path, resumed: int | None) -> int:
    """The version to write to, the same one in all processes of a run."""
    if resumed is not None:
        return resumed
    if VERSION_VARIABLE in os.environ and "LOCAL_RANK" in os.environ:
        return int(os.environ[VERSION_VARIABLE])
    version = next_version(root)
    os.environ[VERSION_VARIABLE] = str(version)
    return version
