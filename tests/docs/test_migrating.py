"""The table of classes in docs/migrating.md names classes that exist."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
MODULES = {
    "nflows": ("nflows.flows", "nflows.transforms", "nflows.distributions"),
    "normflows": ("normflows", "normflows.flows", "normflows.distributions", "normflows.transforms"),
    "zuko": ("zuko.flows", "zuko.transforms", "zuko.distributions", "zuko.lazy"),
}


def columns() -> dict[str, set[str]]:
    """The class names in each column of the table under "Classes"."""
    text = (HOUSE / "docs/migrating.md").read_text(encoding="utf-8").partition("## Classes")[2]
    rows = [line.strip("|").split("|") for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    head = [cell.strip() for cell in rows[0]]
    found: dict[str, set[str]] = {name: set() for name in head}
    for row in rows[2:]:
        for name, cell in zip(head, row, strict=True):
            for code in re.findall(r"`([^`]+)`", cell):
                found[name] |= set(re.findall(r"\b[A-Z]\w+\b", code)) - {"False", "True"}
    return found


def our_classes() -> set[str]:
    files = [path for folder in ("core", "images") for path in (HOUSE / folder).rglob("*.py")]
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in files)
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


@pytest.mark.parametrize("peer", MODULES)
def test_classes_of_a_peer(peer):
    pytest.importorskip(peer)
    modules = [importlib.import_module(name) for name in MODULES[peer]]
    names = columns()[peer]
    assert len(names) > 8
    assert not {name for name in names if not any(hasattr(module, name) for module in modules)}


def test_classes_of_ours():
    names = columns()["here"]
    assert len(names) > 20
    assert not names - our_classes()
