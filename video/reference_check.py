"""What is checked of weights and config of a public VideoFlow before a model is made of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

# name in the config -> argument of `VideoFlow`, which the weights decide on
TOLD_BY_WEIGHTS = {
    "levels": "levels",
    "depth": "steps",
    "width": "width",
    "coupling": "coupling",
    "activation": "activation",
    "K": "past",
    "latent_depth": "prior_blocks",
    "latent_width": "prior_width",
    "latent_activation": "prior_activation",
}
SIZES = ("size", "image_size", "frame_size")
READ = (*SIZES, "frame_width", "channels", "skip", "dilations", "in_frames", "target_frames")
IGNORED = ("batch", "temperature", "sample_frames", "note", "seed", "case_kind", "source", "description")
# what TensorFlow's checkpoints hold besides weights
TRAINING = re.compile(r"(^|/)(global_step|beta[12]_power|Adam(_\d+)?)$|^(training|losses_avg)/")


class Weights(dict[str, Tensor]):
    """Weights by name that remember which were read; asking for one that is not there is a `ValueError` naming it."""

    def __init__(self, weights: Mapping[str, Tensor]):
        super().__init__(weights)
        self.seen: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        self.seen.add(name)
        return super().__getitem__(name)

    def __missing__(self, name: str) -> Tensor:
        raise ValueError(f"the weights of this VideoFlow lack {name}")

    def check_all_read(self) -> None:
        """Raises `ValueError` if weights are left that no part of the model has read."""
        left = sorted(name for name in self if name not in self.seen and not TRAINING.search(name))
        if left:
            more = f" and {len(left) - 1} more" if len(left) > 1 else ""
            raise ValueError(f"the model that weights and config describe has no place for {left[0]}{more}")


def check_finite(weights: Mapping[str, Tensor]) -> None:
    """Raises `ValueError` naming the first of the weights that holds NaN or infinity."""
    for name, weight in weights.items():
        if not torch.as_tensor(weight).isfinite().all():
            raise ValueError(f"{name} holds numbers that are not finite")


def check_names(given: Mapping[str, Any]) -> None:
    """Raises `ValueError` for names in the config that mean nothing here."""
    known = (*TOLD_BY_WEIGHTS, *READ, *IGNORED)
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f": expected some of {', '.join(known)}"
            raise ValueError(f"the config of a VideoFlow has no {name!r}{hint}")


def check_told(given: Mapping[str, Any], init_args: Mapping[str, Any]) -> None:
    """Raises `ValueError` where the config says anything else than the weights do."""
    told = {name: init_args[ours] for name, ours in TOLD_BY_WEIGHTS.items() if ours in init_args}
    for name, value in {**told, "channels": init_args["video_shape"][0]}.items():
        if given.get(name, value) != value:
            raise ValueError(f"the config says {name}: {given[name]}, the weights are of {name}: {value}")


def check_stacks(level: int, blocks: Sequence[Sequence[str]], rates: Sequence[int], dilations: bool) -> None:
    """Raises `ValueError` if the blocks of a temporal net do not have a stack for each dilation rate."""
    for scopes in blocks:
        if len(scopes) != len(rates):
            raise ValueError(
                f"dilations: {dilations} means {len(rates)} parallel stacks in each block at level {level} for frames "
                f"of this size, the weights have {len(scopes)}"
            )


def frame_size(given: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width that the config gives."""
    size = next((given[name] for name in SIZES if name in given), None)
    if size is None:
        raise ValueError("the config of a VideoFlow must give the size of a frame as 'size'")
    sides = (size, given.get("frame_width", size)) if isinstance(size, int) else size
    if not isinstance(sides, list | tuple) or len(sides) != 2 or not all(type(n) is int and n > 0 for n in sides):
        raise ValueError(f"the size of a frame must be one number of pixels, or height and width, got {size!r}")
    return tuple(sides)


def flag(given: Mapping[str, Any], name: str, default: bool) -> bool:
    """A switch of the config."""
    value = given.get(name, default)
    if value not in (True, False):
        raise ValueError(f"{name} must be true or false, got {value!r}")
    return bool(value)


def check_state(init_args: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Raises `ValueError` if names or shapes of a state are not those of `VideoFlow(**init_args)`."""
    from flowsuite.video.videoflow import VideoFlow

    with torch.device("meta"):
        wanted = VideoFlow(**init_args).state_dict()
    for name, value in wanted.items():
        if name not in state:
            raise ValueError(f"the weights lack what {name} of our VideoFlow is read from")
        if state[name].shape != value.shape:
            shapes = f"{tuple(value.shape)}, got {tuple(state[name].shape)}"
            raise ValueError(f"weights of another shape than the rest of the model asks for: {name} must be {shapes}")
