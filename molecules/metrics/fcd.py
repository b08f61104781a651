"""Frechet ChemNet distance (Preuer et al., arXiv:1803.09518), by the optional package `fcd` or `fcd_torch`."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
from collections.abc import Sequence

import numpy as np

PACKAGES = ("fcd", "fcd_torch")
LEAST = 2  # molecules, for a covariance

Moments = tuple[np.ndarray, np.ndarray]  # mean (d,) and covariance (d, d)


def installed() -> str | None:
    """The first of the packages that is there."""
    return next((name for name in PACKAGES if importlib.util.find_spec(name)), None)


def frechet_distance(a: Moments, b: Moments) -> float:
    """`|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))` of two normal distributions.

    The trace of the root is the sum of the roots of the eigenvalues of `C_a^(1/2) C_b C_a^(1/2)`, which is symmetric.
    """
    values, vectors = np.linalg.eigh(a[1])
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ b[1] @ root).clip(min=0)).sum()
    return max(0.0, float(np.square(a[0] - b[0]).sum() + np.trace(a[1]) + np.trace(b[1]) - 2 * cross))


def moments(smiles: Sequence[str], package: str, device: str = "cpu") -> Moments:
    """Mean and covariance of ChemNet's 512 activations over canonical SMILES."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        if package == "fcd":
            import fcd

            found = np.asarray(fcd.get_predictions(fcd.load_ref_model(), list(smiles), n_jobs=0, device=device))
            return found.mean(0), np.cov(found, rowvar=False)
        import fcd_torch

        found = fcd_torch.FCD(device=device).precalc(list(smiles))
        return found["mu"], found["sigma"]


def fcd_distance(generated: Sequence[str], reference: Sequence[str], device: str = "cpu") -> tuple[float, str]:
    """`(distance, "")`, or NaN and a note that says why there is none."""
    package = installed()
    if package is None:
        return math.nan, "FCD skipped: no package fcd or fcd_torch; pip install 'flowsuite[fcd]'"
    if min(len(generated), len(reference)) < LEAST:
        return math.nan, f"FCD skipped: it needs at least {LEAST} molecules in each set"
    try:
        sets = [moments(smiles, package, device) for smiles in (generated, reference)]
    except Exception as error:  # another package's network: whatever it raises must not cost the other metrics
        return math.nan, f"FCD skipped: {package} failed with {type(error).__name__}: {' '.join(str(error).split())}"
    return frechet_distance(*sets), ""
