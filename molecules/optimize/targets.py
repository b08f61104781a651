"""What is optimised: a property by name, or any Python function of the user's."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import math
import numbers
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flowsuite.molecules.optimize.choices import TAKES
from flowsuite.molecules.properties import property_function
from flowsuite.molecules.smiles import parse, quiet


class Target:
    """A score of molecules by its name; it is what worker processes are sent, which look the function up again.

    Args:
        spec: a name of `flowsuite.molecules.properties.PROPERTIES` ("qed", "plogp", "plogp-sssr", ...), or
            "package.module:function", or "file.py:function".
        takes: what a user's function is given: "mol", an RDKit molecule, as the functions of `PROPERTIES` are;
            "smiles", one canonical SMILES; "batch", a list of canonical SMILES, for which it returns as many numbers.
        minimize: lower scores are better.

    Raises:
        ValueError, FileNotFoundError: there is no such property, module or function.
    """

    def __init__(self, spec: str, takes: str = "mol", minimize: bool = False):
        if takes not in TAKES:
            raise ValueError(f"a target takes one of {', '.join(TAKES)}, got {takes!r}")
        self.spec, self.minimize = spec, minimize
        self.takes = takes if ":" in spec else "mol"
        self.function = user_function(spec) if ":" in spec else property_function(spec.replace("-", "_"))

    def __reduce__(self):
        return sent_target, (self.spec, self.takes, self.minimize)

    @property
    def sign(self) -> float:
        return -1.0 if self.minimize else 1.0

    def score(self, smiles: Sequence[str]) -> list[tuple[float, str]]:
        """`(score, "")` of each molecule, `(nan, what went wrong)` where there is none; never raises."""
        if self.takes == "batch":
            return self._score_batch(list(smiles))
        return [self._score_one(text) for text in smiles]

    def _score_one(self, text: str) -> tuple[float, str]:
        try:
            with quiet():
                return number(self.function(parse(text) if self.takes == "mol" else text)), ""
        except (Exception, SystemExit) as error:
            return math.nan, reason(error)

    def _score_batch(self, smiles: list[str]) -> list[tuple[float, str]]:
        """All at once; where that fails, the molecules one by one, so that one cannot spoil the others."""
        if not smiles:
            return []
        try:
            with quiet():
                values = list(self.function(list(smiles)))
            if len(values) != len(smiles):
                raise ValueError(f"returned {len(values)} scores of {len(smiles)} molecules")
        except (Exception, SystemExit) as error:
            if len(smiles) == 1:
                return [(math.nan, reason(error))]
            return [self._score_batch([text])[0] for text in smiles]
        return [checked(value) for value in values]


@functools.cache
def sent_target(spec: str, takes: str, minimize: bool) -> Target:
    """The target that a process was sent; it comes with every chunk of molecules, and a user's file is run once."""
    return Target(spec, takes, minimize)


def reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def number(value: Any) -> float:
    """A finite float; whatever else a function may return is an error."""
    if not isinstance(value, numbers.Number) and not hasattr(value, "__float__"):
        raise TypeError(f"returned {type(value).__name__} {str(value)[:40]!r}, not a number")
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"returned {value}")
    return value


def checked(value: Any) -> tuple[float, str]:
    try:
        return number(value), ""
    except Exception as error:
        return math.nan, reason(error)


def user_function(spec: str) -> Callable:
    """The function that "package.module:function" or "file.py:function" names."""
    place, _, name = spec.rpartition(":")
    module = module_of_file(Path(place)) if place.endswith(".py") else module_of_name(place)
    function = getattr(module, name, None)
    if not callable(function):
        known = [each for each in vars(module) if callable(getattr(module, each)) and not each.startswith("_")]
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(known[:8]) or 'none'}"
        raise ValueError(f"target {spec!r}: no function {name!r} in {place}{hint}")
    return function


def module_of_file(path: Path):
    if not path.is_file():
        raise FileNotFoundError(f"target file {path} not found")
    name = f"flowsuite_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"target file {path} cannot be run: {reason(error)}") from None
    return module


def module_of_name(name: str):
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise ValueError(f"target module {name!r} cannot be imported: {reason(error)}") from None
