"""A suite's run: its tables and where they come from. JSON is what is kept; the Markdown beside it is made from it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.table import Table
from flowsuite.core.training.files import atomic_write

FIELDS = {
    "suite": str,
    "command": str,
    "date": str,
    "device": str,
    "commit": str | None,
    "dirty": bool | None,
    "machine": dict,
    "versions": dict,
    "note": str,
    "tables": list,
}
MACHINE = {
    "processor": str,
    "cores": int | None,
    "threads": int,
    "load": int | float | None,
    "card": str | None,
}


@dataclass
class Result:
    """What one run of a suite found.

    Attributes:
        suite: its name on the command line.
        command: the whole command line.
        date: when it began, UTC, ISO 8601.
        device: cpu or cuda.
        commit: what was checked out, None where git could not tell.
        dirty: whether files were changed since that commit, None if not known.
        machine: `processor`, `cores`, `threads`, `load` at the start (None if not known), `card` of CUDA.
        versions: of Python and the packages.
        note: what a reader should know of this run.
        tables: the figures.
        name: of its file, without the ending; not in the file.
    """

    suite: str
    command: str
    date: str
    device: str
    commit: str | None
    dirty: bool | None
    machine: dict
    versions: dict
    note: str
    tables: list[Table]
    name: str = ""

    def provenance(self) -> str:
        """Date, machine, versions and commit in a line."""
        machine = self.machine
        parts = [self.date, *([machine["card"]] if machine["card"] else []), machine["processor"]]
        parts += [f"{machine['cores']} cores"] if machine["cores"] is not None else []
        parts.append(f"{machine['threads']} thread{'' if machine['threads'] == 1 else 's'}")
        parts += [f"load {machine['load']} at the start"] if machine["load"] is not None else []
        parts += [f"{'Python' if name == 'python' else name} {found}" for name, found in self.versions.items()]
        if self.commit is not None:
            parts.append(f"commit {self.commit[:7]}" + (" with changes" if self.dirty else ""))
        return ", ".join(parts) + "." + (f" {self.note}" if self.note else "")

    def markdown(self) -> str:
        return "\n\n".join([f"# {self.command}", self.provenance(), *map(str, self.tables)]) + "\n"

    def save(self, path: Path) -> None:
        """Writes `path` (.json) and the Markdown of the same name beside it."""
        content = {name: getattr(self, name) for name in FIELDS} | {"tables": [t.content() for t in self.tables]}
        write_text(path, dump(content))
        write_text(path.with_suffix(".md"), self.markdown())


def write_text(path: Path, text: str) -> None:
    """Whole or not at all; a file that holds this text is left alone."""
    if not path.is_file() or path.read_bytes() != text.encode():
        with atomic_write(path) as file:
            file.write(text.encode())


def dump(content: dict) -> str:
    """Indented JSON with a table's rows, columns and dictionaries on one line each."""
    lines = []
    for name, value in content.items():
        if name != "tables":
            lines.append(f"  {json.dumps(name)}: {json.dumps(value, allow_nan=False)}")
    tables = []
    for table in content["tables"]:
        parts = [f'      "title": {json.dumps(table["title"])}']
        for key in ("columns", "rows"):
            inner = ",\n".join(f"        {json.dumps(item, allow_nan=False)}" for item in table[key])
            parts.append(f'      "{key}": [\n{inner}\n      ]')
        tables.append("    {\n" + ",\n".join(parts) + "\n    }")
    lines.append('  "tables": [\n' + ",\n".join(tables) + "\n  ]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def load_result(path: Path) -> Result:
    """Reads a result.

    Raises:
        FileNotFoundError: `path` is not there.
        ValueError: it is not JSON, or not that of a result; the message names the file and what is wrong.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} not found") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON ({error})") from None
    check(path, "", content, FIELDS)
    check(path, "machine.", content["machine"], MACHINE)
    tables = []
    for index, table in enumerate(content["tables"]):
        try:
            tables.append(Table.from_content(table))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            what = f"no {error}" if isinstance(error, KeyError) else error
            raise ValueError(f"{path}: table {index}: {what}") from None
    return Result(**content | {"tables": tables}, name=path.stem)


def refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


def check(path: Path, prefix: str, content: object, fields: dict) -> None:
    """That `content` has these fields of these types and no other."""
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected an object{' as ' + prefix.rstrip('.') if prefix else ''}")
    if unknown := sorted(content.keys() - fields.keys()):
        raise ValueError(f"{path}: unknown field {prefix}{unknown[0]}")
    for name, kind in fields.items():
        if name not in content:
            raise ValueError(f"{path}: no field {prefix}{name}")
        value = content[name]
        expected = " or ".join(part.__name__ for part in getattr(kind, "__args__", (kind,)))
        if not isinstance(value, kind) or (isinstance(value, bool) and "bool" not in expected):
            raise ValueError(f"{path}: {prefix}{name}: expected {expected}, got {json.dumps(value)[:40]}")
