"""`flowsuite import` of vocoders: a checkpoint that loads with its mel spec and computes the same."""

from __future__ import annotations

import pytest
import torch

from flowsuite.audio.module import VocoderModule
from flowsuite.audio.reference import from_reference
from flowsuite.core.training.checkpoint import load_module
from tests.reference.shell import imported


@pytest.mark.reference_kind("l0sg-waveflow", "nvidia-waveglow")
@pytest.mark.filterwarnings("ignore:the dilations")
@torch.no_grad()
def test_import(reference_case, tmp_path):
    case = reference_case
    module = load_module(imported(case, tmp_path))
    assert isinstance(module, VocoderModule)
    expected = from_reference(case.kind, case.param, case.config)
    assert (module.spec.hop_length, module.spec.n_mels) == (expected.hop_length, expected.n_mels)
    assert module.flow.state_dict().keys() == expected.state_dict().keys()
    x, mel = case.input["x"].float(), case.input["mel"].float()
    assert torch.equal(module.flow.log_prob(x, mel), expected.float().log_prob(x, mel))
