"""`flowsuite demo`: every `demo` module trains something small, generates, and gets a section of one page."""

from __future__ import annotations

import argparse
import html
import importlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flowsuite.core.training.files import atomic_write, make_folder
from flowsuite.core.training.recipes import domains, package_folder

STYLE = """
body { font-family: system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
img { image-rendering: pixelated; max-width: 100%; border: 1px solid #ccc; }
figure { margin: 1.5rem 0; } figcaption { color: #555; margin-top: .4rem; }
pre { background: #f4f4f4; padding: .8rem; overflow-x: auto; }
"""


@dataclass
class Section:
    """One part of the page.

    Attributes:
        title: heading.
        text: what was trained, and what was measured.
        table: figures in lines of equal width, "" for none.
        figures: (path inside the demo folder, caption) of every picture, or sound if it is a .wav.
        commands: the command lines that made it.
    """

    title: str
    text: str
    figures: list[tuple[Path, str]] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    table: str = ""


def render_section(section: Section, root: Path) -> str:
    parts = [f"<h2>{html.escape(section.title)}</h2>", f"<p>{html.escape(section.text)}</p>"]
    if section.table:
        parts.append(f"<pre>{html.escape(section.table)}</pre>")
    for path, caption in section.figures:
        source = html.escape(path.relative_to(root).as_posix(), quote=True)
        text = html.escape(caption)
        sound = f'<audio controls preload="auto" src="{source}"></audio>'
        shown = sound if path.suffix == ".wav" else f'<img src="{source}" alt="{text}">'
        parts.append(f"<figure>{shown}<figcaption>{text}</figcaption></figure>")
    if section.commands:
        parts.append(f"<pre>{html.escape(chr(10).join(section.commands))}</pre>")
    return "\n".join(parts)


def write_page(sections: list[Section], root: Path) -> Path:
    """`index.html` in `root`, with relative links."""
    body = "\n".join(render_section(section, root) for section in sections)
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>flowsuite demo</title><style>{STYLE}</style></head>
<body><h1>flowsuite demo</h1>
{body}
</body></html>
"""
    path = root / "index.html"
    with atomic_write(path) as file:
        file.write(page.encode())
    return path


def train_recipe(recipe: str, folder: Path, options: Sequence[str] = (), kind: str = "best") -> tuple[Path, str]:
    """Trains a recipe into `<root>/<recipe>`, `folder` being `<root>/...`; its checkpoint and the command.

    `kind` is "best" or "last"; `options` are further options of `flowsuite fit`.
    """
    from flowsuite.core.training.lightning_cli import run
    from flowsuite.core.training.runs import newest_checkpoint

    make_folder(folder)
    command = ["fit", "--config", recipe, "--trainer.default_root_dir", str(folder.parent)]
    status = run([*command, *options])
    if status:
        raise RuntimeError(f"training of {recipe} ended with exit code {status}")
    found = newest_checkpoint(folder.parent / recipe, kind)
    if found is None:
        raise FileNotFoundError(f"training left no checkpoint below {folder.parent / recipe}")
    return found[0], " ".join(["flowsuite", *command])


def section_modules() -> dict[str, str]:
    """Name -> module with `run(folder) -> Section`: `demo` of a domain, or of a package inside one or inside core."""
    found = {}
    for room in (*domains(), "core"):
        folder = package_folder(room)
        for path in sorted([*folder.glob("demo.py"), *folder.glob("*/demo.py")]) if folder else ():
            package = (room, *path.relative_to(folder).parent.parts)
            if package != ("core", "training"):  # this module
                found[package[-1]] = ".".join(("flowsuite", *package, "demo"))
    return found


def main(argv: list[str] | None = None) -> int:
    found = section_modules()
    parser = argparse.ArgumentParser(
        "flowsuite demo",
        description="Trains the demo recipe of every domain, generates from it, and writes a page with the results.",
        epilog="example: flowsuite demo --out runs/demo",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the page (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=found, metavar="NAME", help=f"some of: {', '.join(found)}")
    args = parser.parse_args(argv)
    make_folder(args.out)
    sections = []
    for name in args.only or found:
        start = time.perf_counter()
        section = importlib.import_module(found[name]).run(args.out / name)
        section.text += f" The whole part took {time.perf_counter() - start:.0f} s on {os.cpu_count()} CPU cores."
        sections.append(section)
    page = write_page(sections, args.out)
    print(f"\nOpen {page.resolve()}")
    return 0
