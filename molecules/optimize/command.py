"""`flowsuite optimize`: fine-tunes a GraphAF towards molecules with better scores, or improves given molecules."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from flowsuite.core.training.files import check_writable
from flowsuite.core.training.model_options import open_model
from flowsuite.molecules.optimize.arguments import make_parser, options_of

if TYPE_CHECKING:
    from torch import Tensor

    from flowsuite.molecules.graphaf import GraphAF


def main(argv: list[str] | None = None) -> int:
    """Runs `flowsuite optimize`; errors are exceptions with a message of one line."""
    args = make_parser().parse_args(argv)
    options = options_of(args)
    check_numbers(args)
    # Only now: these take seconds to import, and help must answer at once.
    from flowsuite.core.training.module import FlowModule
    from flowsuite.molecules.optimize import constrained_run, tuning_run
    from flowsuite.molecules.optimize.targets import Target
    from flowsuite.molecules.processes import Pool

    target = Target(args.target, args.target_takes, args.minimize)
    module = open_model(args, FlowModule, "a GraphAF")
    flow = check_flow(module.flow, args)
    context = condition(flow, args.property)
    check_writable(Path(args.out) / ("table.json" if args.constrained else "summary.json"))
    with Pool(args.workers) as pool:
        kind = constrained_run if args.constrained else tuning_run
        return kind.run(args, options, module, target, context, pool)


def check_numbers(args: argparse.Namespace) -> None:
    least = {"steps": 0, "num": 0, "top": 1, "workers": 0, "restarts": 1, "remove": 0, "limit": 1}
    for name, value in least.items():
        if (given := getattr(args, name)) is not None and given < value:
            raise ValueError(f"--{name} must be at least {value}, got {given}")
    for delta in args.deltas:
        if not 0 <= delta < 1:
            raise ValueError(f"--deltas must be in [0, 1), got {delta:g}")


def check_flow(flow, args: argparse.Namespace) -> GraphAF:
    from flowsuite.molecules.graphaf import GraphAF

    if not isinstance(flow, GraphAF):
        raise ValueError(f"{args.ckpt_path} holds a {type(flow).__name__}: optimize takes a GraphAF")
    if args.max_atoms is not None and args.max_atoms < 2:
        raise ValueError(f"--max_atoms must be at least 2, got {args.max_atoms}")
    return flow


def condition(flow: GraphAF, values: dict[str, float] | None) -> Tensor | None:
    """The properties (P,) that a conditional model is asked for; None of a model that is not."""
    import torch

    if flow.properties and values is None:
        raise ValueError(f"this model is conditional: give --property {'=...,'.join(flow.properties)}=...")
    if set(values or ()) != set(flow.properties):
        known = ", ".join(flow.properties) or "none"
        raise ValueError(f"--property: the properties of this model are {known}, got {', '.join(values)}")
    return torch.tensor([values[name] for name in flow.properties]) if flow.properties else None


if __name__ == "__main__":
    raise SystemExit(main())
