"""Weight-normed layers of public checkpoints, in any convention of theirs, as ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from flowsuite.audio.normed_conv import norm_per_filter


class NormedWeights:
    """Reads layers from a state dict and remembers which names it used.

    A layer is `name.weight_g`, `name.weight_v` and `name.bias`; or torch's own parametrisation of the same; or, where
    weight normalisation has been removed, `name.weight` and `name.bias`, taken with its norm as gain. Names may begin
    with "module." as data-parallel training writes them, or "_orig_mod." as compiled models do.
    """

    def __init__(self, state_dict: Mapping[str, Tensor]):
        self.weights = {
            name.removeprefix("_orig_mod.").removeprefix("module."): torch.as_tensor(w)
            for name, w in state_dict.items()
        }
        self.used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return any(f"{name}.{part}" in self.weights for part in ("weight", "weight_v", PARAMETRIZED.format(1)))

    def take(self, name: str) -> Tensor:
        """One tensor."""
        if name not in self.weights:
            raise ValueError(f"the state dict has no {name}")
        self.used.add(name)
        return self.weights[name]

    def normed(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        """(gain, direction, bias) of a layer."""
        for gain, direction in (("weight_g", "weight_v"), (PARAMETRIZED.format(0), PARAMETRIZED.format(1))):
            if f"{name}.{direction}" in self.weights:
                return self.take(f"{name}.{gain}"), self.take(f"{name}.{direction}"), self.take(f"{name}.bias")
        weight = self.take(f"{name}.weight")
        gain = norm_per_filter(weight)
        return (
            gain,
            torch.where(gain > 0, weight, 1.0),
            self.take(f"{name}.bias"),
        )  # a filter of zeros needs a direction

    def check_all_used(self, who: str, ignored: Iterable[str] = ()) -> None:
        left = sorted(set(self.weights) - self.used - set(ignored))
        if left:
            raise ValueError(f"these weights have no place in a {who}: {', '.join(left[:5])}")


PARAMETRIZED = "parametrizations.weight.original{}"


def as_normed(name: str, layer: tuple[Tensor, Tensor, Tensor]) -> dict[str, Tensor]:
    """The state of our layer `name` with these (gain, direction, bias)."""
    gain, direction, bias = layer
    return {f"{name}.gain": gain, f"{name}.weight": direction, f"{name}.bias": bias}


def rows_of(layer: tuple[Tensor, Tensor, Tensor], rows: slice) -> tuple[Tensor, Tensor, Tensor]:
    """The layer cut to some of its outputs; norms are taken per output, so they stay."""
    gain, direction, bias = layer
    return gain[rows], direction[rows], bias[rows]


def stack(layers: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor, Tensor]:
    """Layers with the same input as one, outputs one after the other."""
    return tuple(torch.cat(parts) for parts in zip(*layers, strict=True))


def section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The hyper-parameters in a public config file, which keeps them under `name`, or in a plain mapping of them."""
    config = config.get("config", config)
    return config.get(name, config)


def check_config(config: Mapping[str, Any], found: Mapping[str, int]) -> None:
    """Raises a ValueError where `config` gives another size than the one `found` in the weights."""
    for name, size in found.items():
        if name in config and int(config[name]) != size:
            raise ValueError(f"the config is of another model: {name} is {config[name]}, the weights have {size}")
