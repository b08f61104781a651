"""Metrics of reconstructed clouds, shape by shape, and the linear probe of shape codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from flowsuite.pointclouds.assignment import assignment_cost
from flowsuite.pointclouds.checks import as_clouds, check_same_points
from flowsuite.pointclouds.distances import solve_all, to_numpy
from flowsuite.pointclouds.metrics import check_metrics
from flowsuite.pointclouds.nearest import nearest_squared

RECONSTRUCTION_METRICS = ("cd", "emd", "f-score")
CHUNK = 64
# figure -> (factor of the published tables, unit as printed)
SCALES = {"CD": (1e4, "x 10^-4"), "EMD": (1e2, "x 10^-2"), "F-score": (1e2, "%")}
SCALES |= {f"oracle {name}": scale for name, scale in SCALES.items()}


def f_score(x: Tensor, y: Tensor, tau: float = 0.01, relative: bool = True) -> Tensor:
    """`F = 2 P R / (P + R)`, P the part of x within `tau` of y, R that of y within `tau` of x: (B,) (arXiv 1905.03678).

    Args:
        x: reconstructions, (B, N, 3).
        y: references, (B, M, 3).
        tau: the distance, not squared; the usual F-score@1% has 0.01.
        relative: `tau` in units of the longest edge of each reference's bounding box, else of the coordinates.
    """
    return f_score_of(*nearest_squared(x, y), y, tau, relative)


def f_score_of(to_y: Tensor, to_x: Tensor, y: Tensor, tau: float, relative: bool = True) -> Tensor:
    """`f_score` from the squared nearest distances of either direction."""
    if not tau > 0:
        raise ValueError(f"tau of the F-score must be positive, got {tau}")
    edge = (y.amax(1) - y.amin(1)).amax(1, keepdim=True) if relative else 1.0
    limit = torch.as_tensor(edge, dtype=to_y.dtype, device=y.device).mul(tau).square()
    precision, recall = ((d < limit).to(to_y.dtype).mean(1) for d in (to_y, to_x))
    return 2 * precision * recall / (precision + recall).clamp_min(torch.finfo(to_y.dtype).tiny)


def paired(x: Tensor, y: Tensor, metrics: Sequence[str], tau: float, progress: bool) -> dict[str, Tensor]:
    """The metrics of x_i against y_i, (B,) each, float64."""
    figures: dict[str, list[Tensor]] = {}
    for start in range(0, len(x), CHUNK):
        a, b = x[start : start + CHUNK], y[start : start + CHUNK]
        if "cd" not in metrics and "f-score" not in metrics:
            break
        to_y, to_x = (d.double() for d in nearest_squared(a, b))
        figures.setdefault("CD", []).append(to_y.mean(1) + to_x.mean(1))
        figures.setdefault("F-score", []).append(f_score_of(to_y, to_x, b, tau))
    wanted = {"cd": "CD", "f-score": "F-score"}
    result = {wanted[name]: torch.cat(figures[wanted[name]]).cpu() for name in wanted if name in metrics}
    if "emd" in metrics:
        costs = solve_all(assignment_cost, zip(to_numpy(x), to_numpy(y), strict=True), len(x), progress)
        result["EMD"] = torch.tensor([cost for cost, _ in costs], dtype=torch.float64)
    return result


@torch.no_grad()
def evaluate_reconstruction(
    reconstructed,
    reference,
    inputs=None,
    metrics: Sequence[str] = RECONSTRUCTION_METRICS,
    tau: float = 0.01,
    progress: bool = True,
) -> dict[str, float]:
    """CD, exact EMD and F-score of reconstruction i against reference i, mean over shapes, not scaled.

    The protocol: encode `inputs` (the first 2048 training points of a test shape), decode 2048, compare with as many
    held-out points of the same shape. The oracle row compares `inputs` themselves with the held-out points: no
    reconstruction is expected below it. A mean over the shapes of all categories is the size-weighted one of the
    tables, which print CD x 10^4 and EMD x 10^2 (`SCALES`).

    Args:
        reconstructed, reference: (B, N, 3) and (B, M, 3), de-normalised; M = N for the EMD.
        inputs: (B, N, 3) for the oracle row.
        metrics: of "cd", "emd" and "f-score".
        tau: of the F-score, in units of the reference's longest edge.
        progress: show a progress bar.
    """
    metrics = check_metrics(metrics, RECONSTRUCTION_METRICS)
    reference = as_clouds(reference, "reference clouds")
    rows = {"": as_clouds(reconstructed, "reconstructed clouds")}
    if inputs is not None:
        rows["oracle "] = as_clouds(inputs, "input clouds")
    figures = {}
    for row, clouds in rows.items():
        clouds = clouds.to(reference.device)
        if len(clouds) != len(reference):
            raise ValueError(f"{row or 'reconstructed '}clouds: {len(clouds)}, expected {len(reference)} as references")
        if "emd" in metrics:
            check_same_points(clouds, reference)
        values = paired(clouds, reference, metrics, tau, progress)
        figures |= {f"{row}{name}": value.mean().item() for name, value in values.items()}
    return figures


def linear_probe(train_codes, train_labels, test_codes, test_labels) -> float:
    """Test accuracy, in [0, 1], of a linear SVM on shape codes: scikit-learn's `LinearSVC(random_state=0)`, defaults.

    Args:
        train_codes, test_codes: (B, D), codes of an auto-encoder trained on other data, normalised as in its training.
        train_labels, test_labels: (B,), classes.
    """
    from sklearn.svm import LinearSVC

    train_codes, train_labels = check_codes(train_codes, train_labels, "training codes")
    test_codes, test_labels = check_codes(test_codes, test_labels, "test codes")
    if train_codes.shape[1] != test_codes.shape[1]:
        raise ValueError(
            f"codes of {train_codes.shape[1]} dimensions in training and {test_codes.shape[1]} in the test"
        )
    if len(np.unique(train_labels)) < 2:
        raise ValueError("linear probe: the training labels are all of one class, expected at least 2")
    return float(LinearSVC(random_state=0).fit(train_codes, train_labels).score(test_codes, test_labels))


def check_codes(codes, labels, name: str) -> tuple[np.ndarray, np.ndarray]:
    codes, labels = (a.detach().cpu().numpy() if isinstance(a, Tensor) else np.asarray(a) for a in (codes, labels))
    if codes.ndim != 2 or labels.shape != codes.shape[:1] or not len(codes):
        raise ValueError(f"{name}: shapes {codes.shape} and {labels.shape} of labels, expected (B, D) and (B,)")
    if not np.isfinite(codes).all():
        raise ValueError(f"{name}: row {np.flatnonzero(~np.isfinite(codes).all(1))[0]} has NaN or infinite entries")
    return codes, labels
