"""Small made clouds for the tests of the metrics."""

import torch


def boxes(n: int, points: int, seed: int, dtype=torch.float32) -> torch.Tensor:
    """(n, points, 3): points in boxes of random edges, somewhere near the origin."""
    generator = torch.Generator().manual_seed(seed)
    edges = 0.2 + 0.6 * torch.rand(n, 1, 3, generator=generator, dtype=torch.float64)
    place = 0.1 * torch.randn(n, 1, 3, generator=generator, dtype=torch.float64)
    unit = torch.rand(n, points, 3, generator=generator, dtype=torch.float64) - 0.5
    return (unit * edges + place).to(dtype)
