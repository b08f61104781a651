"""FFJORD for images (Grathwohl et al. 2019, arXiv 1810.01367), and RNODE (Finlay et al. 2020, 2002.02798)."""

from __future__ import annotations

from collections.abc import Sequence

from flowsuite.core.layers.affine import Rescale
from flowsuite.core.layers.batchnorm import MovingBatchNorm
from flowsuite.core.layers.continuous import CNF
from flowsuite.core.layers.logit import Logit
from flowsuite.core.layers.multiscale import MultiScale
from flowsuite.core.layers.split import Split
from flowsuite.core.layers.squeeze import Squeeze2d
from flowsuite.core.nets.conv_field import ConvField
from flowsuite.core.nets.field_layers import check_end_time
from flowsuite.core.ode import Solver
from flowsuite.core.transform import Compose
from flowsuite.images.flow import ImageFlow, check_divisible

SMALLEST = 4  # images below this height or width are not halved


class ImageFFJORD(ImageFlow):
    """Logit, then CNFs with convolutional fields, multi-scale or single-scale.

    Multi-scale (the published 0.99 bits/dim on MNIST and 3.40 on CIFAR-10): every scale but the last has `num_blocks`
    CNFs, a 2x2 squeeze and `num_blocks` more; then half of the channels leave and the other half goes on. The last
    scale has `num_blocks` CNFs. With `strides` of 2 and -2 the fields are encoder-decoders, and one scale is meant
    (`n_scales=1`; published 1.05 bits/dim on MNIST with hidden 8, 32, 32, 8 and strides 2, 2, 1, -2, -2).

    RNODE is the same flow on a fixed grid, its training penalised by kinetic energy and Jacobian norm (recipe
    `images/rnode-mnist`).

    Args:
        image_shape: (C, H, W).
        hidden: channels of the hidden layers of a field.
        strides: one a layer of a field, see `ConvField`; all 1 if None.
        num_blocks: CNFs one after another.
        n_scales: number of scales; None halves as long as height and width are at least 4 (28: 3 scales, 32: 4).
        layer: one of `flowsuite.core.nets.field_layers.CONV_FIELD_LAYERS`.
        activation: one of `flowsuite.core.nets.activations.SLOPED_ACTIVATIONS`.
        residual: fields are `f(t, x) - x`.
        batch_norm: a moving batch norm after the CNFs of a single-scale flow.
        alpha: pixels are squeezed into [alpha, 1 - alpha] before the logit (1e-6 for MNIST, 0.05 for CIFAR-10); 0 or
            below takes `x - 0.5` in place of the logit.
        n_bits: depth of the modelled pixels.
        end_time, train_end_time, divergence, eval_divergence, solver, eval_solver: see `CNF`.

    Shapes: images (N, C, H, W) uint8; latents (N, C*H*W), standard normal: `body.unflatten` gives them by scale.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        hidden: Sequence[int] = (64, 64, 64),
        strides: Sequence[int] | None = None,
        num_blocks: int = 2,
        n_scales: int | None = None,
        layer: str = "concat",
        activation: str = "softplus",
        residual: bool = False,
        batch_norm: bool = False,
        alpha: float = 1e-6,
        n_bits: int = 8,
        end_time: float = 1.0,
        train_end_time: bool = True,
        divergence: str = "rademacher",
        eval_divergence: str = "rademacher",
        solver: Solver | None = None,
        eval_solver: Solver | None = None,
    ):
        if num_blocks < 1:
            raise ValueError(f"num_blocks must be at least 1, got {num_blocks}")
        if n_scales is not None and n_scales < 1:
            raise ValueError(f"n_scales must be at least 1, got {n_scales}")
        n_scales = n_scales or count_scales(image_shape)
        check_divisible(image_shape, n_scales - 1, "ImageFFJORD")
        if batch_norm and n_scales > 1:
            raise ValueError(f"batch_norm is for a single scale, got n_scales={n_scales}")
        check_end_time(layer, end_time, train_end_time)

        def cnfs(shape: tuple[int, int, int]) -> list[CNF]:
            fields = [
                ConvField(shape, hidden, strides, layer, activation, residual=residual) for _ in range(num_blocks)
            ]
            settings = (end_time, train_end_time, divergence, eval_divergence, solver, eval_solver)
            return [CNF(field, *settings) for field in fields]

        levels, shapes = [], []
        channels, height, width = image_shape
        for _ in range(n_scales - 1):
            squeezed = 4 * channels, height // 2, width // 2
            levels.append(Compose([*cnfs((channels, height, width)), Squeeze2d(), *cnfs(squeezed)]))
            channels, height, width = 2 * channels, height // 2, width // 2
            shapes.append((channels, height, width))
        last = cnfs((channels, height, width))
        if batch_norm:
            last.append(MovingBatchNorm(channels, affine=True, statistics="running"))
        levels.append(Compose(last))
        shapes.append((channels, height, width))
        body = MultiScale(levels, [Split() for _ in range(n_scales - 1)], shapes)
        preprocess = Logit(alpha) if alpha > 0 else Rescale(offset=-0.5)
        super().__init__(image_shape, n_bits, preprocess=preprocess, body=body)


def count_scales(image_shape: tuple[int, int, int]) -> int:
    """How often height and width can be halved from 4 or more."""
    size, scales = min(image_shape[1:]), 0
    while size >= SMALLEST:
        size, scales = size // 2, scales + 1
    return max(scales, 1)
