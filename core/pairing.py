"""Which noise goes with which data in a minibatch, for flow matching."""

from __future__ import annotations

import torch
from torch import Tensor

PAIRINGS = ("independent", "optimal")


def optimal_assignment(noise: Tensor, data: Tensor) -> Tensor:
    """The permutation `p` that minimises `sum_i |noise_i - data_p(i)|^2`: indices (B,), on the device of `data`.

    Exact optimal transport between the two minibatches (arXiv 2302.00482), every point used once; the order of `noise`
    stays, `data[p]` is paired with it. The assignment is found on the host by scipy, O(B^3): the device waits for it.

    Args:
        noise, data: (B, ...), of one shape.
    """
    from scipy.optimize import linear_sum_assignment

    if noise.shape != data.shape or data.ndim < 2:
        raise ValueError(
            f"expected noise and data of one shape (B, ...), got {tuple(noise.shape)}, {tuple(data.shape)}"
        )
    a, b = (x.detach().flatten(1).double() for x in (noise, data))
    # The squared norms are the same for every assignment: what is left is the inner product.
    gain = (a @ b.T).cpu()
    if not gain.isfinite().all():
        raise ValueError("optimal pairing needs finite noise and data, got NaN or infinity")
    return torch.from_numpy(linear_sum_assignment(gain.numpy(), maximize=True)[1]).to(data.device)


def pair_noise(noise: Tensor, data: Tensor, pairing: str) -> Tensor:
    """`noise` in the order in which it is paired with `data`, which keeps its own (and with it its contexts)."""
    if pairing not in PAIRINGS:
        raise ValueError(f"unknown pairing {pairing!r}: expected one of {', '.join(PAIRINGS)}")
    return noise if pairing == "independent" else noise[optimal_assignment(data, noise)]
