"""Molecules with coordinates, as records: .sdf and .xyz, above all those of QM9."""

from __future__ import annotations

import math
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flowsuite.molecules.opening import opened, plain_name, readable

if TYPE_CHECKING:
    from rdkit import Chem

# Numbers on the second line of QM9's raw files, after "gdb" and the index, in their order and units.
QM9_PROPERTIES = ("A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "U0", "U", "H", "G", "Cv")


def read_sdf(path: Path) -> Iterator:
    """Blocks of a .sdf file; tags that are numbers become properties."""
    from rdkit import Chem

    from flowsuite.molecules.readers import Record
    from flowsuite.molecules.smiles import quiet

    with opened(path, "rb") as file:
        supplier = Chem.ForwardSDMolSupplier(file)
        number = 0
        while True:
            with quiet():
                try:
                    mol = next(supplier)
                except StopIteration:
                    return
                number += 1
                smiles = None if mol is None else Chem.MolToSmiles(mol)
            yield Record(number, smiles, {} if mol is None else dict(numeric_tags(mol)))


def numeric_tags(mol: Chem.Mol) -> Iterator[tuple[str, float]]:
    for name in mol.GetPropNames():
        try:
            yield name, float(mol.GetProp(name))
        except (ValueError, UnicodeDecodeError):
            continue


def read_xyz(path: Path) -> Iterator:
    """Every .xyz of a folder or a .tar, sorted in a folder, or the one of a file."""
    from flowsuite.molecules.readers import Record

    for number, (name, text) in enumerate(xyz_texts(path), 1):
        try:
            yield Record(number, *parse_xyz(text))
        except ValueError as error:
            yield Record(number, None, problem=f"{name}: {error}")


def xyz_texts(path: Path) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        found = sorted(path.glob("*.xyz"))
        if not found:
            raise ValueError(f"{path} is a folder without .xyz files: expected a file of molecules")
        for each in found:
            yield each.name, each.read_bytes().decode("utf-8", "replace")
    elif plain_name(path).endswith(".tar"):
        with readable(path), tarfile.open(path) as archive:
            for member in archive:
                if member.isfile() and member.name.endswith(".xyz"):
                    yield member.name, archive.extractfile(member).read().decode("utf-8", "replace")
    else:
        with opened(path) as file:
            yield path.name, file.read()


def parse_xyz(text: str) -> tuple[str | None, dict[str, float]]:
    """`(SMILES, properties)` of one .xyz.

    QM9's end in a line with the SMILES of the molecule as enumerated and as relaxed, of which the second describes
    the structure, and one with InChIs. Of any other file RDKit finds the bonds from the coordinates.

    Raises:
        ValueError: it is no such file.
    """
    lines = text.splitlines()
    try:
        atoms = int(lines[0])
        coordinates = lines[2 : 2 + atoms]
        if not 0 < atoms == len(coordinates):
            raise ValueError
    except (IndexError, ValueError):
        raise ValueError("not an .xyz file, which begins with the number of atoms and has a line each") from None
    comment, after = lines[1].split(), [line.split() for line in lines[2 + atoms :] if line.strip()]
    properties = {}
    if len(comment) == 2 + len(QM9_PROPERTIES) and comment[0] == "gdb":
        properties = dict(zip(QM9_PROPERTIES, map(number, comment[2:]), strict=True))
    if len(after) >= 2 and after[-1][0].startswith("InChI="):
        return after[-2][-1], properties
    return bonded_smiles("\n".join([str(atoms), "", *map(plain_numbers, coordinates), ""])), properties


def number(text: str) -> float:
    """A number, also as Mathematica writes it: 1.2*^-6; NaN of what is none."""
    try:
        return float(text.replace("*^", "e"))
    except ValueError:
        return math.nan


def plain_numbers(line: str) -> str:
    return " ".join(line.replace("*^", "e").split()[:4])


def bonded_smiles(block: str) -> str | None:
    from rdkit import Chem
    from rdkit.Chem import rdDetermineBonds

    from flowsuite.molecules.smiles import quiet

    with quiet():
        mol = Chem.MolFromXYZBlock(block)
        if mol is None:
            return None
        try:
            rdDetermineBonds.DetermineBonds(mol)
            return Chem.MolToSmiles(Chem.RemoveHs(mol))
        except (ValueError, RuntimeError):
            return None
