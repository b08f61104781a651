"""Bayesian logistic regression."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from flowsuite.core.targets.shapes import log_normal
from flowsuite.core.targets.target import Target


class LogisticRegression(Target):
    """`beta_i ~ N(0, prior_std^2)`, `y_n ~ Bernoulli(sigmoid(beta_0 + x_n . beta_1..))`, on z = beta, (N, F + 1).

    All constants are kept: the normaliser is the evidence.

    Args:
        inputs: (R, F) numbers and labels (R,) of 0 and 1; None for both: the 569 tumours and 30 features of
            scikit-learn's breast cancer set, embedded there.
        labels: see `inputs`.
        prior_std: of every coefficient.
        standardize: give every column mean 0 and standard deviation 1.
    """

    def __init__(
        self,
        inputs: np.ndarray | torch.Tensor | None = None,
        labels: np.ndarray | torch.Tensor | None = None,
        prior_std: float = 1.0,
        standardize: bool = True,
    ):
        super().__init__()
        if (inputs is None) != (labels is None):
            raise ValueError("expected both inputs and labels, or neither")
        if prior_std <= 0:
            raise ValueError(f"prior_std must be positive, got {prior_std}")
        if inputs is None:
            inputs, labels = breast_cancer()
        x, y = (torch.as_tensor(a, dtype=torch.float64) for a in (inputs, labels))
        if x.ndim != 2 or y.shape != x.shape[:1] or not len(y):
            raise ValueError(f"expected inputs (R, F) and labels (R,), got {tuple(x.shape)} and {tuple(y.shape)}")
        if not x.isfinite().all():
            row, column = (~x.isfinite()).nonzero()[0].tolist()
            raise ValueError(f"inputs[{row}, {column}] is {float(x[row, column])}: expected finite numbers")
        if not ((y == 0) | (y == 1)).all():
            row = int(((y != 0) & (y != 1)).nonzero()[0])
            raise ValueError(f"labels[{row}] is {float(y[row]):g}: expected 0 or 1")
        if standardize:
            x = (x - x.mean(0)) / x.std(0, correction=0).clamp_min(torch.finfo(x.dtype).tiny)
        self.dims, self.prior_std = x.shape[1] + 1, prior_std
        self.register_buffer("design", torch.cat((torch.ones_like(x[:, :1]), x), 1))
        self.register_buffer("signs", 2 * y - 1)

    def log_density(self, z):
        margins = (z @ self.design.to(z).T) * self.signs.to(z)
        return log_normal(z, float(np.log(self.prior_std))).sum(1) + F.logsigmoid(margins).sum(1)


def breast_cancer() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_breast_cancer
    except ImportError:
        raise ImportError(
            "the breast cancer set comes with scikit-learn: pip install scikit-learn, or give inputs and labels"
        ) from None
    return load_breast_cancer(return_X_y=True)
