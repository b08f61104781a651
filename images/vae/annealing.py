"""How the weight of a term of the bound rises at the start of training."""

from __future__ import annotations

FLOOR = 0.01  # of the joint kind, at the first step
PUBLISHED = {"none": 1, "kl": 100, "joint": 10_000}


class Annealing:
    """beta over training, of one of two kinds that mean different things:

    - "kl": `beta = min(1, epoch / length)`, epochs counted from 1, multiplies the divergence `log q - log p(z)` alone
      (arXiv 1803.05649, length 100);
    - "joint": `beta = min(1, 0.01 + t / length)`, t updates done, multiplies the whole log joint `log p(x, z)`
      (arXiv 1505.05770, length 10,000);
    - "none": 1.

    Args:
        kind: of these.
        length: epochs ("kl") or updates ("joint"); as published if None.
    """

    def __init__(self, kind: str = "kl", length: int | None = None):
        if kind not in PUBLISHED:
            raise ValueError(f"annealing must be one of {', '.join(PUBLISHED)}, got {kind!r}")
        self.kind, self.length = kind, PUBLISHED[kind] if length is None else length
        if self.length < 1:
            raise ValueError(f"the length of the annealing must be at least 1, got {length}")

    def beta(self, epoch: int, step: int) -> float:
        """In epoch number `epoch`, from 0, after `step` updates."""
        if self.kind == "kl":
            return min(1.0, (epoch + 1) / self.length)
        return min(1.0, FLOOR + step / self.length) if self.kind == "joint" else 1.0
