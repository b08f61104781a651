"""Histograms of generated molecules beside those of the data, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from flowsuite.core.training.files import atomic_write

COLOURS = {"reference": (150, 160, 175), "generated": (220, 110, 40)}
HEIGHT, BAR, GAP, MARGIN = 170, 14, 10, 30
MOST = 24  # entries of one histogram


def shares(counts: Mapping[str, float]) -> dict[str, float]:
    total = sum(counts.values())
    return {str(name): value / total for name, value in counts.items()} if total else {}


def order(name: str) -> tuple[bool, float, str]:
    """Sizes by number, all else by name."""
    return (not name.isdigit(), float(name) if name.isdigit() else 0.0, name)


def draw_bars(histograms: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Image.Image:
    """One row a table ("size", "atom type", ...), a pair of bars an entry: shares of the data, of what was generated.

    Args:
        histograms: counts by set ("generated", "reference"), table and entry, as in a `Report`.
    """
    tables = list(histograms["reference"])
    rows = []
    for table in tables:
        both = {name: shares(histograms[name][table]) for name in COLOURS}
        entries = sorted(set().union(*both.values()), key=lambda e: -max(b.get(e, 0.0) for b in both.values()))[:MOST]
        rows.append((table, sorted(entries, key=order), both))
    width = 2 * MARGIN + max(len(entries) for _, entries, _ in rows) * (2 * BAR + GAP)
    picture = Image.new("RGB", (max(width, 420), len(rows) * (HEIGHT + 3 * MARGIN)), "white")
    canvas, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for row, (table, entries, both) in enumerate(rows):
        top = row * (HEIGHT + 3 * MARGIN)
        _legend(canvas, font, table, top)
        base, largest = top + MARGIN + HEIGHT, max((v for b in both.values() for v in b.values()), default=1.0)
        for place, entry in enumerate(entries):
            left = MARGIN + place * (2 * BAR + GAP)
            for side, (name, colour) in enumerate(COLOURS.items()):
                height = HEIGHT * both[name].get(entry, 0.0) / largest
                x = left + side * BAR
                if height < 0.5:
                    continue
                canvas.rectangle([x, base - height, x + BAR - 1, base], fill=colour)
            canvas.text((left + BAR, base + 4), entry, fill="black", font=font, anchor="mt")
        canvas.text((MARGIN - 4, top + MARGIN), f"{largest:.0%}", fill="black", font=font, anchor="rt")
    return picture


def _legend(canvas: ImageDraw.ImageDraw, font, table: str, top: int) -> None:
    x = MARGIN
    for text, colour in ((table, (0, 0, 0)), ("data", COLOURS["reference"]), ("generated", COLOURS["generated"])):
        canvas.text((x, top + 8), text, fill=colour, font=font)
        x += canvas.textlength(text, font=font) + 16


def write_bars(path: Path, histograms: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Path:
    """`draw_bars` into a PNG file."""
    with atomic_write(path) as file:
        draw_bars(histograms).save(file, "PNG")
    return path
