"""Checkpoints that say which model they hold, and that cannot run code."""

from __future__ import annotations

import difflib
import importlib
import os
import pickle
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from flowsuite.core.ode import Solver
from flowsuite.core.training.files import atomic_write
from flowsuite.core.training.module import FlowModule
from flowsuite.core.training.torch_files import damaged_part, load_torch

TRUSTED = ("flowsuite", "torch", "pytorch_lightning")
COMPONENTS = (nn.Module, Solver, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)
CALLABLE = (torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler)  # passed on as factories
BASE_MODULE = "flowsuite.core.training.module.FlowModule"


class CheckpointError(ValueError):
    """A file that is not a checkpoint of ours, not safe, or of another model."""


def read_checkpoint(path: str | os.PathLike, map_location: Any = "cpu") -> dict[str, Any]:
    """The contents of a flowsuite checkpoint. Only plain data and tensors are read: a pickle that would run code is
    refused, and none of it runs."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        checkpoint = load_torch(path, map_location)
        damaged = damaged_part(path)
    except pickle.UnpicklingError as error:
        reason = next((line for line in str(error).splitlines() if "Unsupported" in line or "GLOBAL" in line), "")
        detail = f": {reason.strip()[:160]}" if reason else ""
        raise CheckpointError(
            f"{path} is refused: it is damaged, or holds more than tensors and plain data{detail}"
        ) from None
    except Exception as error:  # damaged bytes end in whatever error the reader stumbles over
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise CheckpointError(f"{path} cannot be read as a checkpoint of fit or import: {reason}") from None
    if damaged:
        raise CheckpointError(f"{path} is damaged: the checksum of {damaged} in it is wrong")
    check_checkpoint(checkpoint, path)
    return checkpoint


def check_checkpoint(checkpoint: Any, path: str | os.PathLike = "this file") -> None:
    ours = isinstance(checkpoint, dict) and isinstance(checkpoint.get("flowsuite"), dict)
    if not ours or not isinstance(checkpoint.get("state_dict"), dict):
        raise CheckpointError(f"{path} is not a flowsuite checkpoint: expected one written by fit or import")


def check_same_model(checkpoint: Mapping[str, Any], module: nn.Module) -> None:
    """The weights must be those of `module`: the same names and shapes."""
    mine = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    theirs = {name: tuple(value.shape) for name, value in checkpoint["state_dict"].items()}
    if mine == theirs:
        return
    differing = [name for name in mine if mine[name] != theirs.get(name)] + [n for n in theirs if n not in mine]
    name = differing[0]
    raise CheckpointError(
        f"the checkpoint holds another model ({describe(checkpoint)}): {len(differing)} weights differ, first {name}, "
        f"{theirs.get(name, 'absent')} there and {mine.get(name, 'absent')} here"
    )


def describe(checkpoint: Mapping[str, Any]) -> str:
    """The class of the checkpoint's flow, as far as it is known."""
    config = checkpoint["flowsuite"].get("config") or {}
    flow = config.get("init_args", {}).get("flow") or {}
    return str(flow.get("class_path") or config.get("class_path") or "class unknown")


def load_module(
    path: str | os.PathLike, map_location: Any = "cpu", use_ema: bool = True, allow: Sequence[str] = ()
) -> FlowModule:
    """The module that a checkpoint was saved from, in eval mode.

    Args:
        path: written by training, or by `save_flow_checkpoint`.
        map_location: the device to load to.
        use_ema: take the averaged weights where the checkpoint has them.
        allow: packages besides flowsuite, torch and pytorch_lightning whose classes the checkpoint may name.

    Raises:
        CheckpointError: the file is no checkpoint of flowsuite, or its weights are not those of its model.
        ValueError: there is no such device here.

    Example:
        >>> module = load_module("runs/images/glow-cifar10/version_0/checkpoints/best.ckpt")
        >>> module.generate(64, temperature=0.7)
    """
    if torch.device(map_location).type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {map_location}: this machine has no CUDA GPU that PyTorch can use")
    checkpoint = read_checkpoint(path, map_location)
    config = checkpoint["flowsuite"].get("config")
    if not isinstance(config, dict) or "class_path" not in config:
        raise CheckpointError(f"{path} does not say how its model is built: train it with a module of `build_module`")
    try:
        module = build_module(config["class_path"], config.get("init_args", {}), allow)
        check_same_model(checkpoint, module)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    weights = dict(checkpoint["state_dict"])
    if use_ema and "ema" in checkpoint["flowsuite"]:
        weights.update(checkpoint["flowsuite"]["ema"]["average"])
    check_finite_weights(weights, path)
    adopt_dtype(module, weights)
    module.load_state_dict(weights)
    module.flow_initialized = True
    return module.to(map_location).eval()


def check_finite_weights(weights: Mapping[str, Tensor], path: str | os.PathLike) -> None:
    for name, weight in weights.items():
        if weight.is_floating_point() and weight.isnan().any():
            raise CheckpointError(f"{path}: {name} has entries that are not numbers (NaN): its training diverged")


def adopt_dtype(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Weights saved in double precision stay so."""
    if any(weight.dtype == torch.float64 for weight in weights.values()):
        module.to(torch.float64)


def build_module(class_path: str, init_args: Mapping[str, Any], allow: Sequence[str] = ()) -> FlowModule:
    """A module from plain data, which it remembers: its checkpoints can be loaded without naming the class."""
    config = {"class_path": class_path, "init_args": plain(init_args)}
    if not issubclass(resolve_class(class_path, allow), FlowModule):
        raise CheckpointError(f"{class_path} is not a FlowModule")
    module = instantiate(config, allow)
    module.config = config
    return module


def instantiate(config: Mapping[str, Any], allow: Sequence[str] = ()) -> Any:
    """The object that `{"class_path": ..., "init_args": {...}}` describes; nested descriptions are objects too, and
    optimisers and schedules become factories that wait for their first argument."""
    cls = resolve_class(config["class_path"], allow)
    arguments = {**config.get("init_args", {}), **config.get("dict_kwargs", {})}
    arguments = {name: build_value(value, allow) for name, value in arguments.items()}
    if issubclass(cls, CALLABLE):
        return partial(cls, **arguments)
    try:
        return cls(**arguments)
    except TypeError as error:
        raise CheckpointError(f"{config['class_path']} does not take the stored arguments: {error}") from None


def build_value(value: Any, allow: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        if "class_path" in value:
            return instantiate(value, allow)
        return {name: build_value(item, allow) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(build_value(item, allow) for item in value)
    return value


def resolve_class(class_path: Any, allow: Sequence[str] = ()) -> type:
    """The class named by `class_path`, which must be of a trusted package: nothing else is even imported."""
    package = str(class_path).split(".")[0]
    if package not in (*TRUSTED, *allow):
        raise CheckpointError(
            f"class {class_path!r} is not of {', '.join(TRUSTED)}: if you trust its package, --allow {package}"
        )
    module, _, name = str(class_path).rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise CheckpointError(f"there is no class {class_path!r}") from None
    if not isinstance(cls, type) or not issubclass(cls, COMPONENTS):
        raise CheckpointError(f"{class_path!r} is not a class that a model is made of")
    return cls


def plain(value: Any) -> Any:
    """`value` as data that a checkpoint may hold: numbers, strings, lists, tuples and dicts."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(plain(item) for item in value)
    raise TypeError(f"expected plain data (numbers, strings, lists, dicts), got {type(value).__name__}")


def save_flow_checkpoint(
    path: str | os.PathLike,
    class_path: str,
    init_args: Mapping[str, Any],
    state_dict: Mapping[str, Tensor],
    module_class: str = BASE_MODULE,
    module_args: Mapping[str, Any] | None = None,
) -> None:
    """Writes a checkpoint of a flow whose weights came from elsewhere.

    `load_module`, `flowsuite sample`, `test` and `fit --weights` accept it.

    Args:
        path: where to; replaced in one go.
        class_path, init_args: the flow's class and hyper-parameters, plain data.
        state_dict: the flow's weights.
        module_class: the `FlowModule` that trains and samples it.
        module_args: its arguments besides the flow, plain data.
    """
    flow = {"class_path": class_path, "init_args": plain(init_args)}
    module = build_module(module_class, {"flow": flow, **(module_args or {})})
    adopt_dtype(module, state_dict)
    weights = {f"flow.{name}": weight.detach().cpu().contiguous() for name, weight in state_dict.items()}
    missing = check_names(weights, module)
    if missing:
        raise CheckpointError(missing)
    module.load_state_dict(weights)
    save_module(path, module)


def save_module(path: str | os.PathLike, module: FlowModule) -> None:
    """Writes the weights of a module made by `build_module`, without any state of training."""
    checkpoint = {
        "pytorch-lightning_version": pl.__version__,
        "epoch": 0,
        "global_step": 0,
        "state_dict": {name: value.detach().cpu() for name, value in module.state_dict().items()},
        "flowsuite": {"config": module.config, "flow_initialized": True, "skipped_updates": 0, "seed": None},
    }
    with atomic_write(path) as file:
        torch.save(checkpoint, file)


def check_names(weights: Mapping[str, Tensor], module: nn.Module) -> str:
    """An empty string, or what is wrong with the names of `weights`."""
    expected = module.state_dict().keys()
    for name in expected - weights.keys():
        return f"the state_dict lacks {name!r}"
    for name in weights.keys() - expected:
        close = difflib.get_close_matches(name, expected, n=1)
        return f"the state_dict has an unknown weight {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")
    return ""
