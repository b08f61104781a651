"""Unnormalised densities to fit: callables from points (N, D) to log-densities (N,) in nats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowsuite.core.targets.energies import U1, U2, U3, U4
from flowsuite.core.targets.logistic import LogisticRegression
from flowsuite.core.targets.schools import EightSchools
from flowsuite.core.targets.shapes import Banana, Funnel
from flowsuite.core.targets.target import Target

TARGETS: dict[str, Callable[..., Target]] = {
    "U1": U1,
    "U2": U2,
    "U3": U3,
    "U4": U4,
    "funnel": Funnel,
    "banana": Banana,
    "eight-schools": EightSchools,
    "logistic-regression": LogisticRegression,
}


def make_target(name: str, **options: Any) -> Target:
    """The target called `name`, one of `TARGETS`, with its options."""
    if name not in TARGETS:
        raise ValueError(f"unknown target {name!r}: expected one of {', '.join(TARGETS)}")
    return TARGETS[name](**options)


__all__ = [
    "TARGETS",
    "U1",
    "U2",
    "U3",
    "U4",
    "Banana",
    "EightSchools",
    "Funnel",
    "LogisticRegression",
    "Target",
    "make_target",
]
