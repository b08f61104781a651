"""Morgan fingerprints (Rogers and Hahn 2010, doi:10.1021/ci100050t) and the similarity of two molecules."""

from __future__ import annotations

import functools

import numpy as np
from rdkit import Chem, DataStructs
from rdkit.Chem import rdFingerprintGenerator


@functools.cache
def generator(bits: int, radius: int, chirality: bool):
    return rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits, includeChirality=chirality)


def morgan(mol: Chem.Mol, bits: int = 2048, radius: int = 2, chirality: bool = False) -> DataStructs.ExplicitBitVect:
    """The Morgan bit fingerprint as RDKit's bit vector."""
    return generator(bits, radius, chirality).GetFingerprint(mol)


def packed_morgan(mol: Chem.Mol, bits: int = 1024, radius: int = 2, chirality: bool = False) -> np.ndarray:
    """The Morgan bit fingerprint as uint8 (bits / 8,), eight bits a byte."""
    return np.packbits(generator(bits, radius, chirality).GetFingerprintAsNumPy(mol))


def tanimoto(a: Chem.Mol, b: Chem.Mol, bits: int = 2048, radius: int = 2, chirality: bool = False) -> float:
    """`|A and B| / |A or B|` of the Morgan bits of two molecules."""
    return DataStructs.TanimotoSimilarity(morgan(a, bits, radius, chirality), morgan(b, bits, radius, chirality))
