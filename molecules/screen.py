"""Which of many SMARTS patterns a molecule has; most are ruled out by a fingerprint before they are looked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rdkit import Chem, DataStructs

BITS = 2048


def pattern_bits(mol: Chem.Mol) -> np.ndarray:
    """RDKit's pattern fingerprint, packed (BITS / 64,): a molecule that has a pattern has all bits of the pattern."""
    found = Chem.PatternFingerprint(mol, fpSize=BITS)
    return np.frombuffer(DataStructs.BitVectToBinaryText(found), dtype=np.uint8).view(np.uint64)


class Screen:
    """Patterns to look for.

    Args:
        patterns: queries made from SMARTS.
    """

    def __init__(self, patterns: Sequence[Chem.Mol]):
        self.patterns = list(patterns)
        self.bits = np.stack([pattern_bits(pattern) for pattern in self.patterns])

    def candidates(self, mol: Chem.Mol) -> Iterator[Chem.Mol]:
        """The patterns that the fingerprint does not rule out."""
        for index in np.flatnonzero(~(self.bits & ~pattern_bits(mol)).any(1)):
            yield self.patterns[index]

    def count(self, mol: Chem.Mol) -> int:
        """How many of the patterns the molecule has."""
        return sum(mol.HasSubstructMatch(pattern) for pattern in self.candidates(mol))

    def has_match(self, mol: Chem.Mol) -> bool:
        """Whether the molecule has at least one of the patterns."""
        return any(mol.HasSubstructMatch(pattern) for pattern in self.candidates(mol))
