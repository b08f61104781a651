"""Similarities in bulk against RDKit's, pair by pair."""

import numpy as np
import pytest

pytest.importorskip("rdkit")
from rdkit import DataStructs

from flowsuite.molecules import similarity
from flowsuite.molecules.fingerprints import morgan, packed_morgan, tanimoto
from flowsuite.molecules.smiles import parse

MOLS = [
    parse(text) for text in ("CCO", "OCC", "CCN", "c1ccccc1C", "C", "CC(=O)Oc1ccccc1C(=O)O", "C[C@H](F)Cl", "[Na+]")
]
PACKED = np.stack([packed_morgan(mol) for mol in MOLS])
EXPECTED = np.array([[DataStructs.TanimotoSimilarity(morgan(a, 1024), morgan(b, 1024)) for b in MOLS] for a in MOLS])


@pytest.fixture(params=[(1024, 8192), (3, 2)], ids=["whole", "blocks"])
def block(request, monkeypatch):
    monkeypatch.setattr(similarity, "ROWS", request.param[0])
    monkeypatch.setattr(similarity, "COLUMNS", request.param[1])


def test_nearest(block):
    np.testing.assert_allclose(similarity.nearest(PACKED[:5], PACKED[3:]), EXPECTED[:5, 3:].max(1), atol=1e-12)


def test_nearest_other(block):
    np.testing.assert_allclose(similarity.nearest_other(PACKED), (EXPECTED - np.eye(len(MOLS))).max(1), atol=1e-12)


def test_mean_powers(block):
    first, second = similarity.mean_powers(PACKED)
    np.testing.assert_allclose(first, EXPECTED.mean(1), atol=1e-12)
    np.testing.assert_allclose(second, (EXPECTED**2).mean(1), atol=1e-12)


def test_rows_without_bits_are_alike():
    empty = np.zeros((2, 128), dtype=np.uint8)
    assert similarity.nearest(empty, empty).tolist() == [1.0, 1.0]
    assert similarity.nearest(empty, PACKED).tolist() == [0.0, 0.0]
    assert similarity.nearest(PACKED[:0], PACKED).shape == (0,)


def test_options_of_one_pair():
    left, right = parse("C[C@H](F)Cl"), parse("C[C@@H](F)Cl")
    assert tanimoto(left, right) == 1.0 > tanimoto(left, right, chirality=True)
    assert tanimoto(parse("CCCC"), parse("CCCCC"), radius=0) == 1.0 > tanimoto(parse("CCCC"), parse("CCCCC"))
