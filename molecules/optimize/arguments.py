"""The arguments of `flowsuite optimize`."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace

from flowsuite.core.training.model_options import QUIET, add_model_options
from flowsuite.molecules.optimize.choices import BASELINES, DELTAS, DIVERSITIES, PROTOCOLS, SHAPES, TAKES
from flowsuite.molecules.optimize.options import PUBLISHED, Options
from flowsuite.molecules.optimize.shaping import Shaping, published_shaping
from flowsuite.molecules.sampling import wanted

EXAMPLES = """\
examples:
  flowsuite optimize --ckpt_path model.ckpt --target qed --steps 200 --out qed
  flowsuite optimize --ckpt_path model.ckpt --target plogp --steps 200 --max_atoms 38 --workers 2 --out plogp
  flowsuite optimize --ckpt_path model.ckpt --target score.py:activity --target_takes smiles --out mine
  flowsuite optimize --ckpt_path model.ckpt --target qed --published --out published
  flowsuite optimize --ckpt_path model.ckpt --target plogp --constrained zinc800.smi_logp --steps 0 --out better

A function of your own is `def activity(mol): return number`, given an RDKit molecule; with --target_takes smiles a
SMILES, with "batch" a list of SMILES, for which it returns a list. What it raises, NaN and what is no number count as
failures: told at the end, and no reason to stop unless every molecule fails.

Written to the folder --out: top.csv, top.png, top.svg, summary.json; with --constrained improved.csv, improved.png,
table.json; where there were steps of fine-tuning, model.ckpt and history.csv too.
"""


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "flowsuite optimize",
        description="Fine-tunes a GraphAF towards molecules with better scores, or improves given molecules.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add_model_options(parser, "a GraphAF")
    add(
        "--target",
        required=True,
        help="plogp, plogp-sssr, qed, logp, sa, ... (any property), package.module:function or file.py:function",
    )
    add("--target_takes", choices=TAKES, default="mol", help="what your own function is given (%(default)s)")
    add("--minimize", action="store_true", help="lower scores are better")
    add("--out", required=True, metavar="FOLDER", help="where results are written")
    add("--steps", type=int, default=200, help="steps of fine-tuning; 0 for none (%(default)s)")
    add("--num", type=int, default=1000, help="molecules drawn to judge the policy before and after (%(default)s)")
    add("--top", type=int, default=100, help="best molecules written (%(default)s)")
    add("--workers", type=int, default=0, help="processes that score; 0 for this one (%(default)s)")
    add("--property", type=wanted, metavar="NAME=NUMBER[,...]", help="wanted properties of a conditional model")
    add("--quiet", action="store_true", help=QUIET)
    add_policy(parser.add_argument_group("fine-tuning"))
    add_constrained(parser.add_argument_group("similarity-constrained improvement"))
    return parser


def add_policy(group) -> None:
    """Options of `Options`, under the same names; unset ones are its defaults, or those of `--published`."""
    add = group.add_argument
    shown = {field.name: field.default for field in fields(Options)}
    texts = {
        "batch_size": (int, "molecules drawn a step"),
        "temperature": (float, "of drawn molecules"),
        "max_atoms": (int, "largest size; the model's own if not given"),
        "min_atoms": (int, "smallest size that a model with STOP may end at"),
        "updates": (int, "optimiser steps a batch"),
        "lr": (float, "learning rate"),
        "warmup": (int, "updates over which it rises"),
        "clip": (float, "of PPO's ratio"),
        "kl": (float, "weight of the divergence from the model before"),
        "entropy": (float, "weight of the entropy"),
        "gamma": (float, "discount per atom"),
        "baseline_momentum": (float, "of the moving baseline"),
        "replay": (int, "of the best so far, added to each batch"),
        "memory": (int, "best molecules kept for that"),
        "bucket": (int, "molecules a bucket of the diversity filter takes"),
        "similarity": (float, "of a bucket, with --diversity tanimoto"),
        "repeats": (int, "times that one molecule is rewarded"),
        "refusal_penalty": (float, "for a bond that breaks a valence"),
        "grad_clip": (float, "largest gradient norm"),
    }
    for name, (kind, text) in texts.items():
        default = "" if shown[name] is None else f" ({shown[name]})"
        add(f"--{name}", type=kind, help=text + default)
    add("--baseline", choices=BASELINES, help="what advantages are measured from (moving)")
    add("--diversity", choices=DIVERSITIES, help="how molecules of one kind too many are told (scaffold)")
    add("--shape", choices=SHAPES, help="of the reward (raw)")
    add("--coefficient", type=float, help='of "linear" and "exp" (1/3)')
    add("--offset", type=float, help='taken from "exp" (4)')
    add("--structure", action="store_true", help="reward 2 - [strained] - [ZINC alert] as well")
    add(
        "--published",
        action="store_true",
        help="GraphAF's settings where others are not given, with --structure and the reward's shape for the target; "
        "but all updates are on one batch, where the public code draws one for each",
    )


def add_constrained(group) -> None:
    add = group.add_argument
    add("--constrained", metavar="FILE", help="molecules to improve, such as zinc800.smi_logp")
    add("--deltas", type=float, nargs="+", default=list(DELTAS), help="similarity thresholds (0 .2 .4 .6)")
    add("--protocol", choices=PROTOCOLS, default="keep", help="charges and stereochemistry: kept, or as published")
    add("--restarts", type=int, default=200, help="rounds (%(default)s)")
    add("--remove", type=int, default=4, help="most atoms that a start molecule loses (%(default)s)")
    add("--limit", type=int, metavar="N", help="only the first N molecules of the file")


def options_of(args: argparse.Namespace) -> Options:
    """What was asked for, over the published settings or ours."""
    names = {field.name for field in fields(Options)} - {"shaping"}
    given = {name: value for name in names if (value := getattr(args, name, None)) is not None}
    settings = PUBLISHED if args.published else {}
    try:
        return Options(**{**settings, **given, "shaping": shaping_of(args)})
    except ValueError as error:  # which begins with the option's name
        raise ValueError(f"--{error}") from None


def shaping_of(args: argparse.Namespace) -> Shaping:
    """As `options_of`, of the reward."""
    shaping = published_shaping(args.target, bool(args.constrained)) if args.published else Shaping()
    names = ("shape", "coefficient", "offset")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return replace(shaping, **given, structure=args.structure or args.published)
