"""Frechet ChemNet distance: the formula, and the optional packages, here made ones."""

import importlib.machinery
import math
import sys
import types

import numpy as np
import pytest
from scipy.linalg import sqrtm

pytest.importorskip("rdkit")
from flowsuite.molecules.metrics import fcd


def moments(rows):
    return rows.mean(0), np.cov(rows, rowvar=False)


def test_distance_is_the_formula():
    generator = np.random.default_rng(0)
    a, b = (moments(generator.normal(size=(50, 6)) @ generator.normal(size=(6, 6)) + shift) for shift in (0, 1))
    expected = np.square(a[0] - b[0]).sum() + np.trace(a[1] + b[1] - 2 * sqrtm(a[1] @ b[1]).real)
    assert fcd.frechet_distance(a, b) == pytest.approx(expected)
    assert fcd.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_singular_covariances():
    few = moments(np.random.default_rng(0).normal(size=(3, 20)))
    assert fcd.frechet_distance(few, few) == pytest.approx(0, abs=1e-6)


@pytest.fixture
def installed(monkeypatch):
    """Puts a made package in place of `fcd` or `fcd_torch`; without a call, neither is there."""

    for name in fcd.PACKAGES:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(fcd, "PACKAGES", ())

    def put(name, **contents):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.setattr(fcd, "PACKAGES", (name,))

    return put


def lengths(smiles):
    return np.array([[len(text), text.count("C")] for text in smiles], dtype=float)


def test_skipped_without_a_package(installed):
    value, note = fcd.fcd_distance(["CC", "C"], ["CC", "C"])
    assert math.isnan(value) and "flowsuite[fcd]" in note


def test_package_fcd(installed, capsys):
    def get_predictions(model, smiles, n_jobs, device):
        print(model, n_jobs, device)
        return lengths(smiles)

    installed("fcd", load_ref_model=lambda: "net", get_predictions=get_predictions)
    a, b = ["CC", "CCO", "N"], ["OO", "C", "CCCC"]
    expected = fcd.frechet_distance(moments(lengths(a)), moments(lengths(b)))
    assert fcd.fcd_distance(a, b) == (expected, "")
    assert capsys.readouterr().out == ""


def test_package_fcd_torch(installed):
    class FCD:
        def __init__(self, device):
            self.device = device

        def precalc(self, smiles):
            return dict(zip(("mu", "sigma"), moments(lengths(smiles)), strict=True))

    installed("fcd_torch", FCD=FCD)
    value, note = fcd.fcd_distance(["CC", "CCO", "N"], ["CC", "CCO", "N"])
    assert value == pytest.approx(0, abs=1e-9) and note == ""
    value, note = fcd.fcd_distance(["CC"], ["CC", "CCO"])
    assert math.isnan(value) and "at least 2 molecules" in note


def test_a_package_that_fails_costs_only_itself(installed):
    installed("fcd", load_ref_model=lambda: 1 / 0, get_predictions=lambda *a, **k: None)
    value, note = fcd.fcd_distance(["CC", "C"], ["CC", "C"])
    assert math.isnan(value) and "fcd failed with ZeroDivisionError" in note
