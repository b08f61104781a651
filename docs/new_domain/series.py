"""A domain of its own on flowsuite.core: windows of a multivariate time series."""

import numpy as np
import torch
from scipy.signal import lfilter
from torch import nn

from flowsuite.core.data.numbers import read_csv
from flowsuite.core.distributions import StandardNormal
from flowsuite.core.flow import Flow
from flowsuite.core.layers.actnorm import ActNorm
from flowsuite.core.layers.conv1x1 import InvertibleConv1x1LU
from flowsuite.core.layers.coupling import Coupling
from flowsuite.core.layers.elementwise import Affine
from flowsuite.core.layers.flow_step import FlowStep
from flowsuite.core.layers.scale import TanhScale
from flowsuite.core.training.data import FlowDataModule
from flowsuite.core.transform import Compose


class SeriesFlow(Flow):
    """Glow's steps over the channels of windows (N, channels, length); the networks look along time."""

    def __init__(self, channels: int = 3, length: int = 24, steps: int = 8, width: int = 32):
        def step() -> FlowStep:
            passes = (channels + 1) // 2
            net = nn.Sequential(
                nn.Conv1d(passes, width, 9, padding=4),
                nn.GELU(),
                nn.Conv1d(width, width, 9, padding=4),
                nn.GELU(),
                nn.Conv1d(width, 2 * (channels - passes), 1),
            )
            return FlowStep(ActNorm(channels), InvertibleConv1x1LU(channels), Coupling(net, Affine(TanhScale())))

        super().__init__(Compose([step() for _ in range(steps)]), StandardNormal((channels, length)))


class Windows(torch.utils.data.Dataset):
    """Every window of `length` times of a series (times, channels), as (channels, length)."""

    def __init__(self, series: np.ndarray, length: int):
        self.windows = torch.as_tensor(series, dtype=torch.float32).unfold(0, length, 1)

    def __len__(self) -> int:
        return len(self.windows)

    def __getitems__(self, indices: list[int]) -> torch.Tensor:
        return self.windows[torch.as_tensor(indices)]


class SeriesData(FlowDataModule):
    """The columns of a CSV file, oldest row first, or made-up weather; the last fifth is for validation and test."""

    def __init__(self, path: str | None = None, length: int = 24, batch_size: int = 128, num_workers: int = 0):
        super().__init__(batch_size, num_workers)
        self.path, self.length = path, length

    def make_dataset(self, split: str) -> Windows:
        series = read_csv(self.path)[1] if self.path else weather()
        first, last = {"train": (0.0, 0.8), "val": (0.8, 0.9), "test": (0.9, 1.0)}[split]
        return Windows(series[int(first * len(series)) : int(last * len(series))], self.length)


def weather(hours: int = 8000, seed: int = 0) -> np.ndarray:
    """(hours, 3): temperature, demand and price of electricity, with days and memory."""
    noise = np.random.default_rng(seed).normal(size=(3, hours))
    temperature = 18 + 6 * np.sin(np.arange(hours) * 2 * np.pi / 24) + lfilter([1], [1, -0.9], noise[0])
    demand = 50 + 0.2 * (temperature - 18) ** 2 + lfilter([0.5], [1, -0.8], noise[1])
    return np.stack([temperature, demand, np.exp(demand / 20) + 0.3 * noise[2]], axis=1)
