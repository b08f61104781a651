"""`flowsuite import`: weights of a public implementation to a checkpoint of ours."""

from __future__ import annotations

import argparse
import difflib
import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from flowsuite.core.training.checkpoint import BASE_MODULE, CheckpointError, save_flow_checkpoint
from flowsuite.core.training.cli import has_module
from flowsuite.core.training.files import read_json, reason
from flowsuite.core.training.module import FlowModule
from flowsuite.core.training.numpy_files import load_npz
from flowsuite.core.training.recipes import rooms
from flowsuite.core.training.torch_files import load_torch

EXAMPLE = """example:
  flowsuite import rosinality-glow model.pt --config config.json --out glow.ckpt
  flowsuite sample --ckpt_path glow.ckpt --num 16 --temperature 0.7 --out faces
Weights: .pt or .pth (tensors only, nothing in it is run), .safetensors, or .npz. The configuration holds the
implementation's own hyper-parameters by their own names."""


def converters() -> dict[str, ModuleType]:
    """The `reference` module that converts each kind; core and every domain may have one, with `CONVERTERS` by kind.

    Where the domain's `FlowModule` needs to be told more than the flow, its function `module_args(config, init_args)`
    gives that from the configuration and the flow's arguments.
    """
    found = {}
    for domain in rooms():
        if has_module(f"flowsuite.{domain}", "reference"):
            module = importlib.import_module(f"flowsuite.{domain}.reference")
            found.update(dict.fromkeys(module.CONVERTERS, module))
    return found


def module_class(reference: ModuleType, class_path: str) -> str:
    """The class path of the `FlowModule` for a flow: in `module.py` of the flow's domain the one whose argument `flow`
    is annotated with the flow's class, else the first."""
    package = reference.__name__.rpartition(".")[0]
    if class_path.startswith(f"{package}.") and has_module(package, "module"):
        name = f"{package}.module"
        found = [
            cls
            for cls in vars(importlib.import_module(name)).values()
            if isinstance(cls, type) and issubclass(cls, FlowModule) and cls.__module__ == name
        ]
        flow = class_path.rpartition(".")[2]
        made_for_it = [
            cls for cls in found if inspect.signature(cls).parameters["flow"].annotation in (flow, class_path)
        ]
        if found:
            return f"{name}.{(made_for_it or found)[0].__name__}"
    return BASE_MODULE


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from .pt, .pth, .safetensors or .npz. Nothing in the file is run."""
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
    if path.suffix == ".npz":
        try:
            weights = {name: torch.from_numpy(array) for name, array in load_npz(path).items()}
        except (ValueError, TypeError):
            raise CheckpointError(f"{path} is refused: expected an .npz of plain arrays of numbers") from None
        parameters = {name.removeprefix("param/"): w for name, w in weights.items() if name.startswith("param/")}
        return parameters or weights
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file
        except ImportError:
            raise ValueError(f"{path} needs the package safetensors: pip install safetensors") from None
        try:
            return load_file(path)
        except Exception as error:
            raise CheckpointError(f"{path} is refused: not a readable .safetensors ({reason(error)})") from None
    try:
        content = load_torch(path)
    except Exception as error:  # damaged bytes end in whatever error the reader stumbles over
        raise CheckpointError(f"{path} is refused: {_why_refused(error)}") from None
    for name in ("state_dict", "model", "model_state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not all(isinstance(w, Tensor) for w in content.values()):
        raise CheckpointError(f"{path} is not a state_dict: expected tensors by name")
    return dict(content)


def _why_refused(error: Exception) -> str:
    pickled = re.search(r"GLOBAL ([\w.]+)", str(error))
    if pickled:
        return (
            f"it holds a pickled {pickled[1]}, not only tensors; if you trust it, save its weights where that class "
            "can be imported: torch.save(torch.load(PATH, weights_only=False)['model'].state_dict(), 'weights.pt')"
        )
    return f"it is damaged, or holds more than tensors ({reason(error)})"


def read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no configuration at {path}")
    config = read_json(path)
    if not isinstance(config, dict):
        raise ValueError(f"{path} must hold a JSON object of hyper-parameters, got {type(config).__name__}")
    return config


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "flowsuite import",
        description="Turn the weights of a public implementation into a checkpoint of ours.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", metavar="KIND", help="the implementation, such as rosinality-glow")
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="file of its weights")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE.json", help="its hyper-parameters")
    parser.add_argument("--out", type=Path, required=True, metavar="CHECKPOINT", help="checkpoint to write")
    options = parser.parse_args(argv)
    known = converters()
    if options.kind not in known:
        close = difflib.get_close_matches(options.kind, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"unknown kind {options.kind!r}: expected one of {', '.join(known)}{hint}")
    weights, config = read_weights(options.weights), read_config(options.config)
    reference = known[options.kind]
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        try:
            class_path, init_args, state_dict = reference.convert_reference(options.kind, weights, config)
        except ValueError as error:
            raise ValueError(f"{options.weights} with {options.config}: {error}") from None
    for note in notes:
        print(f"note: {note.message}", file=sys.stderr)
    module_args = reference.module_args(config, init_args) if hasattr(reference, "module_args") else {}
    module = module_class(reference, class_path)
    save_flow_checkpoint(options.out, class_path, init_args, state_dict, module, module_args)
    print(f"{options.out}: {class_path}, {sum(w.numel() for w in state_dict.values()):,} numbers")
    return 0
