"""How image flows train: bits/dim as the loss, by level in validation, sample grids at several temperatures."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from flowsuite.core.objective import bits_per_dim
from flowsuite.core.training.module import FlowModule
from flowsuite.core.training.pictures import enlarge, grid
from flowsuite.images.flow import ImageFlow
from flowsuite.images.levels import encode_levels, has_levels
from flowsuite.images.sample_files import save_images


class ImageFlowModule(FlowModule):
    """Trains an image flow by its bits/dim, which unlike nats has one scale for all image sizes.

    Logged: `loss`; `bits_per_dim_<n>bit`, whose name says at which depth (figures at different depths do not compare);
    `nats`, per image; in validation and test `bits_per_dim_<n>bit_level<l>`, which add up to the whole. A Glow with a
    classifier adds `class_weight * cross_entropy / log 2` to the loss (openai/glow), and logs `cross_entropy` (nats)
    and `accuracy`. Augmentation belongs to the data module (`ImageDataModule.augment`): there it resumes exactly.

    Args:
        flow: an `ImageFlow`.
        class_weight: weight of the classifier's loss.
        temperatures: one row of example images each.
        examples: images in a row.
        kwargs: those of `FlowModule`.
    """

    def __init__(
        self,
        flow: ImageFlow,
        class_weight: float = 0.01,
        temperatures: list[float] = (0.0, 0.5, 0.7, 0.8, 0.9, 1.0),
        examples: int = 8,
        **kwargs,
    ):
        super().__init__(flow, **kwargs)
        if not isinstance(flow, ImageFlow):
            raise TypeError(f"flow must be an ImageFlow such as Glow, got {type(flow).__name__}")
        if any(t < 0 for t in temperatures):
            raise ValueError(f"temperatures must not be negative, got {list(temperatures)}")
        self.class_weight, self.temperatures, self.examples = class_weight, list(temperatures), examples

    @property
    def bits_name(self) -> str:
        return f"bits_per_dim_{self.flow.n_bits}bit"

    def unpack(self, batch):
        """Images, and their labels if the flow is conditional on a class."""
        x, labels = super().unpack(batch)
        return x, labels if self.flow.n_classes else None

    def loss(self, x, context, stage):
        extra, logits = {}, None
        classifies = getattr(self.flow, "classifier", None) is not None
        if stage != "train" and has_levels(self.flow):
            levels, latents = encode_levels(self.flow, x, context)
            log_prob = levels.sum(1)
            each = bits_per_dim(levels.mean(0), self.flow.dims)
            extra = {f"{self.bits_name}_level{i}": bits for i, bits in enumerate(each.unbind(), 1)}
            logits = self.flow.class_logits(latents[-1], context) if classifies else None
        elif classifies:
            log_prob, logits = self.flow.log_prob_and_logits(x, context)
        else:
            log_prob = self.flow(x, context)
        if logits is not None:
            extra["cross_entropy"] = F.cross_entropy(logits, context)
            extra["accuracy"] = (logits.argmax(1) == context).float().mean()
        bits = bits_per_dim(log_prob, self.flow.dims).mean()
        loss = bits + self.class_weight / math.log(2) * extra["cross_entropy"] if "cross_entropy" in extra else bits
        return loss, {self.bits_name: bits, "nats": -log_prob.mean(), **extra}

    def labels(self, n: int, context: Tensor | int | None, generator: torch.Generator | None = None) -> Tensor | None:
        """Labels (n,) for generation: as given, one class for all, or drawn uniformly if None."""
        if not self.flow.n_classes:
            return None
        if context is None:
            return torch.randint(self.flow.n_classes, (n,), generator=generator, device=self.device)
        context = torch.as_tensor(context, device=self.device)
        if context.min() < 0 or context.max() >= self.flow.n_classes:
            raise ValueError(f"class labels must be in 0..{self.flow.n_classes - 1}, got {context.tolist()}")
        return context.expand(n) if context.ndim == 0 else context

    def generate(self, n, context=None, temperature=1.0, generator=None):
        """`n` uint8 images; `context` is a class, labels (n,), or None for random classes."""
        return self.flow.sample(n, self.labels(n, context, generator), temperature, generator)

    def save_samples(self, samples, out, first):
        return save_images(samples, out, first)

    @torch.no_grad()
    def example_images(self):
        """One row for each temperature, the same standard latents (and classes) in all of them and at every time."""
        generator = torch.Generator(self.device).manual_seed(0)
        z = self.flow.base.sample(self.examples, 1.0, generator)
        labels = self.labels(self.examples, None, generator)
        rows = [self.flow.decode(t * z, labels) for t in self.temperatures]
        return enlarge(grid(torch.cat(rows), columns=self.examples)).float() / 255
