"""`flowsuite import` of continuous flows: a checkpoint that loads and computes the same."""

from __future__ import annotations

import pytest
import torch

from flowsuite.core.reference import CONVERTERS
from flowsuite.core.reference import from_reference as core_from_reference
from flowsuite.core.training.checkpoint import load_module
from flowsuite.images.reference import from_reference as images_from_reference
from tests.reference.shell import imported


@pytest.mark.reference_kind("ffjord", "ffjord-vae", "zuko-cnf", "ffjord-image")
def test_import(reference_case, tmp_path):
    case = reference_case
    flow = load_module(imported(case, tmp_path)).flow
    build = core_from_reference if case.kind in CONVERTERS else images_from_reference
    expected = build(case.kind, case.param, case.config)
    assert repr(flow) == repr(expected)
    for (name, ours), (other, theirs) in zip(flow.state_dict().items(), expected.state_dict().items(), strict=True):
        assert name == other
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
