"""A Sphinx extension: one page of API reference for every package of pyproject.toml, from its docstrings."""

from __future__ import annotations

import tomllib
from pathlib import Path

from plain_docstrings import to_rst

HOUSE = Path(__file__).parents[2]


def packages() -> dict[str, Path]:
    """Folder of each package, by its dotted name."""
    settings = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    return {name: HOUSE.joinpath(*name.split(".")[1:]) for name in settings["packages"]}


def page(name: str, folder: Path) -> str:
    """The page of a package: the package itself, then every public module in it."""
    modules = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    parts = [heading(name, "="), f".. automodule:: {name}\n   :no-members:\n"]
    for module in modules:
        parts += [heading(module, "-"), f".. automodule:: {name}.{module}\n   :members:\n   :show-inheritance:\n"]
    return "\n".join(parts)


def heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"


def write_pages(app) -> None:
    """Writes docs/api/*.rst; what has not changed is left alone, so that only the rest is built again."""
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    wanted = {f"{name}.rst": page(name, path) for name, path in packages().items()}
    toctree = "\n".join(f"   {name}" for name in packages())
    wanted["index.rst"] = f"{heading('API reference', '=')}\n.. toctree::\n   :maxdepth: 1\n\n{toctree}\n"
    for stale in (path for path in folder.glob("*.rst") if path.name not in wanted):
        stale.unlink()
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def convert(app, what, name, obj, options, lines: list[str]) -> None:
    lines[:] = to_rst(lines)


def setup(app) -> dict[str, bool]:
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", convert, priority=100)  # before napoleon reads the sections
    return {"parallel_read_safe": True}
