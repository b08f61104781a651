"""`flowsuite import`: public weights on disk to a checkpoint that loads, scores and samples."""

import json

import numpy as np
import pytest
import torch

from flowsuite.core.training import cli
from flowsuite.core.training.checkpoint import load_module
from flowsuite.images import from_reference


@pytest.mark.reference_kind("rosinality-glow", "openai-glow", "realnvp", "maf")
@pytest.mark.parametrize("suffix", ["pt", "npz"])
def test_import(reference_case, suffix, tmp_path):
    case = reference_case
    weights, config, out = tmp_path / f"weights.{suffix}", tmp_path / "config.json", tmp_path / "model.ckpt"
    if suffix == "pt":
        torch.save(case.param, weights)
    else:
        np.savez(weights, **{name: np.asarray(value) for name, value in case.param.items()})
    if "size" not in case.config and "x" in case.input:
        case.config["size"] = case.input["x"].shape[-1]
    config.write_text(json.dumps(case.config))
    argv = ["import", case.kind, str(weights), "--config", str(config), "--out", str(out)]
    assert cli.main(argv) == 0
    flow = load_module(out).flow
    expected = from_reference(case.kind, case.param, case.config)
    for (name, ours), (other, theirs) in zip(flow.state_dict().items(), expected.state_dict().items(), strict=True):
        assert name == other
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    context = None
    if getattr(flow, "n_classes", 0):
        context = torch.zeros(2, dtype=torch.int64)
    elif case.config.get("context"):
        context = torch.zeros(2, case.config["context"], dtype=flow.base.anchor.dtype)
    samples = flow.sample(2, context, temperature=0.5)
    assert samples.shape[0] == 2 and torch.as_tensor(samples, dtype=torch.float64).isfinite().all()
