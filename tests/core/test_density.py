"""Two-dimensional flows are densities: they integrate to 1."""

import pytest
import torch

from flowsuite.core.distributions import StandardNormal
from flowsuite.core.flow import Flow
from flowsuite.core.layers.coupling import Coupling, MaskedCoupling, alternating
from flowsuite.core.layers.elementwise import Affine
from flowsuite.core.layers.scale import make_scale
from flowsuite.core.layers.spline import RationalQuadraticSpline
from flowsuite.core.maf import MAF
from flowsuite.core.nets.mlp import MLP
from flowsuite.core.transform import Compose


def affine_coupling(swap):
    return Coupling(MLP(1, 2, [16], activation="tanh"), Affine(make_scale("tanh")), swap=swap)


def spline_coupling(swap):
    return Coupling(MLP(1, 17, [16]), RationalQuadraticSpline(6), swap=swap)


def masked(parity):
    return MaskedCoupling(alternating(2, parity), MLP(2, 4, [16]), Affine(make_scale("learned_tanh")))


# Each with the half-width of a square that holds nearly all of it; outside [-3, 3] splines leave the normal as it is.
FLOWS = {
    "coupling-affine": (20, lambda: Flow(Compose([affine_coupling(i % 2) for i in range(4)]), StandardNormal(2))),
    "coupling-spline": (6, lambda: Flow(Compose([spline_coupling(i % 2) for i in range(4)]), StandardNormal(2))),
    "coupling-masked": (20, lambda: Flow(Compose([masked(i % 2) for i in range(4)]), StandardNormal(2))),
    "maf": (20, lambda: MAF(2, 2, 16, batch_norm=True, scale="tanh")),
    "maf-spline": (6, lambda: MAF(2, 3, 16, elementwise="spline")),
    "iaf-spline": (6, lambda: MAF(2, 2, 16, elementwise="spline", direction="iaf")),
}


def build(name, seed):
    torch.manual_seed(seed)
    flow = FLOWS[name][1]().double().eval()
    for p in flow.parameters():
        p.add_(0.1 * torch.randn_like(p))
    return flow


@pytest.mark.parametrize("name", FLOWS)
@torch.no_grad()
def test_integrates_to_one(name):
    flow = build(name, seed=0)
    edge, points = FLOWS[name][0], 601
    axis = torch.linspace(-edge, edge, points, dtype=torch.float64)
    density = flow.log_prob(torch.cartesian_prod(axis, axis)).exp().view(points, points)
    assert torch.trapezoid(torch.trapezoid(density, axis), axis) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("name", FLOWS)
@torch.no_grad()
def test_samples_have_the_density(name):
    """The density at a sample is that of its latent, divided by the volume change of the sampling direction."""
    flow = build(name, seed=1)
    z = torch.randn(2000, 2, dtype=torch.float64)
    x, ladj = flow.transform.inverse(z)
    torch.testing.assert_close(flow.log_prob(x), flow.base.log_prob(z) - ladj, rtol=1e-7, atol=1e-7)
