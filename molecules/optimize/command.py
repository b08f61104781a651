"""`flowsuite optimize`: fine-tunes a GraphAF towards molecules with better scores, or improves given molecules."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.training.checkpoint import save_module
from flowsuite.core.training.files import check_writable
from flowsuite.core.training.model_options import open_model
from flowsuite.core.training.module import FlowModule
from flowsuite.molecules.chemistry import smiles_from_packed
from flowsuite.molecules.graphaf import GraphAF
from flowsuite.molecules.optimize import constrained_run
from flowsuite.molecules.optimize.arguments import make_parser, options_of
from flowsuite.molecules.optimize.policy_gradient import PolicyGradient
from flowsuite.molecules.optimize.progress import fine_tune
from flowsuite.molecules.optimize.results import Outcome, print_summary
from flowsuite.molecules.optimize.rollout import draw
from flowsuite.molecules.optimize.scorer import Pool, Scorer
from flowsuite.molecules.optimize.targets import Target

AT_A_TIME = 256  # molecules drawn together when a policy is judged


def main(argv: list[str] | None = None) -> int:
    """Runs `flowsuite optimize`; errors are exceptions with a message of one line."""
    args = make_parser().parse_args(argv)
    options = options_of(args)
    check_numbers(args)
    target = Target(args.target, args.target_takes, args.minimize)
    module = open_model(args, FlowModule, "a GraphAF")
    flow = check_flow(module.flow, args)
    context = condition(flow, args.property)
    check_writable(Path(args.out) / ("table.json" if args.constrained else "summary.json"))
    with Pool(args.workers) as pool:
        if args.constrained:
            return constrained_run.run(args, options, module, target, context, pool)
        return optimize(args, options, module, target, context, pool)


def check_numbers(args: argparse.Namespace) -> None:
    least = {"steps": 0, "num": 0, "top": 1, "workers": 0, "restarts": 1, "remove": 0, "limit": 1}
    for name, value in least.items():
        if (given := getattr(args, name)) is not None and given < value:
            raise ValueError(f"--{name} must be at least {value}, got {given}")
    for delta in args.deltas:
        if not 0 <= delta < 1:
            raise ValueError(f"--deltas must be in [0, 1), got {delta:g}")


def check_flow(flow, args: argparse.Namespace) -> GraphAF:
    if not isinstance(flow, GraphAF):
        raise ValueError(f"{args.ckpt_path} holds a {type(flow).__name__}: optimize takes a GraphAF")
    if args.max_atoms is not None and args.max_atoms < 2:
        raise ValueError(f"--max_atoms must be at least 2, got {args.max_atoms}")
    return flow


def condition(flow: GraphAF, values: dict[str, float] | None) -> Tensor | None:
    """The properties (P,) that a conditional model is asked for; None of a model that is not."""
    if flow.properties and values is None:
        raise ValueError(f"this model is conditional: give --property {'=...,'.join(flow.properties)}=...")
    if set(values or ()) != set(flow.properties):
        known = ", ".join(flow.properties) or "none"
        raise ValueError(f"--property: the properties of this model are {known}, got {', '.join(values)}")
    return torch.tensor([values[name] for name in flow.properties]) if flow.properties else None


def optimize(args, options, module, target: Target, context: Tensor | None, pool: Pool) -> int:
    """Fine-tunes, judges the policy before and after, and writes everything; what there is after Ctrl-C."""
    scorer = Scorer(target, pool)
    learner = PolicyGradient(module.flow, scorer, options, args.seed, context)
    before, final, smiles = np.zeros(0), np.zeros(0), []
    interrupted = False
    try:
        before, _ = fresh(learner, learner.prior, args.num, args.seed)
        interrupted = fine_tune(learner, args.steps, args.quiet)
        if not interrupted:
            final, smiles = fresh(learner, learner.flow, args.num, args.seed)
    except KeyboardInterrupt:
        interrupted = True
    outcome = Outcome(
        target=args.target,
        max_atoms=learner.max_atoms,
        top=learner.memory.top(args.top, target.sign),
        final=final,
        final_smiles=smiles,
        before=before,
        history=learner.history,
        notes=notes_of(learner, interrupted),
    )
    out = Path(args.out)
    if args.steps:
        save_module(out / "model.ckpt", module)
    summary = outcome.write(out, pool)
    print_summary(summary)
    print(f"written to {out}")
    return 130 if interrupted else 0


def fresh(learner: PolicyGradient, flow: GraphAF, n: int, seed: int):
    """Scores and SMILES of `n` molecules drawn from a policy, in batches; they join the learner's memory of all."""
    generator = torch.Generator(learner.device).manual_seed(seed + 2)
    scores, smiles = [], []
    for start in range(0, n, AT_A_TIME):
        size = min(AT_A_TIME, n - start)
        context = None if learner.context is None else learner.context.to(learner.device).expand(size, -1)
        options = learner.options
        rollout = draw(
            flow, size, learner.max_atoms, context, options.temperature, generator, min_atoms=options.min_atoms
        )
        found = smiles_from_packed(rollout.molecules)
        values = learner.scorer(found)
        learner.memory.add(rollout, found, values, np.full(size, np.nan))
        scores.append(values)
        smiles += found
    return np.concatenate(scores) if scores else np.zeros(0), smiles


def notes_of(learner: PolicyGradient, interrupted: bool) -> list[str]:
    """What went wrong or was left out, one line each."""
    notes = [f"scores hold for molecules of at most {learner.max_atoms} atoms, drawn with valences checked"]
    if learner.scorer.failures:
        notes.append(f"target: {learner.scorer.summary()}")
    notes += [f"{count} x {why}" for why, count in learner.skipped.items()]
    if interrupted:
        notes.append(f"interrupted after {len(learner.history)} steps")
    return notes


if __name__ == "__main__":
    raise SystemExit(main())
