"""Which way imports may point: domains import core, and nothing else points anywhere."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
DOMAINS = ("images", "audio", "molecules", "pointclouds", "video")
HEAVY = ("rdkit", "librosa", "torchaudio", "torch_geometric", "torchvision")
SCRIPT = "import importlib, sys\nfor name in sys.argv[1].split(','): importlib.import_module(name)\nprint(*sys.modules)"


def imported(path: Path) -> set[str]:
    """Everything that a file imports, at its top or within functions: dotted names."""
    names = set()
    package = ["flowsuite", *path.relative_to(HOUSE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            names |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return names


def files(package: str) -> list[Path]:
    return sorted((HOUSE / package).rglob("*.py"))


def offences(package: str, forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{path.relative_to(HOUSE)} imports {name}"
        for path in files(package)
        for name in sorted(imported(path))
        if any(name == root or name.startswith(f"{root}.") for root in forbidden)
    ]


def test_core_knows_no_domain_and_nothing_heavy():
    assert files("core")
    assert not offences("core", (*(f"flowsuite.{domain}" for domain in DOMAINS), *HEAVY))


@pytest.mark.parametrize("domain", DOMAINS)
def test_no_domain_imports_another(domain):
    assert files(domain)
    assert not offences(domain, tuple(f"flowsuite.{other}" for other in DOMAINS if other != domain))


def test_the_check_sees_every_form_of_import(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "HOUSE", tmp_path)
    (tmp_path / "core").mkdir()
    source = (
        "def f():\n    from flowsuite import images\n    import torchvision.ops\n    import_module('flowsuite.audio')\n"
    )
    (tmp_path / "core" / "a.py").write_text(source + "from ..video import flow\n")
    found = offences("core", ("flowsuite.images", "flowsuite.audio", "flowsuite.video", "torchvision"))
    assert len(found) == 5 and any("torchvision.ops" in line for line in found), found


def modules_of_core() -> list[str]:
    """All modules of core except training and the data modules, which stand on Lightning."""
    names = [path.relative_to(HOUSE).with_suffix("") for path in files("core")]
    names = [name for name in names if not {"training", "data"} & set(name.parts)]
    return ["flowsuite." + ".".join(name.parts) for name in names] + ["flowsuite.core.data"]


def test_importing_core_loads_nothing_heavy(tmp_path):
    names = [name.removesuffix(".__init__") for name in modules_of_core()]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, ",".join(names)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "flowsuite.core.flow" in loaded
    heavy = {*HEAVY, "pytorch_lightning", *(f"flowsuite.{domain}" for domain in DOMAINS)}
    assert not heavy & loaded
