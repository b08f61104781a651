"""Atom and bond classes: what a molecular graph is written in."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Atomic number and the largest sum of bond orders of the neutral atom, hydrogens included (RDKit's valence model).
ELEMENTS = {
    "H": (1, 1),
    "B": (5, 3),
    "C": (6, 4),
    "N": (7, 3),
    "O": (8, 2),
    "F": (9, 1),
    "Si": (14, 4),
    "P": (15, 5),
    "S": (16, 6),
    "Cl": (17, 1),
    "As": (33, 5),
    "Se": (34, 6),
    "Br": (35, 1),
    "I": (53, 5),
}
# The largest sum of bond orders of the ions that occur in drug-like molecules.
ION_VALENCES = {
    ("B", -1): 4,
    ("C", -1): 3,
    ("C", 1): 3,
    ("N", -1): 2,
    ("N", 1): 4,
    ("O", -1): 1,
    ("O", 1): 3,
    ("P", 1): 4,
    ("S", -1): 1,
    ("S", 1): 5,
    ("Se", -1): 1,
    ("Se", 1): 5,
    ("Cl", -1): 0,
    ("Br", -1): 0,
    ("I", -1): 0,
    ("Si", -1): 3,
    ("As", 1): 4,
}
BOND_NAMES = ("single", "double", "triple")
NO_BOND = len(BOND_NAMES)  # the class "no bond" of an edge decision
PRESETS = {
    "qm9": ("C", "N", "O", "F"),
    "qm9-charged": ("C", "N", "O", "F", "N+", "O-", "C-", "N-"),
    "zinc250k": ("C", "N", "O", "F", "P", "S", "Cl", "Br", "I"),
    "zinc250k-charged": (
        *("C", "N", "O", "F", "P", "S", "Cl", "Br", "I"),
        *("N+", "O-", "N-", "S-", "S+", "P+", "O+", "C-"),
    ),
    "moses": ("C", "N", "O", "F", "S", "Cl", "Br"),
}
_NAME = re.compile(r"([A-Z][a-z]?)(?:([+-])(\d?))?")


def parse_atom(name: str) -> tuple[str, int]:
    """`(element, formal charge)` of a class name: "C", "N+", "O-", "S-2"."""
    match = _NAME.fullmatch(str(name))
    if match is None or match[1] not in ELEMENTS:
        known = ", ".join(ELEMENTS)
        raise ValueError(f"unknown atom class {name!r}: expected an element ({known}), with a charge such as N+ or O-")
    charge = 0 if match[2] is None else int(f"{match[2]}{match[3] or 1}")
    return match[1], charge


def atom_name(element: str, charge: int) -> str:
    """The class name of an atom, the inverse of `parse_atom`."""
    if charge == 0:
        return element
    return f"{element}{'+' if charge > 0 else '-'}{abs(charge) if abs(charge) > 1 else ''}"


def largest_valence(element: str, charge: int) -> int:
    """The largest sum of bond orders of an atom; of an unlisted ion, that of its element less the charge's size."""
    if charge == 0:
        return ELEMENTS[element][1]
    return ION_VALENCES.get((element, charge), max(0, ELEMENTS[element][1] - abs(charge)))


class Vocabulary:
    """The atom classes (element, formal charge) that a model knows, in a fixed order.

    Hydrogens are implied: RDKit fills them in. Stereo, isotopes and radicals are outside of every vocabulary.

    Args:
        atoms: class names such as `["C", "N", "O", "N+", "O-"]`, or the name of one of `PRESETS`.

    Attributes:
        names: the class names.
        classes: `{(atomic number, charge): class}`.
        valences: the largest sum of bond orders of every class.
    """

    def __init__(self, atoms: Sequence[str] | str):
        if isinstance(atoms, str):
            if atoms not in PRESETS:
                raise ValueError(f"unknown vocabulary {atoms!r}: expected class names or one of {', '.join(PRESETS)}")
            atoms = PRESETS[atoms]
        parsed = [parse_atom(name) for name in atoms]
        if not parsed:
            raise ValueError("a vocabulary needs at least one atom class, got none")
        if len(set(parsed)) != len(parsed):
            raise ValueError(f"every atom class may be named once, got {', '.join(atoms)}")
        self.names = tuple(atom_name(*atom) for atom in parsed)
        self.atoms = tuple((ELEMENTS[element][0], charge) for element, charge in parsed)
        self.classes = {atom: index for index, atom in enumerate(self.atoms)}
        self.valences = tuple(largest_valence(*atom) for atom in parsed)

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.names == other.names

    def __hash__(self) -> int:
        return hash(self.names)

    def __repr__(self) -> str:
        return f"Vocabulary({', '.join(self.names)})"
