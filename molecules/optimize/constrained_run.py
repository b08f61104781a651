"""`flowsuite optimize --constrained`: the run, its table and its files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from flowsuite.core.training.checkpoint import save_module
from flowsuite.molecules.csv_files import write_csv
from flowsuite.molecules.draw import write_grid
from flowsuite.molecules.mapping import bar
from flowsuite.molecules.optimize.codec import Best, Row, codec_baseline, rows_of
from flowsuite.molecules.optimize.constrained import ConstrainedSearch, decoded_starts
from flowsuite.molecules.optimize.options import Options
from flowsuite.molecules.optimize.policy_gradient import PolicyGradient
from flowsuite.molecules.optimize.progress import fine_tune
from flowsuite.molecules.optimize.results import DRAWN, write_json
from flowsuite.molecules.optimize.scorer import Scorer
from flowsuite.molecules.optimize.starts import StartSet, cut
from flowsuite.molecules.optimize.targets import Target
from flowsuite.molecules.processes import Pool


def run(args: argparse.Namespace, options: Options, module, target: Target, context, pool: Pool) -> int:
    """Fine-tunes on gains if asked to, searches, and writes what there is, also after Ctrl-C."""
    flow = module.flow
    smiles = StartSet.read(args.constrained)[: args.limit]
    max_atoms = options.max_atoms or flow.max_atoms
    starts = StartSet.encode(smiles, flow.vocabulary, max_atoms, flow.window, args.protocol == "keep")
    if not len(starts.graphs):
        raise ValueError(f"{args.constrained}: {starts.describe()}")
    given = Scorer(target, pool)
    usual = given(smiles)
    given.check()
    scorer = Scorer(candidate_target(target), pool)
    search = ConstrainedSearch(
        flow,
        starts,
        usual,
        scorer,
        deltas=args.deltas,
        protocol=args.protocol,
        remove=args.remove,
        temperature=options.temperature,
        max_atoms=max_atoms,
        seed=args.seed,
        context=context,
    )
    codec = codec_baseline(smiles, usual, scorer, deltas=search.deltas)
    learner = improver(flow, scorer, options, starts, args, context)
    interrupted = fine_tune(learner, args.steps, args.quiet)
    if not interrupted:
        with bar("" if args.quiet else "improving", args.restarts) as advance:
            try:
                search.run(args.restarts, lambda left: advance(1))
            except KeyboardInterrupt:
                interrupted = True
    if not interrupted:
        scorer.check()
    if args.steps:
        save_module(Path(args.out) / "model.ckpt", module)
    notes = [starts.describe(), f"size cap {max_atoms} atoms, protocol {args.protocol}, {search.rounds} rounds"]
    for what, each in (("target on start molecules, which are left as they are", given), ("target", scorer)):
        if each.failures:
            notes.append(f"{what}: {each.summary()}")
    notes += ["interrupted"] if interrupted else []
    write(Path(args.out), smiles, usual, search.best, codec, learner.history, notes, args.target)
    return 130 if interrupted else 0


def candidate_target(target: Target) -> Target:
    """What candidates are scored by: of penalised logP the smallest over spellings, as published."""
    return Target("min_plogp", minimize=target.minimize) if target.spec == "plogp" else target


def improver(flow, scorer: Scorer, options: Options, starts: StartSet, args, context) -> PolicyGradient:
    """Fine-tunes on gains over beginnings of the start molecules."""

    def some(n: int, generator: torch.Generator):
        chosen = torch.randint(len(starts.graphs), (n,), generator=generator)
        return cut(starts.graphs, chosen, flow.window, args.remove, generator)

    usual = decoded_starts(starts, scorer) if args.steps else None
    return PolicyGradient(flow, scorer, options, args.seed, context, some, usual)


def write(
    out: Path,
    smiles: Sequence[str],
    usual: np.ndarray,
    best: Sequence[Best],
    codec: Sequence[Best],
    history: Sequence[dict],
    notes: Sequence[str],
    target: str,
) -> None:
    """improved.csv, improved.png, history.csv, table.json, and the table on the terminal."""
    improved = []
    for i, (text, score) in enumerate(zip(smiles, usual.tolist(), strict=True), 1):
        for d, delta in enumerate(best[i - 1].deltas):
            found = best[i - 1]
            improved.append(
                {
                    "number": i,
                    "start": text,
                    "start_score": score,
                    "delta": delta,
                    "smiles": found.smiles[d] or "",
                    "score": found.score[d],
                    "gain": found.gain[d],
                    "similarity": found.similarity[d],
                }
            )
    write_csv(out / "improved.csv", improved)
    write_csv(out / "history.csv", history)
    tables = {"ours": rows_of(best), "codec only": rows_of(codec)}
    write_json(
        out / "table.json",
        {"target": target, **{name: [asdict(row) for row in rows] for name, rows in tables.items()}, "notes": notes},
    )
    draw(out / "improved.png", improved)
    print_table(tables, notes)
    print(f"written to {out}")


def draw(path: Path, improved: Sequence[dict]) -> None:
    """Start molecules beside what the strictest threshold they were improved within gave, largest gains first."""
    found = {row["number"]: row for row in improved if row["smiles"]}
    rows = sorted(found.values(), key=lambda row: -row["gain"])[: DRAWN // 2]
    if rows:
        pairs = [(row["start"], f"{row['start_score']:.2f}") for row in rows]
        after = [(row["smiles"], f"{row['score']:.2f}, similarity {row['similarity']:.2f}") for row in rows]
        cells = [cell for both in zip(pairs, after, strict=True) for cell in both]
        write_grid(path, [text for text, _ in cells], [legend for _, legend in cells], columns=4)


def print_table(tables: dict[str, list[Row]], notes: Sequence[str], console=None) -> None:
    from rich.console import Console
    from rich.table import Table

    console = console or Console()
    table = Table("delta", "", "gain", "similarity", "success", show_edge=False, pad_edge=False)
    for rows in zip(*tables.values(), strict=True):
        for name, row in zip(tables, rows, strict=True):
            gain, alike = (f"{row.gain:.2f} +- {row.std:.2f}", f"{row.similarity:.2f}") if row.success else ("-", "-")
            table.add_row(f"{row.delta:g}", name, gain, alike, f"{100 * row.success:.1f} %")
    console.print(table)
    for note in notes:
        console.print(f"- {note}", markup=False, highlight=False)
