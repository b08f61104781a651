"""What the tests of continuous flows share: every array of a case compared, and probes put into continuous layers."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from flowsuite.core.layers.continuous import CNF


class Check:
    """Compares with the output arrays of a case and remembers which have been seen.

    Args:
        case: a `ReferenceCase`.
        tolerance: relative to the largest number of an array, at least 1.
    """

    def __init__(self, case, tolerance: float):
        self.output, self.tolerance, self.seen = case.output, tolerance, set()

    def __call__(self, name: str, ours: Tensor, tolerance: float | None = None) -> None:
        theirs = self.output[name]
        rtol = tolerance or self.tolerance
        atol = rtol * max(1.0, float(theirs.abs().max()))
        ours = torch.as_tensor(ours).detach()
        assert ours.numel() == theirs.numel(), f"{name}: {tuple(ours.shape)} and {tuple(theirs.shape)}"
        torch.testing.assert_close(
            ours.reshape(theirs.shape), theirs, rtol=rtol, atol=atol, check_dtype=False, msg=lambda m: f"{name}: {m}"
        )
        self.seen.add(name)

    def wants(self, name: str) -> bool:
        return name in self.output

    def finish(self) -> None:
        """Nothing of the case was left out."""
        left = set(self.output) - self.seen
        assert not left, f"arrays that nothing checked: {', '.join(sorted(left))}"


def continuous_layers(flow: nn.Module) -> list[CNF]:
    return [module for module in flow.modules() if isinstance(module, CNF)]


def give_probes(flow: nn.Module, probes: list[Tensor], divergence: str) -> None:
    """Every continuous layer of the flow solves with its own given probe from now on."""
    layers = continuous_layers(flow)
    assert len(layers) == len(probes)
    for layer, probe in zip(layers, probes, strict=True):
        layer.solve = partial(CNF.solve.__get__(layer), divergence=divergence, probe=probe)


def numbered(group: dict[str, Tensor], prefix: str) -> list[Tensor]:
    return [group[f"{prefix}{i}"] for i in range(sum(name.startswith(prefix) for name in group))]
