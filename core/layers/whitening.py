"""Whitening: a fixed linear map, fitted to data once, that decorrelates vectors."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from flowsuite.core.numerics import at_least_float32, autocast_off
from flowsuite.core.transform import Transform


class Whitening(Transform):
    """`z = W (x - mean)` on vectors (B, D) with `W` from the covariance `V diag(l) V^T` of data; log-det `log|det W|`.

    - `kind="zca"`: `W = V diag((l + damping)^(-1/2)) V^T`, the whitening closest to the identity (Krizhevsky 2009);
    - `kind="pca"`: `W = diag((l + damping)^(-1/2)) V^T`.

    `damping` keeps `W` invertible and well conditioned; a large one whitens only approximately. Before `fit` the map
    is the identity; its four arrays are buffers, so a checkpoint carries them.
    """

    def __init__(self, dims: int, kind: str = "zca", damping: float = 1e-3):
        super().__init__()
        if kind not in ("zca", "pca"):
            raise ValueError(f'kind must be "zca" or "pca", got {kind!r}')
        if damping <= 0:
            raise ValueError(f"damping must be positive, got {damping}")
        self.dims, self.kind, self.damping = dims, kind, damping
        self.register_buffer("mean", torch.zeros(dims))
        self.register_buffer("matrix", torch.eye(dims))
        self.register_buffer("inverse_matrix", torch.eye(dims))
        self.register_buffer("log_det", torch.zeros(()))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))

    def extra_repr(self) -> str:
        return f"dims={self.dims}, kind={self.kind}, damping={self.damping}"

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> None:
        """Sets the map from batches (B, D) of data, read once; moments in float64."""
        mean, covariance = streaming_covariance(batches, self.dims, self.mean.device)
        values, vectors = torch.linalg.eigh(covariance)
        std = (values.clamp_min(0) + self.damping).sqrt()
        matrix, inverse = vectors.T / std[:, None], vectors * std
        if self.kind == "zca":
            matrix, inverse = vectors @ matrix, inverse @ vectors.T
        self.mean.copy_(mean)
        self.matrix.copy_(matrix)
        self.inverse_matrix.copy_(inverse)
        self.log_det.copy_(-std.log().sum())
        self.fitted.fill_(True)

    def _check(self, x: Tensor) -> None:
        if x.ndim != 2 or x.shape[1] != self.dims:
            raise ValueError(f"Whitening expected shape (N, {self.dims}), got {tuple(x.shape)}")

    def forward(self, x, context=None):
        self._check(x)
        with autocast_off(x):
            return (at_least_float32(x) - self.mean) @ self.matrix.T, self.log_det.expand(x.shape[0])

    def inverse(self, z, context=None):
        self._check(z)
        with autocast_off(z):
            return at_least_float32(z) @ self.inverse_matrix.T + self.mean, (-self.log_det).expand(z.shape[0])


def streaming_covariance(batches: Iterable[Tensor], dims: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean (D,) and population covariance (D, D) of batches (B, D), float64, reading each batch once.

    Sums are about the first batch's mean, so that a large common offset costs no digits.
    """
    count, origin = 0, None
    total = torch.zeros(dims, dtype=torch.float64, device=device)
    square = torch.zeros(dims, dims, dtype=torch.float64, device=device)
    for batch in batches:
        if batch.ndim != 2 or batch.shape[1] != dims:
            raise ValueError(f"expected batches of shape (N, {dims}), got {tuple(batch.shape)}")
        batch = batch.to(device, torch.float64)
        origin = batch.mean(0) if origin is None else origin
        batch = batch - origin
        count += len(batch)
        total += batch.sum(0)
        square.addmm_(batch.T, batch)
    if count < 2:
        raise ValueError(f"a covariance needs at least 2 examples, got {count}")
    mean = total / count
    return mean + origin, square / count - torch.outer(mean, mean)
