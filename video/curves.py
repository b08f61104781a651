"""Line charts as pictures, without a plotting library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from flowsuite.core.training.files import atomic_write

COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (255, 127, 14), (148, 103, 189), (110, 110, 110))
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 480, 300, 64, 40, 30
TICKS = 5


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, about `TICKS` of them, within [low, high]."""
    rough = (high - low) / TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def span(values: Sequence[float]) -> tuple[float, float]:
    """The range of finite values, never empty."""
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def draw_curves(title: str, x_label: str, x: Sequence[float], curves: Mapping[str, Sequence[float]]):
    """A PIL picture of curves over common x, with axes and a legend; values that are not finite are left out.

    Raises:
        ValueError: a curve has another number of points than x.
    """
    from PIL import Image, ImageDraw, ImageFont

    for name, y in curves.items():
        if len(y) != len(x):
            raise ValueError(f"curve {name!r} has {len(y)} points for {len(x)} places")
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    canvas, font = ImageDraw.Draw(picture), ImageFont.load_default(11)
    x_low, x_high = span(x)
    y_low, y_high = span([value for y in curves.values() for value in y])
    right, base = WIDTH - 12, HEIGHT - BOTTOM

    def place(a: float, b: float) -> tuple[float, float]:
        across = LEFT + (a - x_low) / (x_high - x_low) * (right - LEFT)
        return across, base - (b - y_low) / (y_high - y_low) * (base - TOP)

    for value in ticks(y_low, y_high):
        _, height = place(x_low, value)
        canvas.line([(LEFT, height), (right, height)], fill=(225, 225, 225))
        canvas.text((LEFT - 5, height), f"{value:.6g}", fill="black", font=font, anchor="rm")
    for value in ticks(x_low, x_high):
        across, _ = place(value, y_low)
        canvas.line([(across, base), (across, base + 4)], fill="black")
        canvas.text((across, base + 6), f"{value:.6g}", fill="black", font=font, anchor="mt")
    canvas.line([(LEFT, TOP), (LEFT, base), (right, base)], fill="black")
    canvas.text(((LEFT + right) / 2, HEIGHT - 4), x_label, fill="black", font=font, anchor="mb")
    canvas.text((LEFT, 4), title, fill="black", font=font)
    across = LEFT
    for colour, (name, y) in zip(colours(len(curves)), curves.items(), strict=True):
        points = [place(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(b)]
        if len(points) > 1:
            canvas.line(points, fill=colour, width=2)
        for a, b in points:
            canvas.ellipse([a - 2, b - 2, a + 2, b + 2], fill=colour)
        canvas.text((across, 17), name, fill=colour, font=font)
        across += canvas.textlength(name, font=font) + 14
    return picture


def colours(n: int) -> list[tuple[int, int, int]]:
    return [COLOURS[i % len(COLOURS)] for i in range(n)]


def write_curves(path: Path, charts: Sequence[tuple[str, str, Sequence[float], Mapping[str, Sequence[float]]]]) -> Path:
    """Charts, each the arguments of `draw_curves`, two a row, into a PNG file."""
    from PIL import Image

    pictures = [draw_curves(*chart) for chart in charts]
    columns = min(2, len(pictures))
    sheet = Image.new("RGB", (columns * WIDTH, -(-len(pictures) // columns) * HEIGHT), "white")
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i % columns * WIDTH, i // columns * HEIGHT))
    with atomic_write(path) as file:
        sheet.save(file, "PNG")
    return Path(path)
