"""Sylvester flows: orthogonal, Householder and triangular."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from flowsuite.core.layers.amortized import AmortizedTransform, add_multiple, apply_matrix, dot, layers_of
from flowsuite.core.layers.tanh_root import sech2, solve_tanh

Turn = Callable[[Tensor], Tensor]


class Sylvester(AmortizedTransform):
    """K Sylvester layers, one after another (arXiv 1803.05649):

        z_k = z + Q R1 tanh(R2 Q^T z + b),  log|det| = sum_m log1p(r1_mm r2_mm sech^2(t_m)),  t = R2 Q^T z + b

    with Q (D, M) of orthonormal columns and R1, R2 (M, M) upper triangular, their diagonals outputs of tanh, so that
    `r1_mm r2_mm > -1`. As published, R1 is the strict upper triangle of one matrix and R2 that of its transpose. Of Q
    there are three kinds:

    - "orthogonal": M <= D columns, the Q of `raw = Q R` with a positive diagonal of R (one batched QR for all layers
      and examples; the published code iterates to the nearest orthonormal matrix: the same for orthonormal raw);
    - "householder": M = D, a product of reflections `I - 2 v v^T / |v|^2`, applied to z one by one in O(n D);
    - "triangular": M = D, the identity in even layers and the reversal of the indices in odd ones.

    `forward` is the published direction, noise to sample (see `AmortizedTransform`). The inverse moves within the span
    of Q alone: `v' = v + R1 tanh(R2 v + b)`, `v = Q^T z`, is solved from the last component to the first, one scalar
    equation each (`solve_tanh`), because R1 and R2 are triangular.

    Args:
        dims: D.
        n_layers: K.
        kind: of Q, see above.
        columns: M, for "orthogonal" only; None for D.
        reflections: n, for "householder" only; published 8, from 4 to 16.
        context_features: size C of a context (B, C) that all parameters are a linear map of; 0 to learn them.

    Parameters: `r` (K, M, M), `diag1`, `diag2` (K, M) before the tanh, `b` (K, M), and `q` (K, D, M) for "orthogonal"
    or `v` (K, n, D) for "householder".
    """

    def __init__(
        self,
        dims: int,
        n_layers: int = 1,
        kind: str = "orthogonal",
        columns: int | None = None,
        reflections: int = 8,
        context_features: int = 0,
    ):
        if kind not in ("orthogonal", "householder", "triangular"):
            raise ValueError(f'kind must be "orthogonal", "householder" or "triangular", got {kind!r}')
        if columns is not None and (kind != "orthogonal" or not 1 <= columns <= dims):
            raise ValueError(
                f'columns must be between 1 and dims = {dims}, for kind "orthogonal", got {columns} for {kind!r}'
            )
        if min(dims, n_layers, reflections) < 1:
            raise ValueError(
                f"dims, n_layers and reflections must be at least 1, got {dims}, {n_layers}, {reflections}"
            )
        size = dims if columns is None else columns
        initial = {
            "r": 0.1 * torch.randn(n_layers, size, size),
            "diag1": 0.1 * torch.randn(n_layers, size),
            "diag2": 0.5 + 0.1 * torch.randn(n_layers, size),
            "b": torch.zeros(n_layers, size),
        }
        if kind == "orthogonal":
            initial["q"] = torch.randn(n_layers, dims, size)
        elif kind == "householder":
            initial["v"] = torch.randn(n_layers, reflections, dims)
        super().__init__(dims, initial, context_features)
        self.n_layers, self.kind, self.columns = n_layers, kind, size

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, n_layers={self.n_layers}, kind={self.kind!r}, columns={self.columns}"

    def push(self, z, r, diag1, diag2, b, q=None, v=None):
        r1, r2 = triangles(r, diag1, diag2)
        if q is not None:
            q = orthonormal(q)
            r1, r2 = q @ r1, r2 @ q.mT
        turns = self.rotations(v)
        ts = []
        for (r1_k, r2_k, b_k), (turn, turn_back) in zip(layers_of(r1, r2, b), turns, strict=True):
            t = apply_matrix(r2_k, turn(z)) + b_k
            z = z + turn_back(apply_matrix(r1_k, torch.tanh(t)))
            ts.append(t)
        return z, self.log_det(diag1, diag2, torch.stack(ts, -2))

    def pull(self, z, r, diag1, diag2, b, q=None, v=None):
        r1, r2 = triangles(r, diag1, diag2)
        turns = self.rotations(v) if q is None else columns_of(orthonormal(q))
        ts = []
        layers = zip(layers_of(r1, r2, b), turns, strict=True)
        for (r1_k, r2_k, b_k), (turn, turn_back) in reversed(list(layers)):
            t = solve_triangular(r1_k, r2_k, b_k, turn(z))
            z = z - turn_back(apply_matrix(r1_k, torch.tanh(t)))
            ts.append(t)
        return z, -self.log_det(diag1, diag2, torch.stack(ts[::-1], -2))

    def rotations(self, v: Tensor | None) -> list[tuple[Turn, Turn]]:
        """`z -> Q^T z` and `z -> Q z` of each layer; the identity where Q is within R1 and R2 already."""
        if self.kind == "householder":
            reflections = [layers_of(v[:, k]) for k in range(self.n_layers)]
            return [(partial(reflect, vs=vs), partial(reflect, vs=vs[::-1])) for vs in reflections]
        if self.kind == "triangular":
            return [(flip, flip) if k % 2 else (same, same) for k in range(self.n_layers)]
        return [(same, same)] * self.n_layers

    def log_det(self, diag1: Tensor, diag2: Tensor, t: Tensor) -> Tensor:
        """(1 or B, K, M), (1 or B, K, M) and (..., B, K, M) -> (..., B)."""
        return torch.log1p(torch.tanh(diag1) * torch.tanh(diag2) * sech2(t)).sum((-2, -1))


def triangles(r: Tensor, diag1: Tensor, diag2: Tensor) -> tuple[Tensor, Tensor]:
    """R1 and R2 from one matrix and two diagonals before their tanh: (..., M, M), (..., M), (..., M)."""
    return tuple(a.triu(1) + torch.diag_embed(d.tanh()) for a, d in ((r, diag1), (r.mT, diag2)))


def orthonormal(raw: Tensor) -> Tensor:
    """The Q of `raw = Q R` with the diagonal of R positive: (..., D, M) -> (..., D, M)."""
    q, r = torch.linalg.qr(raw)
    diagonal = r.diagonal(dim1=-2, dim2=-1)
    return q * torch.where(diagonal < 0, -1.0, 1.0).to(q.dtype).unsqueeze(-2)


def same(z: Tensor) -> Tensor:
    return z


def flip(z: Tensor) -> Tensor:
    return z.flip(-1)


def columns_of(q: Tensor) -> list[tuple[Turn, Turn]]:
    """`z -> Q^T z` and `v -> Q v` of each of the layers' Q (1 or B, K, D, M)."""
    return [(partial(apply_matrix, q_k.mT), partial(apply_matrix, q_k)) for (q_k,) in layers_of(q)]


def reflect(z: Tensor, vs: list[tuple[Tensor]]) -> Tensor:
    """`z - 2 v (v.z) / |v|^2` for one v, (D,) or (B, D), after another."""
    for (v,) in vs:
        unit = v / v.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(v.dtype).tiny)
        z = add_multiple(z, dot(z, unit), unit, -2)
    return z


def solve_triangular(r1: Tensor, r2: Tensor, b: Tensor, outer: Tensor) -> Tensor:
    """`t = R2 v + b` of the root v of `v + R1 tanh(R2 v + b) = v'`, for `v'` (..., B, M).

    With everything above component i known, `t_i + r1_ii r2_ii tanh(t_i) = b_i + sum_(j>i) r2_ij v_j + r2_ii s` with
    `s = v'_i - sum_(j>i) r1_ij tanh(t_j)`, and `v_i = s - r1_ii tanh(t_i)`.
    """
    ts: list[Tensor] = []
    vs: list[Tensor] = []
    for i in reversed(range(outer.shape[-1])):
        s, c = outer[..., i], b[..., i]
        if vs:
            s = s - dot(torch.tanh(torch.stack(ts[::-1], -1)), r1[..., i, i + 1 :])
            c = c + dot(torch.stack(vs[::-1], -1), r2[..., i, i + 1 :])
        r1_i, r2_i = r1[..., i, i], r2[..., i, i]
        t = solve_tanh(r1_i * r2_i, c + r2_i * s)
        ts.append(t)
        vs.append(s - r1_i * torch.tanh(t))
    return torch.stack(ts[::-1], -1)
