"""GuacaMol's KL suite."""

import math

import numpy as np
import pytest

pytest.importorskip("rdkit")
from flowsuite.molecules.metrics import guacamol
from tests.molecules.metrics.small import GENERATED, TEST, records


def test_continuous_divergence_of_normals():
    generator = np.random.default_rng(0)
    a, b = generator.normal(0, 1, 20_000), generator.normal(0.5, 1, 20_000)
    assert guacamol.continuous_kl(a, b) == pytest.approx(0.125, abs=0.02)  # (shift / sd)^2 / 2
    assert guacamol.continuous_kl(a, a) == pytest.approx(0, abs=1e-12)


def test_discrete_divergence_by_hand():
    reference, generated = np.repeat([0, 1], [30, 10]), np.repeat([0, 1], [10, 10])
    expected = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert guacamol.discrete_kl(generated, reference) == pytest.approx(expected, abs=1e-6)
    assert guacamol.discrete_kl(reference, reference) == pytest.approx(0, abs=1e-9)
    beyond = guacamol.discrete_kl(generated + 100, reference)
    assert beyond == pytest.approx(0.75 * math.log(0.75 / 1e-10) + 0.25 * math.log(0.25 / 1e-10))


def test_undefined():
    two, none = np.array([1.0, 2.0]), np.zeros(0)
    assert math.isnan(guacamol.continuous_kl(np.ones(5), two)) and math.isnan(guacamol.continuous_kl(two, two[:1]))
    assert math.isnan(guacamol.discrete_kl(none, two)) and math.isnan(guacamol.discrete_kl(two, none))
    figures = guacamol.kl_suite([], [])
    assert len(figures) == 11 and all(math.isnan(value) for value in figures.values())


def test_one_molecule_again_and_again_scores_low():
    collapsed, varied = (guacamol.kl_suite(records(made), records(TEST)) for made in (["CCO"] * 9, GENERATED))
    undefined = {name for name, value in collapsed.items() if math.isnan(value)}
    assert undefined == {"KL BertzCT", "KL logP", "KL MolWt", "KL TPSA", "KL internal similarity"}
    assert collapsed["score"] == pytest.approx(sum(math.exp(-collapsed[f"KL {n}"]) for n in guacamol.DISCRETE) / 10)
    assert collapsed["score"] < 0.5 * varied["score"]


def test_the_same_value_everywhere_is_no_divergence():
    assert guacamol.continuous_kl(np.zeros(3), np.zeros(1)) == 0


def test_suite():
    same = guacamol.kl_suite(records(TEST), records(TEST))
    assert same["score"] == pytest.approx(1, abs=1e-6) and len(same) == 11
    other = guacamol.kl_suite(records(GENERATED), records(TEST))
    divergences = [math.exp(-value) for name, value in other.items() if name != "score"]
    assert other["score"] == pytest.approx(np.mean(divergences)) and 0 < other["score"] < 0.99


def test_repetitions_do_not_count():
    once, twice = (guacamol.kl_suite(records(GENERATED * n), records(TEST)) for n in (1, 2))
    assert once == twice
