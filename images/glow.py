"""Glow: generative flow with invertible 1x1 convolutions (Kingma & Dhariwal 2018, arXiv 1807.03039)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flowsuite.core.layers.affine import Rescale
from flowsuite.core.layers.flow_step import FlowSteps
from flowsuite.core.layers.glow_step import PERMUTATIONS, glow_step
from flowsuite.core.layers.multiscale import MultiScale
from flowsuite.core.layers.split import GaussianTop, Split
from flowsuite.core.layers.squeeze import Squeeze2d
from flowsuite.core.nets.conv import EdgeConv2d
from flowsuite.core.transform import Compose
from flowsuite.images.flow import ImageFlow, check_divisible


class Glow(ImageFlow):
    """Multi-scale flow: `levels` times squeeze, `steps` flow steps, split.

    Args:
        image_shape: (C, H, W); H and W must be divisible by 2**levels.
        levels: L of the paper.
        steps: K of the paper, flow steps per level.
        width: hidden channels of the coupling nets.
        coupling: "affine" or "additive".
        permutation: "conv1x1", "conv1x1_lu", "shuffle" or "reverse"; or a list with one of these for each level.
        n_bits: depth of the modelled pixels.
        learn_top: learn the prior of the last latent.
        n_classes: condition the top prior on a class label, given as `context`; 0 for none.
        classifier: add a zero-initialised linear classifier on the spatial mean of the last latent (`classify`).
        scale: scale map of affine couplings: "sigmoid" (published), "bounded_sigmoid", "tanh" or "exp".
        convention: "official" (openai/glow) or "port" (rosinality/glow-pytorch: coupling nets without actnorm and
            border channel, actnorm that stores its scale).
        reversible: train with activation memory that does not grow with `steps`.

    Shapes: images (N, C, H, W) uint8; latents (N, C*H*W), standard normal: `body.unflatten` gives them by level.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (3, 32, 32),
        levels: int = 3,
        steps: int = 32,
        width: int = 512,
        coupling: str = "affine",
        permutation: str | list[str] = "conv1x1",
        n_bits: int = 8,
        learn_top: bool = True,
        n_classes: int = 0,
        classifier: bool = False,
        scale: str = "sigmoid",
        convention: str = "official",
        reversible: bool = False,
    ):
        if levels < 1 or steps < 1 or width < 1 or n_classes < 0:
            raise ValueError(
                f"expected levels, steps, width >= 1 and n_classes >= 0, got {levels}, {steps}, {width}, {n_classes}"
            )
        check_divisible(image_shape, levels, "Glow")
        if convention not in ("official", "port"):
            raise ValueError(f'convention must be "official" or "port", got {convention!r}')
        if coupling not in ("affine", "additive"):
            raise ValueError(f'coupling must be "affine" or "additive", got {coupling!r}')
        kinds = [permutation] * levels if isinstance(permutation, str) else list(permutation)
        if len(kinds) != levels or not set(kinds) <= set(PERMUTATIONS):
            raise ValueError(f"permutation must be one of {', '.join(PERMUTATIONS)}, or a list of {levels} of them")

        blocks, splits, shapes = [], [], []
        channels, height, width_ = image_shape
        for level, kind in enumerate(kinds):
            channels, height, width_ = channels * 4, height // 2, width_ // 2
            made = [glow_step(channels, width, coupling, kind, scale, convention) for _ in range(steps)]
            steps_ = FlowSteps(made, reversible)
            blocks.append(Compose([Squeeze2d(), steps_]))
            if level < levels - 1:
                channels //= 2
                splits.append(_split(channels, convention))
            shapes.append((channels, height, width_))
        top = GaussianTop(shapes[-1], learn_top, n_classes, _top_net(channels, convention))
        super().__init__(
            image_shape,
            n_bits,
            preprocess=Rescale(offset=-0.5),
            body=MultiScale(blocks, splits, shapes, top),
            n_classes=n_classes,
        )
        self.classifier = None
        if classifier:
            if not n_classes:
                raise ValueError("classifier=True needs n_classes")
            self.classifier = nn.Linear(channels, n_classes)
            nn.init.zeros_(self.classifier.weight)
            nn.init.zeros_(self.classifier.bias)

    def class_logits(self, top: Tensor, context: Tensor) -> Tensor:
        """The classifier's logits (N, n_classes) from the last standard latent (N, C, H, W), and its labels (N,).

        The classifier sees the spatial mean of the latent as it was before its prior standardised it, so the logits
        of an image do not depend on the label.
        """
        if self.classifier is None:
            raise ValueError("this Glow has no classifier: build it with classifier=True")
        return self.classifier(self.body.top.generate(top, context).mean((2, 3)))

    def log_prob_and_logits(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """`log_prob` (N,) and the classifier's logits (N, n_classes), in one pass."""
        self.check_images(x)
        self.check_labels(context)
        eps, ladj = self.transform(x, context)
        return self.base.log_prob(eps) + ladj, self.class_logits(self.body.unflatten(eps)[-1], context)

    def classify(self, x: Tensor) -> Tensor:
        """Logits (N, n_classes) of images without labels."""
        return self.log_prob_and_logits(x, torch.zeros(x.shape[0], dtype=torch.int64, device=x.device))[1]


def _split(channels: int, convention: str) -> Split:
    if convention == "official":
        return Split(EdgeConv2d(channels, 2 * channels, 3, "indicator", zero_init=True))
    return Split(EdgeConv2d(channels, 2 * channels, 3, "ones", zero_init=True))


def _top_net(channels: int, convention: str) -> nn.Module:
    if convention == "official":
        return EdgeConv2d(2 * channels, 2 * channels, 3, "indicator", zero_init=True)
    return EdgeConv2d(channels, 2 * channels, 3, "ones", zero_init=True)
