"""`flowsuite images vae table`: one autoencoder with posterior after posterior, trained and compared."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from flowsuite.core.training.files import atomic_write, make_folder, read_json, read_yaml, write_json
from flowsuite.core.training.model_options import positive
from flowsuite.core.training.recipes import find_recipe, recipe_name
from flowsuite.images.vae.evaluation import measure, summarize

REDUCED = "images/vae-mnist-reduced"
# row of the table -> (kind of posterior, layers, options): some 0.55 million parameters, of 256 features, 64 latents
SIZES = {
    "gaussian": ("gaussian", 1, {}),
    "gaussian-wide": ("gaussian", 1, {}),
    "planar": ("planar", 16, {}),
    "radial": ("radial", 32, {}),
    "iaf": ("iaf", 4, {"hidden_features": 208}),
    "orthogonal": ("orthogonal", 4, {"columns": 8}),
}
WIDER = 4 / 3  # of the networks of gaussian-wide, which brings about as many parameters as the layers of the others
DEFAULT = ("gaussian", "gaussian-wide", "planar", "iaf", "orthogonal")
COLUMNS = (
    "posterior", "layers", "seed", "parameters", "posterior_parameters", "elbo", "elbo_error", "nll", "nll_error",
    "nll_difference", "nll_difference_error", "kl", "active", "epochs", "seconds",
)  # fmt: skip
EXAMPLES = f"""examples:
  flowsuite images vae table --data.init_args.root data/mnist --out runs/vae-table
  flowsuite images vae table --seeds 0 1 2 --trainer.max_epochs 200
  flowsuite images vae table --config images/vae-caltech-orthogonal --samples 2000
Options that are not its own go to `flowsuite fit`. What OUT holds already, trained with the same options, is kept.
The recipe is {REDUCED} if none is named: few digits, small networks, on a CPU."""


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(
        "flowsuite images vae table",
        description="Trains a recipe with posteriors of equal size, measures -ELBO and -log p(x) by importance\n"
        "sampling on its test set, and writes table.csv.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = whole.add_argument
    add("--config", default=REDUCED, metavar="RECIPE", help="the recipe (%(default)s)")
    what = f"posteriors: {', '.join(SIZES)} ({' '.join(DEFAULT)})"
    add("--kinds", nargs="+", default=DEFAULT, choices=SIZES, metavar="KIND", help=what)
    add("--seeds", nargs="+", type=int, default=[0], metavar="SEED", help="of initialisation and training (0)")
    add("--samples", type=positive, default=1000, help="importance samples an image (%(default)s)")
    add("--out", type=Path, default=Path("runs/vae-table"), metavar="FOLDER", help="to write to (%(default)s)")
    return whole


def flow_options(kind: str, recipe: str) -> dict[str, object]:
    """Arguments of `FlowVAE` that make a row of the table out of a recipe."""
    posterior, n_layers, options = SIZES[kind]
    chosen: dict[str, object] = {"posterior": posterior, "n_layers": n_layers, "options": options}
    if kind == "gaussian-wide":
        given = read_yaml(find_recipe(recipe))["model"]["init_args"]["flow"]["init_args"]
        if given.get("network", "conv") == "dense":
            chosen["hidden"] = [round(WIDER * width) for width in given.get("hidden", (300, 300))]
        else:
            chosen["features"] = round(WIDER * given.get("features", 256))
    return chosen


def train(kind: str, seed: int, recipe: str, folder: Path, options: Sequence[str]) -> tuple[Path, float]:
    """Trains a row; its best checkpoint, and seconds."""
    from flowsuite.core.training.lightning_cli import run
    from flowsuite.core.training.runs import newest_checkpoint

    argv = ["fit", "--config", recipe, "--trainer.default_root_dir", str(folder), "--seed_everything", str(seed)]
    for name, value in flow_options(kind, recipe).items():
        argv += [f"--model.init_args.flow.init_args.{name}", json.dumps(value) if name != "posterior" else str(value)]
    start = time.perf_counter()
    status = run([*argv, *options])
    if status:
        raise RuntimeError(f"training with posterior {kind} ended with exit code {status}")
    found = newest_checkpoint(folder / recipe_name(find_recipe(recipe)), "best")
    if found is None:
        raise FileNotFoundError(
            f"training left no best.ckpt below {folder}: it ended before its first validation, give it more epochs"
        )
    return found[0], time.perf_counter() - start


def row(kind: str, seed: int, args: argparse.Namespace, options: Sequence[str]) -> dict[str, object]:
    """The figures of one model, from its file if it is there."""
    folder = args.out / f"{kind}-{seed}"
    settings = {"config": args.config, "samples": args.samples, "options": list(options)}
    done = folder / "figures.json"
    if done.is_file() and (known := read_json(done)).get("settings") == settings:
        return known
    checkpoint, seconds = train(kind, seed, args.config, folder, options)
    from flowsuite.core.training.checkpoint import load_module, read_checkpoint
    from flowsuite.images.inputs import open_images

    module = load_module(checkpoint, args.device)
    flow, data = module.flow, str(checkpoint.parents[1] / "config.yaml")
    found = measure(flow, open_images([data], flow), args.samples, progress=True)
    report = summarize(found, flow, args.samples, 0)
    figures = {name: getattr(report, name) for name in ("elbo", "elbo_error", "nll", "nll_error", "kl")}
    figures |= {
        "settings": settings,
        "posterior": kind,
        "layers": SIZES[kind][1] if SIZES[kind][0] != "gaussian" else 0,
        "seed": seed,
        "parameters": sum(p.numel() for p in flow.parameters()),
        "posterior_parameters": sum(p.numel() for p in flow.posterior.parameters()),
        "active": report.active_units[0],
        "epochs": read_checkpoint(checkpoint.with_name("last.ckpt"))["epoch"] + 1,
        "seconds": seconds,
        "log_p": found[:, 2].tolist(),
    }
    write_json(done, figures)
    return figures


def compare(rows: list[dict]) -> None:
    """Adds to each row its -log p(x) minus that of the row `gaussian` of its seed, image by image."""
    plain = {row["seed"]: row["log_p"] for row in rows if row["posterior"] == "gaussian"}
    for row in rows:
        if row["seed"] in plain and row["posterior"] != "gaussian":
            differences = [b - a for a, b in zip(row["log_p"], plain[row["seed"]], strict=True)]
            row["nll_difference"] = statistics.fmean(differences)
            row["nll_difference_error"] = statistics.stdev(differences) / math.sqrt(len(differences))


def write_table(path: Path, rows: list[dict]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def markdown(rows: list[dict], samples: int) -> str:
    """The table for a page; +- is the standard error over images."""
    names = ["posterior", "K", "seed", "parameters", "of the posterior", "-ELBO", f"NLL, {samples} samples"]
    lines = [[*names, "NLL minus that without flow", "KL", "active", "epochs"]]
    lines.append(["---"] * len(lines[0]))
    for row in rows:
        difference = "-"
        if "nll_difference" in row:
            difference = f"{row['nll_difference']:+.2f} +- {row['nll_difference_error']:.2f}"
        cells = [row["posterior"], row["layers"], row["seed"], row["parameters"], row["posterior_parameters"]]
        cells += [f"{-row['elbo']:.2f} +- {row['elbo_error']:.2f}", f"{row['nll']:.2f} +- {row['nll_error']:.2f}"]
        lines.append([str(cell) for cell in (*cells, difference, f"{row['kl']:.2f}", row["active"], row["epochs"])])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(argv: list[str]) -> int:
    import torch

    args, options = parser().parse_known_args(argv)
    args.device = "cuda" if torch.cuda.is_available() else "cpu"
    flow_options("gaussian-wide", args.config)  # says at once if there is no such recipe
    make_folder(args.out)
    rows = [row(kind, seed, args, options) for seed in args.seeds for kind in args.kinds]
    compare(rows)
    write_table(args.out / "table.csv", rows)
    print(markdown(rows, args.samples))
    print(args.out / "table.csv")
    return 0
