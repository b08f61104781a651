"""How fast WaveFlow's synthesis could be on this machine: what it computes and moves, what the machine does.

The counts are those of the published network as it is written down, see `flops_per_sample` and `bytes_per_sample`.
"""

from __future__ import annotations

import torch

from benchmarks.timing import medians

RATE = 22050


def flops_per_sample(height: int, channels: int, layers: int = 8, flows: int = 8) -> float:
    """`(h - 1) / h * flows * layers * (40 C^2 + 320 C)`, for 80 bands."""
    return (height - 1) / height * flows * layers * (40 * channels**2 + 320 * channels)


def bytes_per_sample(height: int, channels: int, size: int = 2, layers: int = 8, flows: int = 8) -> float:
    """`(h - 1) / h * flows * layers * (6 C + 80)` numbers of `size` bytes (12 C + 160 bytes in bfloat16).

    Of each layer, fused in one kernel, for one row: three rows in (3C), the bands of the conditioner (80), the new row
    (C), the sum of the skips read and written (2C).
    """
    return (height - 1) / height * flows * layers * (6 * channels + 80) * size


class Roofline:
    """What this machine does: FLOP/s of large matrix products, bytes/s of large copies on a GPU.

    On a CPU what a layer needs stays in its caches, so that there is no memory limit to compare with.
    """

    def __init__(self, device: str):
        self.gpu = device != "cpu"
        self.rates = {"float32": product_rate(device, torch.float32)}
        self.bandwidth = 0.0
        if self.gpu:
            self.rates["bfloat16"] = product_rate(device, torch.bfloat16)
            self.bandwidth = copy_rate(device)

    def __str__(self) -> str:
        products = ", ".join(f"{rate / 1e9:,.0f} GFLOP/s in {name}" for name, rate in self.rates.items())
        return f"matrix products here: {products}" + (f"; copies: {self.bandwidth / 1e9:,.0f} GB/s" if self.gpu else "")

    def limits(self, height: int, channels: int, low: bool) -> list[float | None]:
        """Of compute and of memory, in times real time, for networks in bfloat16 (`low`) or float32."""
        rate = self.rates["bfloat16" if low else "float32"]
        compute = rate / (flops_per_sample(height, channels) * RATE)
        if not self.gpu:
            return [compute, None]
        memory = self.bandwidth / (bytes_per_sample(height, channels, 2 if low else 4) * RATE)
        return [compute, memory]


def product_rate(device: str, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product."""
    n, k, m = (512, 1024, 4096) if device == "cpu" else (8192, 8192, 8192)
    a, b = torch.randn(n, k, device=device, dtype=dtype), torch.randn(k, m, device=device, dtype=dtype)
    return 2 * n * k * m / (medians({"product": lambda: a @ b}, rounds=7)["product"] / 1e3)


def copy_rate(device: str) -> float:
    """Bytes read and written per second by a copy of a GiB."""
    source = torch.zeros(2**30, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * len(source) / (medians({"copy": lambda: target.copy_(source)}, rounds=7)["copy"] / 1e3)
