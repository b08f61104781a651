"""Single operations of tensor2tensor's VideoFlow, value for value."""

import pytest
import torch

from flowsuite.core.transform import Transform
from flowsuite.video.predictions import Gaussian
from flowsuite.video.reference import from_reference
from tests.reference.checking import Check
from tests.reference.test_videoflow import PRECISIONS, channels_last, frames_first

pytestmark = pytest.mark.reference_kind("t2t-videoflow-pieces")


@pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
@torch.no_grad()
def test_every_array(reference_case, dtype, tolerance):
    case = reference_case
    pieces, check = from_reference(case.kind, case.param, case.config).to(dtype), Check(case, tolerance)
    for label in {name.split("/", 1)[0] for name in case.output}:
        x = frames_first(case.input[f"{label}/x"], dtype)
        piece = pieces[label]
        if isinstance(piece, Transform):
            z, ladj = piece(x)
            back, ladj_back = piece.inverse(z)
            found = {"y": z, "logdet": ladj, "x_reconstructed": back, "logdet_reverse": ladj_back}
        else:
            y = piece(x)
            found = {"mean": y.mean, "sigma": y.log_std.exp()} if isinstance(y, Gaussian) else {"y": y}
        for name, value in found.items():
            if check.wants(f"{label}/{name}"):
                check(f"{label}/{name}", channels_last(value) if value.ndim > 1 else value)
    check.finish()
