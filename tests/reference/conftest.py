"""Finds the reference cases: every `NAME.json` with a `case_kind` and its `NAME.npz` under `FLOWSUITE_REFERENCE`.

A module that checks a kind says `pytestmark = pytest.mark.reference_kind("maf")` (several kinds may be named); every
test in it with an argument `reference_case` then runs once for each case of these kinds, however many they are.
"""

from __future__ import annotations

import ast
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

HERE = Path(__file__).parent
ROOT = Path(os.environ.get("FLOWSUITE_REFERENCE", HERE.parents[1].parent / "shared" / "reference"))


@dataclass
class ReferenceCase:
    """One case: the whole json as `config`, and the arrays of the npz by group; text arrays stay NumPy's."""

    name: str
    kind: str
    config: dict[str, Any]
    param: dict[str, Any] = field(default_factory=dict)
    input: dict[str, Any] = field(default_factory=dict)
    output: dict[str, Any] = field(default_factory=dict)


def _case_files(root: Path) -> list[tuple[Path, dict[str, Any]]]:
    """`(path of the json, its content)` of every case under `root`, in a fixed order."""
    found = []
    for path in sorted(root.rglob("*.json")):
        config = json.loads(path.read_text())
        if isinstance(config, dict) and "case_kind" in config:
            found.append((path, config))
    return found


FILES = _case_files(ROOT)


def load_case(path: Path, config: dict[str, Any]) -> ReferenceCase:
    case = ReferenceCase(path.stem, config["case_kind"], config)
    arrays = path.with_suffix(".npz")
    if arrays.exists():
        with np.load(arrays, allow_pickle=False) as data:
            for key in data.files:
                group, name = key.split("/", 1)
                value = data[key]
                getattr(case, group)[name] = torch.from_numpy(value) if value.dtype.kind in "biuf" else value
    return case


def _module_kinds(path: Path) -> set[str]:
    """The kinds that a test module names in `reference_kind(...)`."""
    calls = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    marks = (call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "reference_kind")
    return {arg.value for mark in marks for arg in mark.args if isinstance(arg, ast.Constant)}


def _absent(what: str):
    """The one parameter of a test that has nothing to run on."""
    why = f"no {what} in {ROOT}: set FLOWSUITE_REFERENCE to a folder of cases"
    return pytest.param(None, marks=pytest.mark.skip(reason=why), id="none")


def pytest_generate_tests(metafunc):
    if "found_kind" in metafunc.fixturenames:
        metafunc.parametrize("found_kind", sorted({c["case_kind"] for _, c in FILES}) or [_absent("reference cases")])
    if "reference_case" not in metafunc.fixturenames:
        return
    kinds = {kind for mark in metafunc.definition.iter_markers("reference_kind") for kind in mark.args}
    if not kinds:
        raise pytest.UsageError(f"{metafunc.definition.nodeid} takes reference_case but names no reference_kind")
    chosen = [
        pytest.param((path, config), id=str(path.relative_to(ROOT).with_suffix("")))
        for path, config in FILES
        if config["case_kind"] in kinds
    ]
    nothing = _absent(f"case of kind {', '.join(sorted(kinds))}")
    metafunc.parametrize("reference_case", chosen or [nothing], indirect=True)


@pytest.fixture
def reference_case(request) -> ReferenceCase:
    return load_case(*request.param)


@pytest.fixture
def checked_kinds() -> set[str]:
    """The kinds that some module of this folder checks."""
    return set().union(*(_module_kinds(path) for path in HERE.glob("test_*.py")))
