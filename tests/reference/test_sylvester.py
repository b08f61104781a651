"""The posteriors of sylvester-flows: amortised planar, orthogonal and triangular Sylvester, and IAF."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from flowsuite.core.layers.amortized import AmortizedTransform
from flowsuite.core.layers.planar import Planar
from flowsuite.core.layers.sylvester import Sylvester
from flowsuite.core.reference import from_reference
from tests.reference.checking import Check

pytestmark = pytest.mark.reference_kind("sylvester")


def given_parameters(make, dims: int, n_layers: int, params: dict[str, Tensor], **options):
    """A layer whose context holds the parameters themselves, and that context."""
    parts = {name: value.flatten(1) for name, value in params.items()}
    size = sum(part.shape[1] for part in parts.values())
    layer: AmortizedTransform = make(dims, n_layers, context_features=size, **options).double()
    assert set(layer.shapes) == set(parts)
    with torch.no_grad():
        layer.head.weight.copy_(torch.eye(size))
        layer.head.bias.zero_()
    return layer, torch.cat([parts[name] for name in layer.shapes], 1)


def triangular_parameters(r1: Tensor, r2: Tensor, b: Tensor) -> dict[str, Tensor]:
    """Ours from theirs: (B, M, M, K), (B, M, M, K), (B, 1, M, K)."""
    r1, r2 = r1.movedim(-1, 1), r2.movedim(-1, 1)
    return {
        "r": r1.triu(1) + r2.triu(1).mT,
        "diag1": torch.atanh(r1.diagonal(dim1=-2, dim2=-1)),
        "diag2": torch.atanh(r2.diagonal(dim1=-2, dim2=-1)),
        "b": b.squeeze(1).movedim(-1, 1),
    }


def both_ways(layer, context, z0, check, name):
    with torch.no_grad():
        z, ladj = layer(z0, context)
        check(f"{name}_z", z)
        check(f"{name}_logdet", ladj)
        back, inverse_ladj = layer.inverse(check.output[f"{name}_z"], context)
        torch.testing.assert_close(back, z0, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(inverse_ladj, -check.output[f"{name}_logdet"], rtol=1e-8, atol=1e-8)


def test_every_array(reference_case):
    case, given = reference_case, reference_case.input
    check, z0 = Check(case, 1e-9), reference_case.input["z0"]
    dims, n_layers = z0.shape[1], given["planar_u"].shape[1]

    params = {name: given[f"planar_{name}"].reshape(len(z0), n_layers, -1).squeeze(-1) for name in ("u", "w", "b")}
    both_ways(*given_parameters(Planar, dims, n_layers, params), z0, check, "planar")

    params = triangular_parameters(given["orth_r1"], given["orth_r2"], given["orth_b"]) | {"q": given["orth_q"]}
    columns = given["orth_q"].shape[-1]
    both_ways(*given_parameters(Sylvester, dims, n_layers, params, columns=columns), z0, check, "orth")

    params = triangular_parameters(given["tri_r1"], given["tri_r2"], given["tri_b"])
    both_ways(*given_parameters(Sylvester, dims, n_layers, params, kind="triangular"), z0, check, "tri")

    flow = from_reference("sylvester", case.param, case.config)
    both_ways(flow.layers, given["iaf_context"], z0, check, "iaf")
    check.finish()


def test_householder_equals_the_orthogonal_kind_with_the_product_of_its_reflections(reference_case):
    given = reference_case.input
    z0, n_layers = given["z0"], given["tri_b"].shape[-1]
    dims = z0.shape[1]
    torch.manual_seed(0)
    v = torch.randn(len(z0), n_layers, 3, dims, dtype=torch.float64)
    q = torch.eye(dims, dtype=torch.float64)
    for i in range(3):
        unit = v[:, :, i] / v[:, :, i].norm(dim=-1, keepdim=True)
        q = (torch.eye(dims, dtype=torch.float64) - 2 * unit.unsqueeze(-1) * unit.unsqueeze(-2)) @ q
    params = triangular_parameters(given["tri_r1"], given["tri_r2"], given["tri_b"])
    # Q^T reflects by v_1 first, so Q = H_1 H_2 H_3 is the transpose of the product that was just built.
    house, context = given_parameters(Sylvester, dims, n_layers, params | {"v": v}, kind="householder", reflections=3)
    orth, other = given_parameters(Sylvester, dims, n_layers, params | {"q": q.mT})
    with torch.no_grad():
        for a, b in zip(house(z0, context), orth(z0, other), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_a_mask_that_sees_the_future_is_refused(reference_case):
    weights = {name: value.clone() for name, value in reference_case.param.items()}
    weights["iaf.0.mean.mask"][:] = 1
    with pytest.raises(ValueError, match=r"'mean'.*not autoregressive"):
        from_reference("sylvester", weights, reference_case.config)
