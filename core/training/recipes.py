"""The packaged recipes: complete, commented configurations, called `<domain>/<name>`, or `core/<name>`."""

from __future__ import annotations

import difflib
import importlib.util
import pkgutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

FIELDS = ("what", "data", "hardware", "published")


def domains() -> list[str]:
    """The packages beside `flowsuite.core`, found without importing them."""
    import flowsuite

    found = {module.name for module in pkgutil.iter_modules(flowsuite.__path__)} | set(_editable_packages())
    return sorted(found - {"core"})


def rooms() -> list[str]:
    """The packages that may hold recipes: core and the domains."""
    return ["core", *domains()]


def _editable_packages() -> list[str]:
    """An editable install maps package names to folders in a finder, which `pkgutil` does not ask."""
    import sys

    packages = []
    for finder in sys.meta_path:
        mapping = getattr(sys.modules.get(getattr(finder, "__module__", "")), "MAPPING", {})
        packages += [name.split(".")[1] for name in mapping if name.startswith("flowsuite.")]
    return packages


def package_folder(domain: str) -> Path | None:
    """Where `flowsuite.<domain>` lies; the package is not imported."""
    spec = importlib.util.find_spec(f"flowsuite.{domain}")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def list_recipes() -> dict[str, Path]:
    """All recipes by name."""
    found = {}
    for room in rooms():
        folder = package_folder(room)
        if folder is not None:
            found.update({f"{room}/{path.stem}": path for path in sorted((folder / "recipes").glob("*.yaml"))})
    return found


def find_recipe(name: str) -> Path:
    """The file of a recipe, or of a configuration given by its path."""
    path = Path(name)
    if path.is_file():
        return path
    recipes = list_recipes()
    key = name.removesuffix(".yaml")
    if key in recipes:
        return recipes[key]
    close = difflib.get_close_matches(key, recipes, n=3, cutoff=0.4)
    close = close or [other for other in recipes if key in other][:3]
    hint = f"; did you mean {' or '.join(close)}?" if close else "; `flowsuite recipes` lists them"
    raise ValueError(f"unknown recipe {name!r}, and no file of that name{hint}")


def recipe_name(path: str | Path) -> str:
    """What runs of this configuration are called: `<domain>/<name>` for a recipe, else the file's name."""
    path = Path(path).resolve()
    for name, recipe in list_recipes().items():
        if recipe.resolve() == path:
            return name
    return path.stem


def read_header(path: Path) -> dict[str, str]:
    """The `# what:`, `# data:`, `# hardware:` and `# published:` lines of a recipe."""
    header = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, colon, text = line.lstrip("# ").partition(":")
        if line.startswith("#") and colon and name in FIELDS:
            header[name] = text.strip()
    return header


def matching_recipes(words: Sequence[str]) -> dict[str, dict[str, str]]:
    """Headers, by name, of the recipes that have all the words in their name, `what` or `data`; case does not matter.

    Raises:
        ValueError: none has them.
    """
    headers = {name: read_header(path) for name, path in list_recipes().items()}

    def matches(name: str) -> bool:
        text = " ".join((name, headers[name].get("what", ""), headers[name].get("data", ""))).lower()
        return all(word.lower() in text for word in words)

    found = {name: header for name, header in headers.items() if matches(name)}
    if words and not found:
        counts = Counter(name.partition("/")[0] for name in headers)
        listed = ", ".join(f"{room} ({count})" for room, count in counts.items())
        raise ValueError(f"no recipe has {' and '.join(map(repr, words))} in its name, what or data; rooms: {listed}")
    return found


def print_recipes(words: Sequence[str] = ()) -> None:
    """Name and header of the recipes that have all the words, in columns as wide as the terminal allows."""
    found = matching_recipes(words)
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, 160)
    table = Table(box=None, padding=(0, 2, 1, 0))
    table.add_column("recipe", no_wrap=True)
    for field in FIELDS:
        table.add_column(field, overflow="fold")
    for name, header in found.items():
        table.add_row(name, *(header.get(field, "-") for field in FIELDS))
    console.print(table)
