"""normflows' chains of planar and radial layers, value for value, and the inverses that it lacks."""

from __future__ import annotations

import pytest
import torch

from flowsuite.core.layers.planar import Planar
from flowsuite.core.layers.radial import Radial
from flowsuite.core.reference import from_reference
from tests.reference.checking import Check

pytestmark = pytest.mark.reference_kind("planar", "radial")


def per_layer(layer, z):
    """Log-determinants (K, N) of the layers of a stack, and the points after the first."""
    params, ladjs, first = layer.params(None, len(z)), [], None
    for k in range(layer.n_layers):
        z, ladj = layer.push(z, **{name: value[:, k : k + 1] for name, value in params.items()})
        first = z if first is None else first
        ladjs.append(ladj)
    return torch.stack(ladjs), first


def test_every_array(reference_case):
    case = reference_case
    check, z0 = Check(case, 1e-9), case.input["z0"]
    flow = from_reference(case.kind, case.param, case.config)
    (layer,) = flow.layers
    assert isinstance(layer, Planar if case.kind == "planar" else Radial)
    with torch.no_grad():
        z, ladj = flow.layers(z0)
        check("z_K", z)
        check("logdet", ladj)
        ladjs, first = per_layer(layer, z0)
        check("logdet_per_layer", ladjs)
        check("z_1", first)
        check("log_q0", flow.base.log_prob(z0))
        check("log_qK", flow.base.log_prob(z0) - ladj)
        check("log_qK", flow.log_prob(case.output["z_K"]))
        back, inverse_ladj = flow.layers.inverse(case.output["z_K"])
        torch.testing.assert_close(back, z0, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(inverse_ladj, -case.output["logdet"], rtol=1e-8, atol=1e-8)
        if check.wants("inverse_z0"):
            check("inverse_z0", back)
            check("inverse_logdet", inverse_ladj)
    check.finish()


def test_missing_weights_are_named(reference_case):
    weights = {name: value for name, value in reference_case.param.items() if not name.startswith("0.")}
    with pytest.raises(ValueError, match=r"expected the weights"):
        from_reference(reference_case.kind, weights, reference_case.config)
