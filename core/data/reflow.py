"""Pairs of noise and data joined by a trained flow, to straighten its paths (rectified flow, arXiv 2209.03003)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from flowsuite.core.training.checkpoint import load_module
from flowsuite.core.training.data import FlowDataModule

CHUNK = 10_000  # samples generated at a time


class Pairs(Dataset):
    """`(x, noise)`, row by row."""

    def __init__(self, x: Tensor, noise: Tensor):
        self.x, self.noise = x, noise

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return self.x[i], self.noise[i]

    def __getitems__(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        index = torch.as_tensor(indices)
        return self.x[index], self.noise[index]


class Reflow(FlowDataModule):
    """Trains on pairs `(x, noise)`, `x` being what the flow of a checkpoint makes of `noise`: generated once, at first.

    Validation and test sets are those of `data`: real examples. Goes with `objective: reflow` of
    `ContinuousFlowModule`, and a learning rate below that of the first training; start from the same weights with
    `--weights`. The averaged weights of the checkpoint are taken where it has them.

    Args:
        data: the data module that the checkpoint was trained on.
        ckpt_path: the flow, unconditional.
        pairs: their number; every process makes all of them.
        seed: of the noise.
        batch_size, num_workers: as in `FlowDataModule`.
    """

    def __init__(
        self,
        data: FlowDataModule,
        ckpt_path: str,
        pairs: int = 50_000,
        seed: int = 0,
        batch_size: int = 512,
        num_workers: int = 0,
    ):
        super().__init__(batch_size, num_workers)
        if pairs < 1:
            raise ValueError(f"pairs must be at least 1, got {pairs}")
        self.data, self.ckpt_path, self.pairs, self.seed = data, ckpt_path, pairs, seed

    def make_dataset(self, split):
        return self.make_pairs() if split == "train" else self.data.dataset(split)

    @torch.no_grad()
    def make_pairs(self) -> Pairs:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        flow = load_module(self.ckpt_path, device).flow
        noise = torch.randn(self.pairs, *flow.base.shape, generator=torch.Generator().manual_seed(self.seed))
        x = torch.cat([flow.decode(part.to(device)).cpu() for part in noise.split(CHUNK)])
        return Pairs(x, noise)
