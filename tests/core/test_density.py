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


FLOWS = {
    "coupling-affine": lambda: Flow(Compose([affine_coupling(i % 2) for i in range(4)]), StandardNormal(2)),
    "coupling-spline": lambda: Flow(Compose([spline_coupling(i % 2) for i in range(4)]), StandardNormal(2)),
    "coupling-masked": lambda: Flow(Compose([masked(i % 2) for i in range(4)]), StandardNormal(2)),
    "maf": lambda: MAF(2, 2, 16, batch_norm=True, scale="tanh"),
    "maf-spline": lambda: MAF(2, 3, 16, elementwise="spline"),
    "iaf-spline": lambda: MAF(2, 2, 16, elementwise="spline", direction="iaf"),
}


@pytest.mark.parametrize("name", FLOWS)
@torch.no_grad()
def test_integrates_to_one(name):
    torch.manual_seed(0)
    flow = FLOWS[name]().double().eval()
    for p in flow.parameters():
        p.add_(0.1 * torch.randn_like(p))
    edge, points = 20.0, 601
    axis = torch.linspace(-edge, edge, points, dtype=torch.float64)
    density = flow.log_prob(torch.cartesian_prod(axis, axis)).exp().view(points, points)
    assert torch.trapezoid(torch.trapezoid(density, axis), axis) == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("name", FLOWS)
@torch.no_grad()
def test_samples_have_the_density(name):
    """Mean log-likelihood of samples is minus the entropy, which change of variables gives from the latents too."""
    torch.manual_seed(1)
    flow = FLOWS[name]().double().eval()
    for p in flow.parameters():
        p.add_(0.1 * torch.randn_like(p))
    z = torch.randn(2000, 2, dtype=torch.float64)
    x, ladj = flow.transform.inverse(z)
    torch.testing.assert_close(flow.log_prob(x), flow.base.log_prob(z) - ladj, rtol=1e-7, atol=1e-7)
