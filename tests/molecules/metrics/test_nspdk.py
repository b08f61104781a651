"""NSPDK: cases counted by hand, independence of the numbering, MMD against all pairs."""

import math
import random
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rdkit")
from rdkit import Chem, RDConfig

from flowsuite.molecules.metrics.nspdk import features, kernel, nspdk_mmd
from flowsuite.molecules.smiles import parse

SOME = ["CCO", "c1ccccc1O", "CC(C)C#N", "C1CC1F", "O=C1NC=CC1", "C", "CC(=O)OC1=CC=CC=C1C(=O)O"]


def of(smiles: str, **options):
    return features(parse(smiles), **options)


def test_one_atom_has_one_feature_of_each_radius():
    places, values = of("C")
    assert len(places) == 5 and values == pytest.approx(1 / math.sqrt(5))
    assert kernel(of("C"), of("C")) == pytest.approx(1)
    assert kernel(of("C"), of("O")) == 0
    assert nspdk_mmd([of("C")], [of("O"), of("O")]) == pytest.approx(2)


@pytest.mark.parametrize(
    ("a", "b", "radius", "distance", "expected"),
    [
        # d = 0: the elements, {C: 2} and {C: 2, O: 1}; one block
        ("CC", "CCO", 0, 0, 2 / math.sqrt(5)),
        # d = 1: {CC: 1} and {CC: 1, CO: 1}; two blocks on both sides
        ("CC", "CCO", 0, 1, (2 / math.sqrt(5) + 1 / math.sqrt(2)) / 2),
        # d = 2: nothing, and {CO: 1}; two blocks and three
        ("CC", "CCO", 0, 2, (2 / math.sqrt(5) + 1 / math.sqrt(2)) / math.sqrt(2 * 3)),
        # all blocks of ethane and propane that both have are alike but for the factor
        ("CC", "CCC", 0, 2, 2 / math.sqrt(2 * 3)),
        # without the balls' bonds, a double bond is none other
        ("CC", "C=C", 0, 4, 1.0),
        # r = 0: alike; r = 1: every ball has another bond
        ("CC", "C=C", 1, 0, 0.5),
        # r = 1 of ethane: {C-C: 2}, of propane: {C-C: 2, C-C-C: 1}
        ("CC", "CCC", 1, 0, (1 + 2 / math.sqrt(5)) / 2),
        # not connected: no pair of roots
        ("C.O", "C.O", 0, 4, 1.0),
        ("C.O", "CO", 0, 4, 1 / math.sqrt(1 * 2)),
    ],
)
def test_kernels_counted_by_hand(a, b, radius, distance, expected):
    found = kernel(*(of(smiles, radius=radius, distance=distance) for smiles in (a, b)))
    assert found == pytest.approx(expected, rel=1e-6)


def test_balls_are_told_apart_by_their_bonds_not_only_by_their_atoms():
    """About the middle: the same elements at the same distances, the same bonds between these; r = 2."""
    a, b = (of(smiles, radius=2, distance=0) for smiles in ("FC(F)CC", "FCCCF"))
    assert kernel(a, b) < 0.999
    split, same = (features(parse(smiles), 2, 0) for smiles in ("C(CF)CF", "C(C)C(F)F"))
    alone = features(parse("C(CF)CF"), 1, 0)
    assert kernel(split, same) < 0.8 and len(alone[0]) < len(split[0])


@pytest.mark.parametrize("smiles", SOME)
def test_features_do_not_depend_on_the_numbering(smiles):
    mol = parse(smiles)
    places, values = features(mol)
    for seed in range(3):
        order = random.Random(seed).sample(range(mol.GetNumAtoms()), mol.GetNumAtoms())
        again = features(Chem.RenumberAtoms(mol, order))
        np.testing.assert_array_equal(again[0], places)
        np.testing.assert_allclose(again[1], values, rtol=1e-6)
    assert np.linalg.norm(values) == pytest.approx(1, rel=1e-5)


def test_different_molecules_are_different():
    found = [of(smiles) for smiles in SOME]
    for i, a in enumerate(found):
        assert kernel(a, a) == pytest.approx(1, rel=1e-5)
        assert all(kernel(a, b) < 0.99 for b in found[i + 1 :])


def test_mmd_is_that_of_all_pairs():
    a, b = [of(smiles) for smiles in SOME[:4]], [of(smiles) for smiles in SOME[2:]]

    def mean(x, y):
        return np.mean([[kernel(p, q) for q in y] for p in x])

    assert nspdk_mmd(a, b) == pytest.approx(mean(a, a) + mean(b, b) - 2 * mean(a, b), abs=1e-6)
    assert nspdk_mmd(a, a) == 0 and nspdk_mmd(a, a * 3) == pytest.approx(0, abs=1e-12)
    assert math.isnan(nspdk_mmd([], a)) and math.isnan(nspdk_mmd(a, []))


def test_two_halves_of_real_molecules_are_near_and_other_molecules_far():
    lines = (Path(RDConfig.RDDataDir) / "NCI" / "first_5K.smi").read_text().splitlines()[:600]
    real = [features(mol) for line in lines if (mol := parse(line.split()[0])) is not None]
    chains = [of("C" * n) for n in range(3, 30)]
    assert nspdk_mmd(real[::2], real[1::2]) < 0.02 < 0.1 < nspdk_mmd(real, chains)
