"""Files of molecules, in every published layout, as a stream of records."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flowsuite.core.training.files import printable
from flowsuite.molecules.opening import opened, plain_name
from flowsuite.molecules.structures import number, read_sdf, read_xyz

FORMATS = ("smi", "smiles_plogp", "plogp_smiles", "csv", "sdf", "xyz")
COLUMNS = ("smiles", "smile", "canonical_smiles", "smiles1")  # in any case
_NUMBER_FIRST = re.compile(r"\s*[-+]?[\d.]+(?:[eE][-+]?\d+)?\s*,\s*\S")


@dataclass
class Record:
    """One molecule of a file.

    Attributes:
        line: line that it begins on, from 1; of .sdf and .xyz its number.
        smiles: as written; None where a line or structure could not be read.
        properties: the numbers that stand beside it, by name; NaN where a column has none for this molecule.
        problem: why it could not be read, if that is known.
    """

    line: int
    smiles: str | None
    properties: dict[str, float] = field(default_factory=dict)
    problem: str = ""


def format_of(path: Path) -> str | None:
    """The layout of a file by its name; None if it is one of lines, of which the first tells."""
    name = plain_name(path)
    if path.is_dir() or name.endswith((".xyz", ".tar")):
        return "xyz"
    for suffix, found in ((".csv", "csv"), (".tsv", "csv"), (".sdf", "sdf"), (".logp-sa", "smiles_plogp")):
        if name.endswith(suffix):
            return found
    return None


def read_records(
    path: str | Path,
    column: str | None = None,
    layout: str | None = None,
    where: tuple[str, str] | None = None,
    empty: bool = False,
) -> Iterator[Record]:
    """The molecules of a file, one after another; .gz and .bz2 are unpacked.

    Args:
        path: the file; for "xyz" also a folder or a .tar of them.
        column: of SMILES in a CSV file; found by its name if None, see `COLUMNS`.
        layout: one of `FORMATS`; told by the file's name and first line if None.

            - "smi": SMILES first on each line, the rest ignored (ZINC's `250k_rndm_zinc_drugs_clean_sorted.smi`,
              JT-VAE's train.txt). A first line "smiles ..." is a header.
            - "smiles_plogp": SMILES and penalised logP (JT-VAE's `opt.test.logP-SA`).
            - "plogp_smiles": penalised logP, a comma, SMILES (GraphAF's `zinc800.smi_logp`).
            - "csv": a header, and a column of SMILES (ZINC250k, DIG, MOSES, ORGAN); .tsv too.
            - "sdf": blocks; numbers among the tags are properties (QM9's gdb9.sdf).
            - "xyz": QM9's raw files, or plain coordinates, from which RDKit finds the bonds.
        where: `(column, value)`: only these rows of a CSV file.
        empty: empty lines are records too, with the SMILES "".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, damaged, or has no such column; the message names the file.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} not found")
    layout = layout or format_of(path)
    if layout not in (None, *FORMATS):
        raise ValueError(f"unknown layout {layout!r} of {path}: expected one of {', '.join(FORMATS)}")
    if layout != "csv" and (column or where):
        raise ValueError(f"{path} is not read as csv, so that it has no columns: got column {column or where[0]!r}")
    if layout == "csv":
        records = read_csv(path, column, where, empty)
    elif layout in ("sdf", "xyz"):
        records = {"sdf": read_sdf, "xyz": read_xyz}[layout](path)
    else:
        records = read_lines(path, layout, empty)
    return not_empty(records, path)


def not_empty(records: Iterable[Record], path: Path) -> Iterator[Record]:
    empty = True
    for record in records:
        empty = False
        yield record
    if empty:
        raise ValueError(f"{path}: no molecules in it")


def read_smiles(path: str | Path, column: str | None = None, empty: bool = False) -> list[str]:
    """The SMILES of a file in order, see `read_records`; structures that cannot be read are ''."""
    return [record.smiles or "" for record in read_records(path, column, empty=empty)]


def read_lines(path: Path, layout: str | None = None, empty: bool = False) -> Iterator[Record]:
    """SMILES by lines: "smi", "smiles_plogp" or "plogp_smiles"; None: one that begins with a number and a comma has
    penalised logP there. The file may be a pipe."""
    with opened(path) as file:
        first = True
        for place, line in enumerate(file, 1):
            if not line.strip():
                if empty:
                    yield Record(place, "")
                continue
            layout = layout or ("plogp_smiles" if _NUMBER_FIRST.match(line) else "smi")
            fields = line.split(",", 1) if layout == "plogp_smiles" else line.split()
            header, first = first and fields[0].lower() == "smiles", False
            if header:
                continue
            if layout == "smi":
                yield Record(place, fields[0])
            else:
                yield with_plogp(place, fields if layout == "smiles_plogp" else fields[::-1])


def with_plogp(line: int, fields: list[str]) -> Record:
    try:
        smiles, value = fields
        return Record(line, smiles.strip(), {"plogp": float(value)})
    except ValueError:
        problem = f"expected a SMILES and its penalised logP, got {' '.join(fields).strip()!r}"
        return Record(line, None, problem=problem)


def read_csv(
    path: Path, column: str | None = None, where: tuple[str, str] | None = None, empty: bool = False
) -> Iterator[Record]:
    """Rows of a file with a header; every other column is a property, NaN where there is no number.

    SMILES are stripped of blanks and newlines (the ZINC250k of Kaggle has one inside the quotes).
    """
    with opened(path) as file:
        rows = csv.reader(file, delimiter="\t" if plain_name(path).endswith(".tsv") else ",")
        names = [name.strip() for name in next(rows, [])]
        if not any(names):
            raise ValueError(f"{path}: empty: expected a header with a column of SMILES")
        place = smiles_column(path, names, column)
        chosen = None if where is None else (column_place(path, names, where[0]), where[1])
        numbers = [i for i, name in enumerate(names) if name and i != place]
        line = rows.line_num + 1
        for row in rows:
            here, line = line, rows.line_num + 1
            if not (row or empty) or (chosen and (len(row) <= chosen[0] or row[chosen[0]].strip() != chosen[1])):
                continue
            smiles = row[place].strip() if place < len(row) else ""
            yield Record(here, smiles, {names[i]: number(row[i] if i < len(row) else "") for i in numbers})


def smiles_column(path: Path, names: list[str], column: str | None) -> int:
    """The place of the column of SMILES."""
    if column is not None:
        return column_place(path, names, column)
    lower = [name.lower() for name in names]
    for known in COLUMNS:
        if known in lower:
            return lower.index(known)
    raise ValueError(f"{path}: no column called smiles; say which of its columns it is: {printable(', '.join(names))}")


def column_place(path: Path, names: list[str], column: str) -> int:
    if column not in names:
        raise ValueError(f"{path}: no column {column!r}; it has {printable(', '.join(names))}")
    return names.index(column)
