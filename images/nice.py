"""NICE: non-linear independent components estimation (Dinh, Krueger, Bengio 2014, arXiv 1410.8516)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from flowsuite.core.distributions import make_base
from flowsuite.core.layers.affine import DiagonalScale, Rescale
from flowsuite.core.layers.coupling import Coupling
from flowsuite.core.layers.reorder import EvenOdd, Flatten, Reverse
from flowsuite.core.layers.whitening import Whitening
from flowsuite.core.nets.mlp import MLP
from flowsuite.core.transform import Compose, Transform
from flowsuite.images.flow import ImageFlow


class NICE(ImageFlow):
    """Additive couplings on flattened images, then one diagonal scaling: `log p(x) = sum_i log p(z_i) + sum_i s_i`.

    A coupling splits the vector at its middle, `b <- b + m(a)` with an MLP `m`, and the order of the whole vector is
    reversed after it, so that the halves exchange roles; then `z = exp(s) h`. With an odd number of dimensions the
    middle one stays on the conditioning side of every coupling: still a bijection, it is only scaled.

    Args:
        image_shape: (C, H, W).
        couplings: number of couplings.
        hidden_layers: ReLU layers of a coupling's MLP, one number for all or one a coupling.
        hidden_units: width of these layers, one number for all or one a coupling.
        base: density of the latent, "logistic" or "normal".
        tile: first put even indices in one half and odd indices in the other.
        data_range: pixels are scaled to this interval, (0, 1) or (-1, 1); bits/dim do not depend on it.
        whitening: "none", "zca" or "pca": a fixed linear map before the couplings, fitted by `fit_whitening` (the
            callback `FitWhitening` does that when training starts).
        damping: added to the covariance's eigenvalues before whitening; large values whiten approximately.
        init_range: weights start as U(-init_range, init_range), biases at 0.
        n_bits: depth of the modelled pixels.

    Shapes: images (N, C, H, W) uint8; latents (N, C*H*W).
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        couplings: int = 4,
        hidden_layers: int | Sequence[int] = 5,
        hidden_units: int | Sequence[int] = 1000,
        base: str = "logistic",
        tile: bool = True,
        data_range: tuple[float, float] = (0.0, 1.0),
        whitening: str = "none",
        damping: float = 1e-3,
        init_range: float = 0.01,
        n_bits: int = 8,
    ):
        dims = image_shape[0] * image_shape[1] * image_shape[2]
        if dims < 2 or couplings < 1:
            raise ValueError(f"NICE needs images of at least 2 values and a coupling, got {dims} and {couplings}")
        depths = _one_each(hidden_layers, couplings, "hidden_layers")
        widths = _one_each(hidden_units, couplings, "hidden_units")
        low, high = data_range
        if not low < high:
            raise ValueError(f"data_range must be (low, high) with low < high, got ({low}, {high})")
        if whitening not in ("none", "zca", "pca"):
            raise ValueError(f'whitening must be "none", "zca" or "pca", got {whitening!r}')
        layers: list[Transform] = [Flatten(image_shape)]
        if whitening != "none":
            layers.append(Whitening(dims, whitening, damping))
        if tile:
            layers.append(EvenOdd())
        for depth, width in zip(depths, widths, strict=True):
            net = MLP((dims + 1) // 2, dims // 2, [width] * depth, init_range=init_range)
            layers += [Coupling(net), Reverse()]
        layers.append(DiagonalScale(dims))
        preprocess = Rescale(factor=high - low, offset=low)
        super().__init__(image_shape, n_bits, preprocess, Compose(layers), make_base(base, dims))

    @property
    def whitening(self) -> Whitening | None:
        """The whitening layer, if the model has one."""
        return next((layer for layer in self.body if isinstance(layer, Whitening)), None)

    @torch.no_grad()
    def fit_whitening(self, batches: Iterable[Tensor]) -> None:
        """Fits the whitening layer to batches of images (N, C, H, W) uint8, at the middle of every pixel's bin."""
        if self.whitening is None:
            raise ValueError('this NICE has no whitening to fit: it was built with whitening="none"')

        def vectors(images: Tensor) -> Tensor:
            self.check_images(images)
            y = self.dequantize.center(images.to(self.whitening.mean.device))
            return self.transform[1](y)[0].flatten(1)

        self.whitening.fit(vectors(images) for images in batches)

    @torch.no_grad()
    def importance_spectrum(self) -> Tensor:
        """`exp(-s_i)` in decreasing order, (D,): how much of the data each latent dimension accounts for."""
        return (-self.body[-1].log_scale).exp().sort(descending=True).values


def _one_each(value: int | Sequence[int], couplings: int, name: str) -> list[int]:
    values = [value] * couplings if isinstance(value, int) else list(value)
    if len(values) != couplings or min(values) < 0:
        raise ValueError(f"{name} must be one number or one for each of the {couplings} couplings, got {value}")
    return values
