"""`flowsuite optimize` without --constrained: the run and its files."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowsuite.core.training.checkpoint import save_module
from flowsuite.molecules.chemistry import smiles_from_packed
from flowsuite.molecules.graphaf import GraphAF
from flowsuite.molecules.optimize.options import Options
from flowsuite.molecules.optimize.policy_gradient import PolicyGradient
from flowsuite.molecules.optimize.progress import fine_tune
from flowsuite.molecules.optimize.results import Outcome, print_summary
from flowsuite.molecules.optimize.rollout import draw
from flowsuite.molecules.optimize.scorer import Scorer
from flowsuite.molecules.optimize.targets import Target
from flowsuite.molecules.processes import Pool

AT_A_TIME = 256  # molecules drawn together when a policy is judged


def run(args: argparse.Namespace, options: Options, module, target: Target, context: Tensor | None, pool: Pool) -> int:
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
    if not interrupted:
        scorer.check()
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
