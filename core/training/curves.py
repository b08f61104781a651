"""Training curves: scalars of a run's TensorBoard log, drawn as SVG that follows the colours of the page it is on."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

Curve = Sequence[tuple[float, float]]  # (step, value)

LOSSES = {"train/loss": "training", "val/loss": "validation"}
WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 16, 44  # margins
SETTLED = 0.1  # the share of the steps before which a curve may leave the picture


def read_scalars(folder: Path, names: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of the scalars that the TensorBoard log in `folder` has, in order of steps, finite values only."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    log.Reload()
    kept = set(log.Tags()["scalars"])
    found = {name: {e.step: e.value for e in log.Scalars(name)} for name in names if name in kept}
    return {
        name: sorted((step, value) for step, value in points.items() if math.isfinite(value))
        for name, points in found.items()
    }


def losses_of(checkpoint: Path) -> dict[str, Curve]:
    """Training and validation loss of the run that wrote `<run>/checkpoints/<name>.ckpt`."""
    found = read_scalars(checkpoint.parent.parent, list(LOSSES))
    return {LOSSES[name]: points for name, points in found.items() if points}


def value_range(curves: Sequence[Curve], first: float, last: float) -> tuple[float, float]:
    """Least and greatest value after the first tenth of the steps, with a margin; of all where nothing is later."""
    start = first + SETTLED * (last - first)
    values = [y for curve in curves for x, y in curve if x >= start] or [y for curve in curves for _, y in curve]
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) within [low, high]."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def draw_curves(curves: Mapping[str, Curve], label: str = "loss") -> str:
    """An inline SVG of named curves with axes and a legend, those with two points at least; "" if none has.

    Where a loss falls steeply at first, the picture shows the rest: values that leave it are drawn at its rim.
    """
    curves = {name: curve for name, curve in curves.items() if len(curve) > 1}
    if not curves:
        return ""
    steps = [x for curve in curves.values() for x, _ in curve]
    first, last = min(steps), max(steps)
    low, high = value_range(list(curves.values()), first, last)

    def place(x: float, y: float) -> tuple[float, float]:
        right = (x - first) / ((last - first) or 1) * (WIDTH - LEFT - RIGHT)
        up = (min(max(y, low), high) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return LEFT + right, HEIGHT - BOTTOM - up

    parts = []
    for y in ticks(low, high):
        x0, y0 = place(first, y)
        parts.append(f'<line class="rule" x1="{x0:.1f}" x2="{WIDTH - RIGHT}" y1="{y0:.1f}" y2="{y0:.1f}"/>')
        parts.append(f'<text x="{x0 - 8:.1f}" y="{y0 + 4:.1f}" text-anchor="end">{y:.6g}</text>')
    for x in ticks(first, last) if last > first else [first]:
        x0, _ = place(x, low)
        parts.append(f'<text x="{x0:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:.6g}</text>')
    for k, (name, curve) in enumerate(curves.items()):
        points = " ".join("{:.1f},{:.1f}".format(*place(x, y)) for x, y in curve)
        parts.append(f'<polyline class="curve c{k % 4}" points="{points}"/>')
        x0 = LEFT + 8 + 130 * k
        parts.append(f'<line class="curve c{k % 4}" x1="{x0}" x2="{x0 + 18}" y1="{HEIGHT - 8}" y2="{HEIGHT - 8}"/>')
        parts.append(f'<text x="{x0 + 24}" y="{HEIGHT - 4}">{html.escape(name)}</text>')
    axes = f"{html.escape(label)} by step"
    parts.append(f'<text x="{WIDTH - RIGHT}" y="10" text-anchor="end">{axes}</text>')
    return f'<svg class="curves" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{axes}">{"".join(parts)}</svg>'
