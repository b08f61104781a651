"""MOSES' metrics of a made set, with invalid and repeated molecules, figure for figure."""

import pytest
import torch

pytest.importorskip("rdkit")

from flowsuite.molecules.metrics.records import read_records, scaffold
from flowsuite.molecules.metrics.report import evaluate
from flowsuite.molecules.smiles import parse
from tests.reference.checking import Check

pytestmark = pytest.mark.reference_kind("distribution-metrics")
NAMES = {
    "valid": ("basic", "valid"),
    "unique_all": ("basic", "unique"),
    "novelty": ("basic", "novel"),
    **{name: ("moses", name) for name in ("SNN", "Frag", "Scaf", "IntDiv", "IntDiv2", "Filters")},
    **{f"{name}_W1": ("moses", f"{name} W1") for name in ("logP", "SA", "QED", "weight")},
}


def test_every_figure(reference_case):
    reference_case.output = {name: value.double() for name, value in reference_case.output.items()}
    check, given = Check(reference_case, 1e-6), reference_case.config
    firsts = tuple(int(name.removeprefix("unique_at_")) for name in reference_case.output if "_at_" in name)
    report = evaluate(given["generated"], given["train"], given["test"], isomeric=True, unique_at=firsts, fcd=False)
    for name, place in NAMES.items():
        if check.wants(name):
            check(name, torch.tensor(report.figure(*place), dtype=torch.float64))
    for first in firsts:
        check(f"unique_at_{first}", torch.tensor(report.figure("basic", f"unique@{first}"), dtype=torch.float64))
    if check.wants("n_valid"):
        check("n_valid", torch.tensor(float(report.counts["generated"]["valid"])))
    if check.wants("passes_filters"):
        records, _ = read_records(given["generated"], isomeric=True, filters=True)
        check("passes_filters", torch.tensor([float(each.passes) for each in records if each is not None]))
    check.finish()


def test_scaffolds(reference_case):
    expected = reference_case.config.get("scaffolds_of_valid_generated")
    if expected is None:
        pytest.skip("this case has no list of scaffolds")
    valid = [mol for mol in map(parse, reference_case.config["generated"]) if mol is not None]
    assert [scaffold(mol) for mol in valid] == [text or None for text in expected]
