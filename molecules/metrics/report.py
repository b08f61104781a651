"""All metrics of a list of generated SMILES at once."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from flowsuite.molecules.mapping import as_list
from flowsuite.molecules.metrics import basic, guacamol, histograms, moses, structural
from flowsuite.molecules.metrics.fcd import fcd_distance
from flowsuite.molecules.metrics.records import SCALARS, Record, read_keys, read_records, scalar
from flowsuite.molecules.metrics.table import Report
from flowsuite.molecules.properties import mean_or_nan

SHOWN = {"logP": "logp", "SA": "sa", "QED": "qed", "weight": "mw", "TPSA": "tpsa"}


@dataclass(frozen=True)
class Options:
    """How to evaluate.

    Attributes:
        isomeric: molecules that differ in stereochemistry only are two; off for models without stereochemistry.
        workers: processes that read molecules, 0 for this one.
        device: of the similarity matrices and ChemNet.
        progress: show progress bars on stderr.
        canonical_train: the training molecules are canonical SMILES already, as `isomeric` says; saves reading them.
        unique_at: uniqueness is also given among so many first valid molecules.
        filters: match MOSES' alerts, the slowest part.
        fcd: compute the Frechet ChemNet distance if its package is there.
        limit: of a reference larger than this a random sample is compared with; None takes all of it.
        seed: of that sample.
    """

    isomeric: bool = False
    workers: int = 0
    device: str = "cpu"
    progress: bool = False
    canonical_train: bool = False
    unique_at: tuple[int, ...] = (1000, 10000)
    filters: bool = True
    fcd: bool = True
    limit: int | None = None
    seed: int = 0

    def __post_init__(self):
        if self.workers < 0:
            raise ValueError(f"workers must be 0 or more, got {self.workers}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be positive, got {self.limit}")
        if any(first < 1 for first in self.unique_at):
            raise ValueError(f"unique_at must be positive numbers, got {self.unique_at}")
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            raise ValueError(f"device {self.device!r} cannot be used: {' '.join(str(error).split())}") from None


TRAIN_SAMPLE = 10_000  # training molecules to compare with where there are no test molecules
LARGEST = 10_000  # molecules of a set that every pair of is compared, apart from MOSES' metrics


def evaluate(
    generated: Sequence[str | None],
    train: Sequence[str] | None = None,
    test: Sequence[str] | None = None,
    scaffold_test: Sequence[str] | None = None,
    **options,
) -> Report:
    """Every metric that the given sets allow: what is undefined is NaN, with a note.

    Args:
        generated: SMILES as generated, invalid ones and repetitions included; None counts as invalid.
        train: training molecules, for novelty. Without `test` a sample of them is the reference too.
        test: held-out molecules, the reference of everything that compares distributions.
        scaffold_test: MOSES' second test set, with scaffolds that training did not show.
        **options: see `Options`.

    Example:
        >>> report = evaluate(["CCO", "c1ccccc1", "C1CC"], train=["CCO"], test=["CCN", "Cc1ccccc1"])
        >>> report.figure("basic", "valid")
        0.6666666666666666
    """
    options = Options(**options)
    report = Report(settings={**vars(options), "unique_at": list(options.unique_at)})
    found = read(report, "generated", generated, options)
    records = [each for each in found if each is not None]
    report.counts["generated"] = {"given": len(found), "valid": len(records)}
    if not records:
        report.notes.append(f"no molecule among the {len(found)} generated: everything else is undefined")
    novelty_and_sizes(report, found, train, options)
    reference = read_reference(report, train, test, options)
    own_figures(report, "figures", records, options)
    if reference is not None:
        own_figures(report, "reference", reference, options)
        compare(report, records, reference, options)
    if scaffold_test is not None:
        second = read_set(report, "scaffold test", scaffold_test, options)
        figures = moses.scaffold_test_metrics(records, second, options.device)
        report.figures["moses scaffold test"] = figures | chemnet(report, records, second, options)
    note_undefined(report)
    return report


def say(options: Options, what: str) -> str:
    return f"reading {what}" if options.progress else ""


def read(report: Report, name: str, smiles: Sequence[str | None], options: Options) -> list[Record | None]:
    """The records of a set; what could not be computed is noted."""
    found, failures = read_records(smiles, options.isomeric, options.filters, options.workers, say(options, name))
    if failures:
        report.notes.append(f"{name}: {len(failures)} molecules count as invalid, RDKit failed on {failures[0]}")
    values = np.array([each.scalars for each in found if each is not None])
    for scalar_name, missing in zip(SCALARS, np.isnan(values).sum(0) if len(values) else [], strict=False):
        if missing:
            report.notes.append(f"{name}: {scalar_name} is undefined for {missing} of {len(values)} molecules")
    return found


def novelty_and_sizes(report: Report, found: list[Record | None], train: Sequence[str] | None, options: Options):
    """The section "basic"."""
    keys = [None if each is None else each.key for each in found]
    figures = {"valid": basic.validity(keys), "unique": basic.uniqueness(keys)}
    figures |= {f"unique@{first}": basic.uniqueness(keys, first) for first in options.unique_at}
    if train is not None:
        if options.canonical_train:
            known = set(as_list(train)) - {None, ""}
        else:
            known = read_keys(train, options.isomeric, options.workers, say(options, "train"))
        report.counts["train"] = {"given": len(train), "distinct": len(known)}
        figures["novel"] = basic.novelty(keys, known)
        figures["valid, unique and novel"] = basic.valid_unique_novel(keys, known)
    else:
        report.notes.append("no training molecules given: novelty is not computed")
    report.figures["basic"] = figures


def read_set(report: Report, name: str, smiles: Sequence[str], options: Options) -> list[Record]:
    """The molecules of a reference set, at most `options.limit` of them; what was left out is noted."""
    given, limit = len(smiles), options.limit
    if limit is not None and given > limit:
        smiles = random.Random(options.seed).sample(list(smiles), limit)
        report.notes.append(f"{name}: {limit} of {given} molecules, drawn with seed {options.seed}")
    found = read(report, name, smiles, options)
    records = [each for each in found if each is not None]
    report.counts[name] = {"given": given, "used": len(records)}
    if len(records) < len(found):
        report.notes.append(f"{name}: {len(found) - len(records)} of {len(found)} are no molecules, left out")
    return records


def read_reference(
    report: Report, train: Sequence[str] | None, test: Sequence[str] | None, options: Options
) -> list[Record] | None:
    """The test molecules, or a sample of the training molecules, or None."""
    if test is not None:
        return read_set(report, "test", test, options)
    if train is None:
        report.notes.append("no test molecules given: nothing is compared with a reference")
        return None
    report.notes.append("no test molecules given: training molecules are the reference, so SNN rewards copies of them")
    limit = min(options.limit or TRAIN_SAMPLE, TRAIN_SAMPLE)
    return read_set(report, "train sample", train, Options(**{**vars(options), "limit": limit}))


def own_figures(report: Report, part: str, records: list[Record], options: Options) -> None:
    """What a set shows by itself, into the figures or into those of the reference."""
    figures = getattr(report, part)
    sizes = [each.size for each in records]
    basics = {"under 5 atoms": basic.under(sizes), "atoms a molecule": mean_or_nan(sizes)}
    figures.setdefault("basic", {}).update(basics)
    figures["properties"] = {name: mean_or_nan(scalar(records, ours)) for name, ours in SHOWN.items()}
    shown = records if part == "figures" else thinned(report, records, options)
    figures["moses"] = moses.own_metrics(shown, options.device)
    if not options.filters:
        del figures["moses"]["Filters"]
    report.histograms["generated" if part == "figures" else "reference"] = histograms.histograms(records)


def compare(report: Report, records: list[Record], reference: list[Record], options: Options) -> None:
    """Everything that sets the generated against the reference."""
    report.figures["moses"] |= moses.reference_metrics(records, reference, options.device)
    report.figures["moses"] |= chemnet(report, records, reference, options)
    tables = report.histograms
    report.figures["histograms"] = histograms.distances(tables["generated"], tables["reference"])
    few = [thinned(report, each, options) for each in (records, reference)]
    report.figures["guacamol"] = guacamol.kl_suite(*few, options.device)
    report.figures["structural"] = structural.structural_metrics(*few)


def thinned(report: Report, records: list[Record], options: Options) -> list[Record]:
    """At most `LARGEST` of the records, drawn with the seed."""
    if len(records) <= LARGEST:
        return records
    note = f"GuacaMol, graph statistics and the reference's own figures: of larger sets {LARGEST} molecules, drawn"
    if note not in report.notes:
        report.notes.append(note)
    return random.Random(options.seed).sample(records, LARGEST)


def chemnet(report: Report, records: list[Record], reference: list[Record], options: Options) -> dict[str, float]:
    if not options.fcd:
        return {}
    value, note = fcd_distance([each.key for each in records], [each.key for each in reference], options.device)
    if note and note not in report.notes:
        report.notes.append(note)
    return {"FCD": value}


def note_undefined(report: Report) -> None:
    """One line that names the undefined figures, FCD apart, which has its own."""
    names = [name for figures in report.figures.values() for name, v in figures.items() if v != v and name != "FCD"]
    if names:
        report.notes.append(f"undefined for these sets: {', '.join(dict.fromkeys(names))}")
