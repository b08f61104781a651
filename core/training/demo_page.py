"""The page of `flowsuite demo`: one HTML file that holds its pictures, sounds and clouds, and asks for nothing else."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np

from flowsuite.core.training.curves import Curve, draw_curves
from flowsuite.core.training.demo_assets import SCRIPT, STYLE
from flowsuite.core.training.files import atomic_write
from flowsuite.core.training.numpy_files import load_npy

KINDS = {".png": "image/png", ".gif": "image/gif", ".wav": "audio/wav"}
MOST_POINTS = 2048  # of a cloud that is to be turned
FAILED = "failed: "  # so begins the problem of a part that went wrong, where others were left out


@dataclass
class Section:
    """One part of the page.

    Attributes:
        title: heading.
        text: what was trained, and what was measured.
        figures: (path, caption) of every picture (.png, .gif), sound (.wav) or array of point clouds (.npy, (N, 3) or
            (B, N, 3), turned by mouse). Sounds with a picture right after them are shown beside it.
        commands: the command lines that made it.
        table: Markdown, or lines of columns with two or more spaces between them; "" for none.
        headline: the figures that say most, by name.
        checkpoint: of the run whose losses are the training curves, None for none.
        curves: training curves by name, (step, value); from the run's log where there is a checkpoint.
        seconds: the time that the part took.
        problem: why there is nothing else to show.
    """

    title: str
    text: str
    figures: list[tuple[Path, str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    table: str = ""
    headline: dict[str, str] = field(default_factory=dict)
    checkpoint: Path | None = None
    curves: dict[str, Curve] = field(default_factory=dict)
    seconds: float | None = None
    problem: str = ""


# Figures


def data_uri(path: Path) -> str:
    if path.suffix not in KINDS:
        raise ValueError(f"{path}: a figure must be one of {', '.join([*KINDS, '.npy'])}")
    return f"data:{KINDS[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def read_clouds(path: Path) -> np.ndarray:
    """(B, N, 3) from the `.npy` of one or several clouds."""
    clouds = load_npy(path)
    clouds = clouds[None] if clouds.ndim == 2 else clouds
    if clouds.ndim != 3 or clouds.shape[-1] != 3 or not 0 < clouds.shape[1] <= MOST_POINTS or not len(clouds):
        wanted = f"expected clouds (N, 3) or (B, N, 3) of up to {MOST_POINTS} points"
        raise ValueError(f"{path}: {wanted}, got shape {clouds.shape}")
    if not np.isfinite(clouds).all():
        raise ValueError(f"{path}: NaN or infinity among the points")
    return clouds


def pack_cloud(points: np.ndarray) -> str:
    """A cloud (N, 3), centred and scaled, as the script of the page reads it."""
    centred = points - (points.min(0) + points.max(0)) / 2
    scaled = centred / (np.abs(centred).max() or 1.0)
    return base64.b64encode(np.round(32767 * scaled).astype("<i2").tobytes()).decode()


def picture(path: Path, text: str) -> str:
    return f'<img src="{data_uri(path)}" alt="{text}">'


def sound(path: Path, text: str) -> str:
    return f'<audio controls preload="metadata" aria-label="{text}" src="{data_uri(path)}"></audio>'


def clouds(path: Path, text: str) -> str:
    canvas = '<canvas tabindex="0" aria-label="{}" data-points="{}"></canvas>'
    shown = (canvas.format(text, pack_cloud(cloud)) for cloud in read_clouds(path))
    return f'<div class="clouds">{"".join(shown)}</div>'


SHOWN: dict[str, Callable[[Path, str], str]] = {".wav": sound, ".npy": clouds}


def figure(path: Path, caption: str) -> str:
    text = escape(caption)
    shown = SHOWN.get(path.suffix, picture)(path, text)
    wide = ' class="wide"' if path.suffix == ".npy" else ""
    return f"<figure{wide}>{shown}<figcaption>{text}</figcaption></figure>"


def render_figures(figures: Sequence[tuple[Path, str]]) -> str:
    parts, players = [], []
    for path, caption in figures:
        if path.suffix == ".wav":
            players.append(figure(path, caption))
            continue
        shown = figure(path, caption)
        if players and path.suffix == ".png":
            shown = f'<div class="sounds"><div class="players">{"".join(players)}</div>{shown}</div>'
            players = []
        parts.append(shown)
    parts += players
    return f'<div class="figures">{"".join(parts)}</div>' if parts else ""


# Tables


def cells_of(line: str) -> list[str]:
    line = line.strip()
    return [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else re.split(r" {2,}", line)


def is_number(cell: str) -> bool:
    return re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?%?|nan|-", cell) is not None


def starts_with_digit(cell: str) -> bool:
    return re.match(r"[-+]?\d", cell) is not None


def render_table(text: str) -> str:
    """Markdown or aligned columns as an HTML table; as it stands where the lines have different numbers of cells.

    The first line is the heading where it has no number, and the others have some.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    rows = [cells_of(line) for line in lines if not re.fullmatch(r"[|\s:-]+", line)]
    if not rows or len(rows[0]) < 2 or len({len(row) for row in rows}) > 1:
        return f"<pre>{escape(text)}</pre>" if rows else ""
    headed = len(rows) > 1 and not any(map(starts_with_digit, rows[0])) and any(map(starts_with_digit, rows[1]))
    parts = []
    if headed:
        parts.append(f"<tr>{''.join(f'<th>{escape(cell)}</th>' for cell in rows[0])}</tr>")
    for row in rows[headed:]:
        cells = (f'<td class="{"number" if is_number(cell) else "word"}">{escape(cell)}</td>' for cell in row)
        parts.append(f"<tr>{''.join(cells)}</tr>")
    return f'<div class="scroll"><table>{"".join(parts)}</table></div>'


# Sections


def render_headline(headline: dict[str, str]) -> str:
    tiles = (f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in headline.items())
    return f"<dl>{''.join(tiles)}</dl>" if headline else ""


def render_curves(section: Section) -> str:
    drawn = draw_curves(section.curves)
    return f"<h3>Training</h3>{drawn}" if drawn else ""


def render_problem(problem: str) -> str:
    return f'<span class="{"bad" if problem.startswith(FAILED) else "soft"}">{escape(problem)}</span>'


def render_section(section: Section, number: int) -> str:
    parts = [f'<section id="part-{number}"><h2>{escape(section.title)}</h2>']
    if section.problem:
        parts.append(f"<p>{render_problem(section.problem)}</p>")
    if section.text:
        parts.append(f"<p>{escape(section.text)}</p>")
    parts += [render_headline(section.headline), render_figures(section.figures), render_table(section.table)]
    parts.append(render_curves(section))
    if section.commands:
        commands = escape("\n".join(section.commands))
        said = '<span class="soft">The commands that made this</span>'
        parts.append(f'<div class="commands">{said}<button type="button">Copy</button><pre>{commands}</pre></div>')
    if section.seconds is not None:
        parts.append(f'<p class="soft">The whole part took {section.seconds:.0f} s.</p>')
    return "\n".join(part for part in [*parts, "</section>"] if part)


def render_overview(sections: Sequence[Section]) -> str:
    """A line for each part: what it is, its first figure, its time."""
    lines = []
    for number, section in enumerate(sections):
        first = next((f"{name} {value}" for name, value in section.headline.items()), "")
        time = "" if section.seconds is None else f"{section.seconds:.0f} s"
        said = render_problem(section.problem) if section.problem else escape(first)
        name = f'<a href="#part-{number}">{escape(section.title)}</a>'
        lines.append(
            f'<tr><td>{name}</td><td style="white-space: normal">{said}</td><td class="number">{time}</td></tr>'
        )
    return f'<nav class="scroll"><table>{"".join(lines)}</table></nav>' if len(lines) > 1 else ""


def write_page(sections: Sequence[Section], root: Path, text: str = "") -> Path:
    """`index.html` in `root`, which holds all it shows; `text` says what made it."""
    body = "\n".join(render_section(section, number) for number, section in enumerate(sections))
    introduction = f'<p class="soft">{escape(text)}</p>' if text else ""
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>flowsuite demo</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<style>{STYLE}</style></head>
<body><h1>flowsuite demo</h1>
{introduction}
{render_overview(sections)}
{body}
<script>{SCRIPT}</script>
</body></html>
"""
    path = root / "index.html"
    with atomic_write(path) as file:
        file.write(page.encode())
    return path
