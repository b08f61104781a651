"""The mean of the weights of several checkpoints of one run."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from flowsuite.core.training.checkpoint import CheckpointError, describe, read_checkpoint
from flowsuite.core.training.files import atomic_write, check_writable

EXAMPLES = """\
examples:
  flowsuite audio average runs/audio/waveflow-ljspeech/version_0/checkpoints --last 20 --out averaged.ckpt
  flowsuite audio average step1.ckpt step2.ckpt step3.ckpt --exponential 0.3 --out averaged.ckpt
A run keeps several checkpoints with a further `ModelCheckpoint` in its recipe:
  trainer:
    callbacks:
    - class_path: pytorch_lightning.callbacks.ModelCheckpoint
      init_args: {every_n_train_steps: 10000, save_top_k: -1, filename: "{step}"}
The result loads as any other checkpoint; `fit --weights` goes on from it.
"""


def weights_of(count: int, exponential: float | None = None) -> list[float]:
    """The share of each checkpoint, newest first: equal, or in proportion to `eps (1 - eps)^i`; their sum is 1.

    Public WaveFlow code does not divide the exponential shares by their sum, and so shrinks all weights.
    """
    if exponential is None:
        return [1 / count] * count
    if not 0 < exponential < 1:
        raise ValueError(f"the exponential share must be between 0 and 1, got {exponential}")
    shares = [exponential * (1 - exponential) ** i for i in range(count)]
    return [share / sum(shares) for share in shares]


def average_checkpoints(paths: Sequence[str | os.PathLike], exponential: float | None = None) -> dict[str, Any]:
    """A checkpoint with the weighted mean of the trained weights of others, and the configuration of the newest.

    The newest is the one with the most steps. Means are computed in double precision, one checkpoint in memory at a
    time; what is not a floating-point number is taken from the newest. A moving average (EMA) in them is left out, and
    so is the state of the optimiser.

    Args:
        paths: of checkpoints, all of the same model.
        exponential: see `weights_of`; None: equal weights.
    """
    if not paths:
        raise ValueError("expected at least one checkpoint to average")
    newest_first = sorted(paths, key=lambda path: read_checkpoint(path).get("global_step", 0), reverse=True)
    newest = read_checkpoint(newest_first[0])
    total: dict[str, Tensor] = {}
    for path, share in zip(newest_first, weights_of(len(paths), exponential), strict=True):
        state = read_checkpoint(path)["state_dict"]
        check_alike(state, newest["state_dict"], path, describe(newest))
        for name, value in state.items():
            if value.is_floating_point():
                total[name] = total.get(name, 0) + share * value.double()
    weights = {
        name: total[name].to(value.dtype) if name in total else value for name, value in newest["state_dict"].items()
    }
    about = {name: value for name, value in newest["flowsuite"].items() if name != "ema"}
    return {
        "pytorch-lightning_version": pl.__version__,
        "epoch": newest.get("epoch", 0),
        "global_step": newest.get("global_step", 0),
        "state_dict": weights,
        "flowsuite": {**about, "averaged": [os.fspath(path) for path in newest_first]},
    }


def check_alike(state: dict[str, Tensor], newest: dict[str, Tensor], path: str | os.PathLike, model: str) -> None:
    for name in [*newest, *state]:
        there, here = (tuple(s[name].shape) if name in s else "absent" for s in (state, newest))
        if there != here:
            raise CheckpointError(
                f"{path} holds another model than the newest ({model}): {name} is {there}, not {here}"
            )


def find_checkpoints(paths: Sequence[Path], last: int | None) -> list[Path]:
    """Files, and those in folders (of a run, or of its checkpoints), of these the `last` by step.

    Of a folder `best.ckpt` and `last.ckpt` are left out where there are others.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(path.glob("*.ckpt")) or sorted(path.glob("checkpoints/*.ckpt"))
        kept = [file for file in inside if file.name not in ("best.ckpt", "last.ckpt")]
        if not inside:
            raise FileNotFoundError(f"{path} holds no checkpoints (*.ckpt)")
        found += kept or inside
    if last is None:
        return found
    if last < 1:
        raise ValueError(f"--last must be at least 1, got {last}")
    return sorted(found, key=lambda path: read_checkpoint(path).get("global_step", 0))[-last:]


def main(argv: list[str] | None = None) -> int:
    """Runs the command; errors are exceptions with a message of one line."""
    parser = argparse.ArgumentParser(
        "flowsuite audio average",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT|FOLDER", help="of one run")
    add("--out", type=Path, required=True, metavar="FILE.ckpt", help="checkpoint to write")
    add("--last", type=int, metavar="N", help="take only the N with the most steps")
    add("--exponential", type=float, metavar="EPS", help="shares EPS (1 - EPS)^i, newest first, instead of equal ones")
    args = parser.parse_args(argv)
    check_writable(args.out)
    found = find_checkpoints(args.checkpoints, args.last)
    result = average_checkpoints(found, args.exponential)
    with atomic_write(args.out) as file:
        torch.save(result, file)
    for path, share in zip(result["flowsuite"]["averaged"], weights_of(len(found), args.exponential), strict=True):
        print(f"{share:8.4f}  {path}")
    print(f"{args.out}: the mean of {len(found)} checkpoints of {describe(result)}, up to step {result['global_step']}")
    return 0
