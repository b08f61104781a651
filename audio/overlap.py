"""`flowsuite audio overlap`: how far synthesis in pieces is from synthesis in one go, margin by margin."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from flowsuite.audio.command_model import add_model, add_recordings, load_synthesizer, recordings
from flowsuite.audio.sources import Source
from flowsuite.audio.streaming import reach, streamed
from flowsuite.audio.synthesis import Synthesizer
from flowsuite.audio.wave_files import FULL_SCALE
from flowsuite.core.training.files import check_writable, write_json

MARGINS = (0, 32, 64, 128, 256, 512, 1024, 2048)
EXAMPLES = """\
examples:
  flowsuite audio overlap --ckpt_path best.ckpt --data recordings/
  flowsuite audio overlap --ckpt_path best.ckpt --data audio/waveflow-ljspeech --margins 100 200 300 --piece 0.5
`worst` is the largest error of a sample, in steps of 16-bit audio; `error` the power of the error relative to that of
the synthesis; `changed` the share of samples that are another 16-bit number; `cost` the columns synthesised per column
kept. Marked is the smallest margin from which on no sample is off by more than half a step.
"""


def measure(
    synthesizer: Synthesizer, sources: Sequence[Source], margins: Sequence[int], piece: float = 1.0, fade: int = 0
) -> list[dict[str, float]]:
    """Errors of synthesis in pieces against synthesis in one go, over all samples of the clips, for every margin.

    Args:
        synthesizer: the model, its temperature and seed.
        sources: clips, longer than a piece.
        margins: columns beyond a piece on either side.
        piece: seconds.
        fade: columns, see `stream`; 0 where the margin is too small for it.

    Returns:
        For each margin `worst` (16-bit steps), `error_db` and `changed` (see the examples), and `cost`, columns
        synthesised per column kept.
    """
    flow, rate = synthesizer.flow, synthesizer.spec.sample_rate
    chunk = max(1, round(piece * rate / flow.height))
    sources = [source for source in sources if source.samples > chunk * flow.height]
    if not sources:
        raise ValueError(f"no clip is longer than a piece of {piece:g} s")
    whole = [synthesizer.batch([source])[0] for source in sources]
    rows = []
    for margin in margins:
        made = [in_pieces(synthesizer, source, chunk, margin, fade) for source in sources]
        rows.append({"margin": margin, "cost": 1 + 2 * margin / chunk, **compare(whole, made)})
    return rows


def in_pieces(synthesizer: Synthesizer, source: Source, chunk: int, margin: int, fade: int) -> Tensor:
    mel, noise = source.mel.to(synthesizer.flow.base.anchor), synthesizer.noise(source.name)
    fade = fade if fade <= min(2 * margin, chunk) else 0
    made = streamed(
        synthesizer.flow, mel, noise, source.samples, chunk=chunk, margin=margin, fade=fade, how=synthesizer.how
    )
    return source.finished(made.cpu())


def compare(whole: Sequence[Tensor], made: Sequence[Tensor]) -> dict[str, float]:
    wanted, got = torch.cat(list(whole)).double(), torch.cat(list(made)).double()
    error = got - wanted
    ratio = float(error.square().mean() / wanted.square().mean())
    return {
        "worst": float(error.abs().max()) * FULL_SCALE,
        "error_db": 10 * math.log10(ratio) if ratio > 0 else -math.inf,
        "changed": float(((got * FULL_SCALE).round() != (wanted * FULL_SCALE).round()).double().mean()),
    }


def smallest_safe(rows: Sequence[dict[str, float]]) -> int | None:
    """The margin from which on no sample is off by more than half a 16-bit step."""
    safe = None
    for row in sorted(rows, key=lambda row: -row["margin"]):
        if not row["worst"] <= 0.5:
            break
        safe = int(row["margin"])
    return safe


def print_table(rows: Sequence[dict[str, float]], height: int, rate: int) -> None:
    safe = smallest_safe(rows)
    print(f"{'margin':>8}{'ms':>8}{'cost':>7}{'worst':>12}{'error dB':>10}{'changed':>10}")
    for row in rows:
        milliseconds = 1000 * row["margin"] * height / rate
        print(f"{row['margin']:>8}{milliseconds:>8.0f}{row['cost']:>7.2f}{row['worst']:>12.4g}", end="")
        print(f"{row['error_db']:>10.1f}{row['changed']:>10.2%}{'  <' if row['margin'] == safe else ''}")


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "flowsuite audio overlap",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser)
    add_recordings(parser, clips=2)
    add = parser.add_argument
    add("--margins", type=int, nargs="+", default=MARGINS, metavar="COLUMNS", help="beyond a piece on either side")
    add("--piece", type=float, default=1.0, metavar="SECONDS", help="length of the pieces (%(default)g)")
    add("--fade", type=int, default=0, metavar="COLUMNS", help="around every cut; 0: a hard cut (%(default)s)")
    add("--temperature", type=float, default=1.0, metavar="T", help="factor on the noise (%(default)g)")
    add("--json", metavar="FILE", help="write the figures there too")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Runs the command; errors are exceptions with a message of one line."""
    args = make_parser().parse_args(argv)
    check_writable(args.json)
    if not 0 < args.piece < float("inf"):
        raise ValueError(f"--piece must be positive, got {args.piece}")
    args.chunk = 0
    synthesizer = load_synthesizer(args)
    flow, rate = synthesizer.flow, synthesizer.spec.sample_rate
    rows = measure(synthesizer, recordings(args, synthesizer), sorted(set(args.margins)), args.piece, args.fade)
    print_table(rows, flow.height, rate)
    print(f"exact whatever the weights: {reach(flow)} columns ({reach(flow) * flow.height / rate:.2f} s)")
    if args.json:
        report = {"reach": reach(flow), "smallest_safe": smallest_safe(rows), "rows": rows}
        write_json(args.json, report)
    return 0
