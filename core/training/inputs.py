"""Data modules by class name, or those of recipes: what the commands of a domain take as `--data`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowsuite.core.training.data import FlowDataModule
from flowsuite.core.training.files import read_yaml
from flowsuite.core.training.recipes import find_recipe


def data_module(name: str, options: str, modules: Mapping[str, type], package: str, also: str) -> FlowDataModule:
    """A data module by class name, or the one that a recipe (or a configuration file) configures; ready to be read.

    Args:
        name: class name, recipe or file.
        options: JSON with arguments, which go before those of the recipe.
        modules: the classes by name.
        package: the module that recipes name them in, such as "flowsuite.images.data".
        also: what else the command would have taken, for the message.
    """
    try:
        arguments = json.loads(options)
    except json.JSONDecodeError as error:
        raise ValueError(f'data options must be JSON such as {{"root": "/data"}}, got {options!r} ({error})') from None
    if name in modules:
        return build(modules[name], arguments)
    return recipe_data(name, arguments, modules, package, also)


def recipe_data(
    name: str, arguments: dict[str, Any], modules: Mapping[str, type], package: str, also: str
) -> FlowDataModule:
    try:
        path = find_recipe(name)
    except ValueError as error:
        raise ValueError(f"{error}; as data also expected: {also} or one of {', '.join(modules)}") from None
    config = read_data_config(path)
    prefix, _, cls = str(config.get("class_path", "")).rpartition(".")
    if prefix != package or cls not in modules:
        raise ValueError(f"{path}: its data are not of {package}: {config.get('class_path')}")
    return build(modules[cls], {**(config.get("init_args") or {}), **arguments})


def read_data_config(path: Path) -> dict[str, Any]:
    """The part `data` of a configuration file; empty if it has none."""
    config = read_yaml(path)
    data = config.get("data") if isinstance(config, dict) else config
    if not isinstance(data, dict | None) or not isinstance((data or {}).get("init_args"), dict | None):
        raise ValueError(f"{path}: expected a configuration with data: class_path and init_args")
    return data or {}


def build(cls: type, arguments: dict[str, Any]) -> FlowDataModule:
    try:
        module = cls(**arguments)
    except TypeError as error:
        raise ValueError(f"{cls.__name__}: {error}") from None
    module.prepare_data()
    return module
