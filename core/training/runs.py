"""Where runs keep their files: `<root>/<name>/version_<n>/checkpoints/{best,last}.ckpt`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowsuite.core.training.files import read_yaml

PLACES = ("root", "path")  # arguments of data modules that say where the data are
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


def data_of_run(checkpoint: Path) -> dict[str, Any] | None:
    """What the `config.yaml` beside a run's checkpoints says of its data; None where there is none, or it says nothing.

    Args:
        checkpoint: as `newest_checkpoint` has it.
    """
    path = checkpoint.parent.parent / "config.yaml"
    config = read_yaml(path) if path.is_file() else None
    data = config.get("data") if isinstance(config, Mapping) else None
    return dict(data) if isinstance(data, Mapping) and "class_path" in data else None


def origin(data: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The class of a data module's configuration, and where it reads from: those of `PLACES` that it has."""
    arguments = data.get("init_args") or {}
    return data["class_path"], {name: str(arguments[name]) for name in PLACES if arguments.get(name) is not None}


def describe_origin(data: Mapping[str, Any]) -> str:
    name, places = origin(data)
    told = ", ".join(f"{place} {where}" for place, where in places.items())
    return name.rpartition(".")[2] + (f" ({told})" if told else "")


def same_origin(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two configurations are of the same class and read from the same places."""
    (class_a, places_a), (class_b, places_b) = origin(a), origin(b)
    absolute = [{name: os.path.abspath(where) for name, where in places.items()} for places in (places_a, places_b)]
    return class_a == class_b and absolute[0] == absolute[1]


def check_run(checkpoint: Path, subcommand: str, data: Any) -> None:
    """Says which run "best" or "last" is of, and what it was trained on.

    Raises:
        ValueError: `fit` would go on with other data than the run began with; only the path of a checkpoint does that.
    """
    from pytorch_lightning.utilities import rank_zero_only

    known = data_of_run(checkpoint)
    of = f", trained on {describe_origin(known)}" if known else ""
    given = data.as_dict() if hasattr(data, "as_dict") else data
    if known and given and subcommand == "fit" and not same_origin(known, given):
        raise ValueError(
            f"{checkpoint} was trained on {describe_origin(known)}, not on {describe_origin(given)}: keep runs on "
            "other data apart by --trainer.default_root_dir, or give --ckpt_path that path to go on with these"
        )
    rank_zero_only(print)(f"checkpoint: {checkpoint}{of}")


def choose_version(root: Path, resumed: int | None) -> int:
    """The version to write to, the same one in all processes of a run."""
    if resumed is not None:
        return resumed
    if VERSION_VARIABLE in os.environ and "LOCAL_RANK" in os.environ:
        return int(os.environ[VERSION_VARIABLE])
    version = next_version(root)
    os.environ[VERSION_VARIABLE] = str(version)
    return version
