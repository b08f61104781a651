"""`flowsuite audio sweep`: the temperature at which copy-synthesis comes nearest to recordings."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence

from flowsuite.audio.command_model import add_model, add_recordings, load_synthesizer, recordings
from flowsuite.audio.metrics.table import COLUMNS, Average, average, copy_synthesis_metrics, format_table
from flowsuite.audio.sources import Source
from flowsuite.audio.synthesis import Synthesizer
from flowsuite.core.training.files import check_writable, write_json
from flowsuite.core.training.model_options import QUIET, Temperatures
from flowsuite.core.wording import plural

TEMPERATURES = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
PITCH = ("f0_rmse_hz", "f0_rmse_cents", "vuv_error", "vuv_f1", "gpe", "periodicity_rmse")
EXAMPLES = """\
examples:
  flowsuite audio sweep --ckpt_path best.ckpt --data audio/waveflow-ljspeech
  flowsuite audio sweep --ckpt_path best.ckpt --data recordings/ --temperatures 0.6 0.8 1.0 --metric pesq_wb
Every clip has the same noise at all temperatures. WaveFlow is best near 1, WaveGlow near 0.6.
"""


def sweep(
    synthesizer: Synthesizer,
    sources: Sequence[Source],
    temperatures: Sequence[float],
    pitch: bool = False,
    advance: Callable[[], None] = lambda: None,
) -> dict[float, dict[str, Average]]:
    """Metrics of copy-synthesis, averaged over clips, for every temperature; one that is not finite has none."""
    table = {}
    height = synthesizer.flow.height if synthesizer.flow.height >= 3 else None
    before = synthesizer.temperature
    for temperature in temperatures:
        synthesizer.temperature = temperature
        rows = []
        for source in sources:
            wave = synthesizer([source])[0]
            finite = bool(wave.isfinite().all())
            rows.append(
                copy_synthesis_metrics(source.recording, wave, synthesizer.spec, pitch=pitch, height=height)
                if finite
                else {}
            )
            advance()
        table[temperature] = average(rows)
    synthesizer.temperature = before
    return table


def best_temperature(table: dict[float, dict[str, Average]], metric: str) -> float | None:
    """The temperature with the best mean of a metric, of those at which most clips have it; None if no clip has it."""
    found = {t: row[metric] for t, row in table.items() if metric in row and not math.isnan(row[metric].mean)}
    most = max((average.count for average in found.values()), default=0)
    means = {t: average.mean for t, average in found.items() if average.count == most}
    pick = max if COLUMNS[metric][1] else min
    return pick(means, key=means.get, default=None)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "flowsuite audio sweep",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    add_recordings(parser, clips=8)
    add = parser.add_argument
    listed = " ".join(f"{t:g}" for t in TEMPERATURES)
    add("--temperatures", action=Temperatures, default=list(TEMPERATURES), help=f"to try ({listed})")
    which = f"what to choose by: {', '.join(COLUMNS)} (%(default)s)"
    add("--metric", choices=COLUMNS, default="mstft", metavar="METRIC", help=which)
    add("--json", metavar="FILE", help="write the figures there too")
    add("--quiet", action="store_true", help=QUIET)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs the command; errors are exceptions with a message of one line."""
    args = make_parser().parse_args(argv)
    check_writable(args.json)
    if args.metric == "pesq_wb":
        from flowsuite.audio.metrics.perceptual import pesq_available

        if not pesq_available():
            raise ValueError("--metric pesq_wb needs the package pesq: pip install pesq")
    from rich.progress import Progress

    synthesizer = load_synthesizer(args)
    sources, temperatures = recordings(args, synthesizer), sorted(set(args.temperatures))
    with Progress(disable=args.quiet or not sys.stderr.isatty()) as progress:
        task = progress.add_task("synthesising", total=len(sources) * len(temperatures))
        pitch = args.metric in PITCH
        table = sweep(synthesizer, sources, temperatures, pitch, lambda: progress.advance(task))
    best = best_temperature(table, args.metric)
    print(format_table({f"T = {t:g}{' (best)' if t == best else ''}": row for t, row in table.items()}))
    clips = plural(len(sources), "clip")
    if best is None:
        print(f"no best temperature: {COLUMNS[args.metric][0]} is not defined for any of {clips}; try --metric mstft")
    else:
        print(f"best by {COLUMNS[args.metric][0]} over {clips}: --temperature {best:g}")
    if args.json:
        rows = [{"temperature": t, **{name: value.mean for name, value in row.items()}} for t, row in table.items()]
        report = {"best": best, "metric": args.metric, "clips": [source.name for source in sources], "rows": rows}
        write_json(args.json, report)
    return 1 if best is None else 0
