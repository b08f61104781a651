"""A small flow on made vectors, for tests: importable by class path, as a user's own classes are."""

from __future__ import annotations

import os
import signal

import torch
from pytorch_lightning import Callback
from torch import Tensor, nn
from torch.utils.data import Dataset

from flowsuite.core.distributions import StandardNormal
from flowsuite.core.flow import Flow
from flowsuite.core.layers.actnorm import ActNorm
from flowsuite.core.layers.conv1x1 import InvertibleConv1x1
from flowsuite.core.layers.coupling import Coupling
from flowsuite.core.layers.elementwise import Affine
from flowsuite.core.training.data import FlowDataModule
from flowsuite.core.training.module import FlowModule
from flowsuite.core.transform import Compose, Transform


class Jitter(Transform):
    """Noise on the way in, as dequantisation adds."""

    bijective = False

    def forward(self, x, context=None):
        return x + 0.01 * torch.rand_like(x), x.new_zeros(x.shape[0])

    def inverse(self, z, context=None):
        return z, z.new_zeros(z.shape[0])


class ToyFlow(Flow):
    def __init__(self, dims: int = 4, width: int = 8, steps: int = 2, noise: bool = True, reversible: bool = False):
        layers = []
        for i in range(steps):
            net = nn.Sequential(nn.Linear(dims // 2, width), nn.Tanh(), nn.Linear(width, dims))
            layers += [ActNorm(dims), InvertibleConv1x1(dims), Coupling(net, Affine(), swap=bool(i % 2))]
        body = Compose(layers, reversible)
        super().__init__(Compose([Jitter(), body]) if noise else body, StandardNormal(dims))


class Vectors(Dataset):
    """Items drawn from their index, with random augmentation on top."""

    def __init__(self, n: int, dims: int, poison: tuple[int, ...] = (), augment: bool = False):
        mixing = torch.randn(dims, dims, generator=torch.Generator().manual_seed(0))
        self.x = 2 + torch.randn(n, dims, generator=torch.Generator().manual_seed(n)) @ mixing
        self.x[list(poison)] = float("nan")
        self.augment = augment

    def __len__(self) -> int:
        return len(self.x)

    def __getitems__(self, indices: list[int]) -> Tensor:
        x = self.x[torch.as_tensor(indices)]
        return x + 0.01 * torch.randn(x.shape) if self.augment else x

    def __getitem__(self, i: int) -> Tensor:
        return self.__getitems__([i])[0]


class ToyData(FlowDataModule):
    def __init__(
        self, n: int = 48, dims: int = 4, batch_size: int = 8, num_workers: int = 0, poison: list[int] | None = None
    ):
        super().__init__(batch_size, num_workers)
        self.n, self.dims, self.poison = n, dims, tuple(poison or ())

    def make_dataset(self, split: str) -> Dataset:
        return Vectors(self.n if split == "train" else 20, self.dims, self.poison if split == "train" else (), True)


class SignalAt(Callback):
    """Sends this process a signal when batch `batch` (counted over epochs) is done, or in validation number `val`."""

    def __init__(self, batch: int | None = None, name: str = "SIGKILL", val: int | None = None):
        self.batch, self.number, self.val = batch, getattr(signal, name), val
        self.batches = self.validations = 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.batches += 1
        if self.batches == self.batch:
            os.kill(os.getpid(), self.number)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.validations += 1
        if self.validations == self.val:
            os.kill(os.getpid(), self.number)


class ToyModule(FlowModule):
    """Shows a picture, to see that it is shown."""

    def example_images(self) -> Tensor:
        return self.generate(16).sigmoid().view(1, 4, 16)
