"""What jsonargparse says of a wrong command line, on one line."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Iterable

PROBLEM = re.compile(r"Problem with given class_path '([\w.]+)': (.*)")
FACTORY = re.compile(r"(?=.*class_path='([\w.]+)')expects a function or a callable class: (Option '\w+' .*)")
OPTION = re.compile(r"Option '([\w.]+)' is not accepted|unrecognized arguments: --([\w]+)", re.IGNORECASE)


def constructor_error(error: Exception) -> str:
    """What a class said of its arguments, without the parser's other guesses around it."""
    text = " ".join(str(error).split())
    match = re.search(r"Errors: - (.*?)(?: - Expected a <class 'NoneType'>| Given value type:|$)", text)
    return match[1] if match else text


def one_line(error: Exception, options: Iterable[str]) -> str:
    """An error of the parser on one line: the option it is about, and what is wrong with it."""
    text = " ".join(str(error).split())
    keys = re.findall(r'[Pp]arser key "([^"]+)"', text)
    if keys:
        reason = text.rpartition(f'"{keys[-1]}": ')[2].split(" - Expected a <class 'NoneType'>")[0]
        problem = PROBLEM.search(reason) or FACTORY.search(reason)
        return f"{'.'.join(keys)}: {of_a_class(*problem.groups()) if problem else reason.lstrip('- ')}"
    unknown = re.search(r"unrecognized arguments: --([^ =]+)|does not accept option '([\w.]+)'", text, re.IGNORECASE)
    return text + (near(f"--{unknown[1] or unknown[2]}", options) if unknown else "")


def of_a_class(class_path: str, reason: str) -> str:
    """What is wrong with a class that an option names, or with an argument of it, and what may be meant."""
    option = OPTION.search(reason)
    if option:
        name = option[1] or option[2]
        return f"{class_path} has no option {name!r}{near(name, argument_names(class_path))}"
    missing = re.search(r"has no attribute '(\w+)'|No module named '([\w.]+)'", reason)
    if missing:
        return f"there is no class {class_path}{near(class_path, classes_beside(class_path))}"
    return f"{class_path}: {reason}"


def near(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def argument_names(class_path: str) -> set[str]:
    """What the constructor of a class takes, and those of its bases that it may pass them on to."""
    module, _, name = class_path.rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    bases = inspect.getmro(cls) if inspect.isclass(cls) else [cls]
    return {argument for base in bases for argument in inspect.signature(base).parameters}


def classes_beside(class_path: str) -> list[str]:
    """The classes of the module that a class path names, if there is such a module."""
    module = class_path.rpartition(".")[0]
    try:
        found = vars(importlib.import_module(module)) if module else {}
    except ImportError:
        return []
    return [f"{module}.{name}" for name, value in found.items() if inspect.isclass(value)]
