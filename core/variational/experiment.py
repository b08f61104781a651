"""`flowsuite variational`: the experiment of arXiv 1505.05770, section 6.1, every kind of flow on every target."""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import json
import multiprocessing
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from flowsuite.core.targets import TARGETS, Target, make_target
from flowsuite.core.training.demo_page import Section, write_page
from flowsuite.core.training.files import atomic_write, make_folder, read_json
from flowsuite.core.training.model_options import SEED
from flowsuite.core.training.pictures import write_png
from flowsuite.core.training.plots import density_image
from flowsuite.core.variational.fit import fit_posterior
from flowsuite.core.variational.posterior import KINDS, Posterior

FIGURES = (
    "reverse_kl", "forward_kl", "ess", "pareto_k", "elbo", "elbo_error", "log_normalizer", "mass", "seconds",
)  # fmt: skip
COLUMNS = ("target", "kind", "n_layers", "parameters", *FIGURES)
IMPROPER = ("U2", "U3", "U4")  # without an envelope
NARROW = ("iaf", "spline", "nice", "affine")  # kinds with networks inside, 64 hidden units here
SIZE, GAP = 200, 4  # of a picture of a density, by exact inverse, and the space between two
EXAMPLES = """examples:
  flowsuite variational
  flowsuite variational --targets U1 funnel --kinds planar spline --layers 8 --steps 2000 --out runs/quick
Every fit is kept under OUT/fits; what is there already, with the same settings, is not fitted again."""


@dataclass(frozen=True)
class Job:
    """One fit: everything that decides its outcome."""

    target: str
    kind: str
    n_layers: int
    steps: int
    batch_size: int
    lr: float
    anneal_steps: int
    envelope: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.target}-{self.kind}-{self.n_layers}"


def target_of(job: Job) -> Target:
    """U2, U3 and U4 with the envelope asked for, without which they are improper; the others as they are."""
    return make_target(job.target, envelope=job.envelope) if job.target in IMPROPER else make_target(job.target)


def run(job: Job, out: Path) -> dict[str, object]:
    """Fits, writes `fits/NAME.json` (figures) and, in the plane, `fits/NAME.png`; the row of the table."""
    done, target = out / "fits" / f"{job.name}.json", target_of(job)
    pictured = target.window is None or done.with_suffix(".png").is_file()
    if pictured and done.is_file() and (row := read_json(done)).get("job") == asdict(job):
        return row
    torch.set_num_threads(1)
    torch.manual_seed(job.seed)
    options = {"hidden_features": 64} if job.kind in NARROW else {}
    flow = Posterior(target.dims, job.kind, job.n_layers, options=options)
    with warnings.catch_warnings():  # they are in the report, and shown with the table
        warnings.simplefilter("ignore")
        settings = {"steps": job.steps, "batch_size": job.batch_size, "lr": job.lr, "anneal_steps": job.anneal_steps}
        q = fit_posterior(target, target.dims, flow, **settings, samples=20_000, seed=job.seed, progress=False)
    figures = asdict(q.report)
    row = {"job": asdict(job), "target": job.target, "kind": job.kind, "n_layers": job.n_layers}
    row |= {"parameters": sum(p.numel() for p in flow.parameters()), "warnings": figures["warnings"]}
    row |= {name: figures[name] for name in FIGURES} | {"history": q.history}
    if target.window is not None:
        write_png(out / "fits" / f"{job.name}.png", density_image(flow.log_prob, target.window, SIZE))
    with atomic_write(done) as file:
        file.write(json.dumps(row).encode())
    return row


def _run(arguments: tuple[Job, Path]) -> dict[str, object]:
    return run(*arguments)


def run_all(jobs: list[Job], out: Path, workers: int) -> Iterator[dict[str, object]]:
    """The rows as they are ready."""
    tasks = [(job, out) for job in jobs]
    if workers == 1:
        yield from map(_run, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(min(workers, len(tasks))) as pool:
        yield from pool.imap_unordered(_run, tasks)


def write_table(path: Path, rows: Iterable[dict[str, object]]) -> None:
    """The rows as CSV, empty where a figure does not exist."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def picture(rows: list[str], columns: list[str], n_layers: int, jobs: dict[str, Job], out: Path) -> Tensor:
    """Targets from top to bottom; from left to right the truth and each kind with `n_layers`; (3, H, W) uint8."""
    from flowsuite.core.training.pictures import open_image

    lines = []
    for target in rows:
        job = jobs[f"{target}-{columns[0]}-{n_layers}"]
        panels = [density_image(target_of(job), target_of(job).window, SIZE)]
        for kind in columns:
            image = open_image(out / "fits" / f"{target}-{kind}-{n_layers}.png")
            pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
            panels.append(pixels.view(image.height, image.width, 3).permute(2, 0, 1))
        lines.append(torch.cat([torch.nn.functional.pad(panel, (0, GAP, 0, GAP), value=255) for panel in panels], 2))
    return torch.cat(lines, 1)


def show(rows: list[dict[str, object]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="fitted posteriors, KL in nats")
    for name in ("target", "kind", "K", "size", "KL(q||p)", "KL(p||q)", "ESS %", "k", "s"):
        table.add_column(name, justify="left" if name in ("target", "kind") else "right")
    for row in rows:
        kls = [f"{row[name]:.4f}" if row[name] is not None else "-" for name in ("reverse_kl", "forward_kl")]
        shares = f"{100 * row['ess']:.1f}", f"{row['pareto_k']:.2f}", f"{row['seconds']:.0f}"
        table.add_row(row["target"], row["kind"], str(row["n_layers"]), str(row["parameters"]), *kls, *shares)
    console = Console()
    console.print(table)
    for row in rows:
        for line in row["warnings"]:
            console.print(f"{row['target']}, {row['kind']}, K = {row['n_layers']}: {line}", markup=False)


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        "flowsuite variational",
        description="Fits flows of several kinds and lengths to densities of which everything is known,\n"
        "and writes a table (KL by quadrature, ESS, Pareto k), pictures of the densities and a page.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = ["planar", "radial", "nice", "iaf", "spline"]
    add = whole.add_argument
    of = f"densities: {', '.join(TARGETS)} (U1 U2 U3 U4)"
    add("--targets", nargs="+", default=["U1", "U2", "U3", "U4"], choices=list(TARGETS), metavar="T", help=of)
    what = f"kinds of flow: {', '.join(KINDS)} ({' '.join(kinds)})"
    add("--kinds", nargs="+", default=kinds, choices=KINDS, metavar="KIND", help=what)
    add("--layers", nargs="+", type=int, default=[2, 8, 32], metavar="K", help="numbers of layers (2 8 32)")
    add("--steps", type=int, default=5000, help="gradient steps (%(default)s)")
    add("--batch_size", type=int, default=256, help="samples a step (%(default)s)")
    add("--lr", type=float, default=5e-3, help="highest learning rate (%(default)s)")
    rise = "steps over which the weight of the density rises to 1 (three tenths of the steps)"
    add("--anneal_steps", type=int, help=rise)
    add("--envelope", default="box", choices=("box", "quartic"), help="what bounds U2, U3 and U4 (%(default)s)")
    add("--seed", type=int, default=0, help=SEED)
    add("--workers", type=int, default=1, help="processes, each with one thread (%(default)s)")
    add("--out", type=Path, default=Path("runs/variational"), metavar="FOLDER", help="to write to (%(default)s)")
    return whole


def main(argv: list[str] | None = None) -> int:
    options = parser().parse_args(argv)
    for name in ("steps", "batch_size", "workers"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(options, name)}")
    if min(options.layers) < 1:
        raise ValueError(f"--layers must be at least 1, got {options.layers}")
    if options.anneal_steps is None:
        options.anneal_steps = 3 * options.steps // 10
    settings = {name: getattr(options, name) for name in ("steps", "batch_size", "lr", "anneal_steps", "envelope")}
    jobs = [
        Job(target, kind, n_layers, seed=options.seed, **settings)
        for n_layers, kind, target in itertools.product(options.layers, options.kinds, options.targets)
    ]
    make_folder(options.out / "fits")
    rows = []
    for row in run_all(jobs, options.out, options.workers):
        rows.append(row)
        kl = "" if row["reverse_kl"] is None else f", KL(q||p) {row['reverse_kl']:.4f}"
        text = f"ELBO {row['elbo']:.3f}, ESS {100 * row['ess']:.1f} %{kl}"
        print(f"[{len(rows)}/{len(jobs)}] {row['target']} {row['kind']} {row['n_layers']}: {text}", file=sys.stderr)
    order = {job.name: i for i, job in enumerate(sorted(jobs, key=lambda job: (job.target, job.kind, job.n_layers)))}
    rows.sort(key=lambda row: order[f"{row['target']}-{row['kind']}-{row['n_layers']}"])
    write_table(options.out / "table.csv", rows)
    show(rows)
    print(f"{options.out / 'table.csv'}, {finish(options, {job.name: job for job in jobs}, argv)}")
    return 0


def finish(options: argparse.Namespace, jobs: dict[str, Job], argv: list[str] | None) -> Path:
    """Pictures and page; the page's path."""
    flat = [name for name in options.targets if make_target(name).window is not None]
    figures = []
    for n_layers in options.layers if flat else []:
        path = options.out / f"densities-{n_layers}.png"
        write_png(path, picture(flat, options.kinds, n_layers, jobs, options.out))
        caption = f"K = {n_layers}: the density, {', '.join(options.kinds)} (columns) on {', '.join(flat)} (rows)"
        figures.append((path, caption))
    given = sys.argv[2:] if argv is None else argv
    text = "Flows fitted to unnormalised densities by reverse KL; densities by the exact inverse. Figures: table.csv."
    commands = [" ".join(["flowsuite variational", *given])]
    section = Section("Variational inference", text, figures=figures, commands=commands)
    return write_page([section], options.out)
