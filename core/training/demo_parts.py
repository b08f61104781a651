"""The parts of `flowsuite demo`: which there are, what they need and how long they usually take; none is imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flowsuite.core.training.cli import read_literal
from flowsuite.core.training.recipes import domains, package_folder

ORDER = ("images", "vae", "variational", "pointclouds", "molecules", "audio", "video")  # others come after these
SECONDS = 120  # of a part that does not say


@dataclass(frozen=True)
class Part:
    """One `demo` module.

    Attributes:
        name: of the part.
        module: with `run(folder, options) -> Section`; `options` are further ones of the command that trains.
        extra: of the installation, "" for none.
        needs: packages of that extra that the part imports: the literal `NEEDS` of the module.
        seconds: its usual duration on two CPU cores: the literal `SECONDS`.
        seed: the option that takes the seed: the literal `SEED`.
    """

    name: str
    module: str
    extra: str = ""
    needs: tuple[str, ...] = ()
    seconds: float = SECONDS
    seed: str = "--seed_everything"

    def missing(self) -> str:
        """The first package it needs that is not installed, "" if none."""
        return next((name for name in self.needs if importlib.util.find_spec(name) is None), "")

    def advice(self, package: str) -> str:
        """What to do about a package that is not installed."""
        wanted = f"'flowsuite[{self.extra}]'" if self.extra else package
        return f"it needs {package}: pip install {wanted}"


def find_parts() -> dict[str, Part]:
    """Name -> part: `demo.py` of a domain, or of a package inside one or inside core; in the order of the page."""
    found = {}
    for room in (*domains(), "core"):
        folder = package_folder(room)
        for path in sorted([*folder.glob("demo.py"), *folder.glob("*/demo.py")]) if folder else ():
            package = (room, *path.relative_to(folder).parent.parts)
            if package != ("core", "training"):  # the command itself
                found[package[-1]] = read_part(path, package)
    return {name: found[name] for name in (*(n for n in ORDER if n in found), *(n for n in found if n not in ORDER))}


def read_part(path: Path, package: Sequence[str]) -> Part:
    extra = "" if package[0] == "core" else package[0]
    stated = {"needs": "NEEDS", "seconds": "SECONDS", "seed": "SEED"}
    values = {field: read_literal(path, name) for field, name in stated.items()}
    given = {field: value for field, value in values.items() if value is not None}
    return Part(package[-1], ".".join(("flowsuite", *package, "demo")), extra, **given)


class Plan:
    """What is done next within a budget of time, and how long the rest will take.

    Usual durations are stretched by the pace of the parts that were done, where it is slower than usual.
    """

    def __init__(self, parts: Sequence[Part], minutes: float | None = None):
        self.waiting, self.budget = list(parts), None if minutes is None else 60 * minutes
        self.usual = self.taken = 0.0

    @property
    def pace(self) -> float:
        return max(1.0, self.taken / self.usual) if self.usual else 1.0

    def done(self, part: Part, seconds: float) -> None:
        """A part ran to its end in so many seconds."""
        self.usual, self.taken = self.usual + part.seconds, self.taken + seconds

    def fitting(self, spent: float) -> list[Part]:
        """The waiting parts that will be done, `spent` seconds after the start: in order, each that still fits."""
        chosen = []
        for part in self.waiting:
            ends = spent + self.pace * part.seconds
            if self.budget is None or ends <= self.budget:
                spent = ends
                chosen.append(part)
        return chosen

    def to_go(self, spent: float) -> float:
        """Seconds until the end, by the usual durations and the pace."""
        return self.pace * sum(part.seconds for part in self.fitting(spent))


def in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
