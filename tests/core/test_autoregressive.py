"""Masked autoregressive layers: masks, cached sampling, and nflows' own layers."""

import pytest
import torch

from flowsuite.core.layers.autoregressive import MaskedAutoregressive
from flowsuite.core.layers.elementwise import Affine
from flowsuite.core.layers.scale import make_scale
from flowsuite.core.layers.spline import RationalQuadraticSpline
from flowsuite.core.maf import MAF
from flowsuite.core.nets.made import MADE
from flowsuite.images.reference import from_reference


def make_layer(dims, hidden, num_blocks, residual, context, spline):
    torch.manual_seed(0)
    mapping = RationalQuadraticSpline(5) if spline else Affine(make_scale("softplus"), shift_first=False)
    layer = MaskedAutoregressive(MADE(dims, mapping.n_params, hidden, num_blocks, residual, context), mapping).double()
    for p in layer.parameters():
        torch.nn.init.normal_(p, std=0.25)
    return layer


def naive_inverse(layer, z, context=None):
    """The inverse by one full pass through the network for each feature."""
    x = torch.zeros_like(z)
    for _ in range(z.shape[1]):
        params = layer.net(x, context).unflatten(1, (-1, layer.map.n_params))
        x, log_derivative = layer.map.inverse(z, params)
    return x, log_derivative.sum(1)


@pytest.mark.parametrize("spline", [False, True], ids=["affine", "spline"])
@pytest.mark.parametrize("context", [0, 3])
@pytest.mark.parametrize("residual", [False, True], ids=["feedforward", "residual"])
@pytest.mark.parametrize(("dims", "hidden", "num_blocks"), [(1, 7, 2), (2, 3, 1), (5, 3, 2), (6, 17, 2), (9, 32, 0)])
@pytest.mark.parametrize("grad", [False, True], ids=["no_grad", "grad"])
def test_cached_sampling_equals_the_naive_inverse(dims, hidden, num_blocks, residual, context, spline, grad):
    layer = make_layer(dims, hidden, num_blocks, residual, context, spline)
    z = torch.randn(7, dims, dtype=torch.float64)
    c = torch.randn(7, context, dtype=torch.float64) if context else None
    with torch.set_grad_enabled(grad):
        x, ladj = layer.inverse(z, c)
        expected_x, expected_ladj = naive_inverse(layer, z, c)
    torch.testing.assert_close(x, expected_x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ladj, expected_ladj, rtol=1e-9, atol=1e-9)


def test_sampling_multiplies_less_than_one_network_pass():
    """Counts multiply-adds, not seconds: D passes would be 64 times those of one."""
    from torch.utils.flop_counter import FlopCounterMode

    layer = make_layer(64, 256, 2, True, 0, False)
    z = torch.randn(8, 64, dtype=torch.float64)

    def flops(function):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            function(z)
        return counter.get_total_flops()

    assert 0 < flops(layer.inverse) < flops(layer.forward)


def test_sampling_notices_changed_weights():
    layer = make_layer(5, 16, 2, True, 0, False)
    z = torch.randn(4, 5, dtype=torch.float64)
    with torch.no_grad():
        before = layer.generate(z)
        layer.net.last.bias.add_(0.3)
        torch.testing.assert_close(layer.generate(z), naive_inverse(layer, z)[0])
        assert not torch.allclose(layer.generate(z), before)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("dims", [1, 2, 5])
def test_outputs_see_earlier_features_only(dims, residual):
    net = make_layer(dims, 23, 2, residual, 0, False).net
    depends = torch.zeros(dims, dims)
    for x in torch.randn(20, dims, dtype=torch.float64):  # a ReLU may be off at one point
        jacobian = torch.autograd.functional.jacobian(lambda v: net(v[None])[0], x)
        depends += jacobian.unflatten(0, (dims, 2)).abs().amax(1) > 0
    assert not depends.triu().any()
    assert depends[torch.ones(dims, dims).tril(-1).bool()].all()


def test_degrees_travel_in_the_state_dict():
    net, other = MADE(4, 2, 9, 1, residual=False), MADE(4, 2, 9, 1, residual=False)
    state = net.state_dict()
    degrees = torch.tensor([3, 1, 2, 2, 1, 3, 3, 1, 2])
    for name in ("first.out_degrees", "blocks.0.linear.in_degrees"):
        state[name] = degrees
    other.load_state_dict(state)
    assert torch.equal(other.first.mask, degrees[:, None] >= torch.arange(1, 5))
    layer = MaskedAutoregressive(other, Affine(make_scale("softplus"), shift_first=False))
    z = torch.randn(6, 4)
    with torch.no_grad():
        torch.testing.assert_close(layer.generate(z), naive_inverse(layer, z)[0])


@pytest.mark.parametrize("kind", ["affine", "rq"])
@pytest.mark.parametrize("context", [None, 3])
@pytest.mark.parametrize(("residual", "random_mask"), [(True, False), (False, False), (False, True)])
@pytest.mark.parametrize(("dims", "hidden", "num_blocks"), [(1, 5, 2), (4, 16, 1), (7, 10, 3)])
def test_equals_nflows(kind, context, residual, random_mask, dims, hidden, num_blocks):
    autoregressive = pytest.importorskip("nflows.transforms.autoregressive")
    torch.manual_seed(0)
    options = {
        "context_features": context,
        "num_blocks": num_blocks,
        "use_residual_blocks": residual,
        "random_mask": random_mask,
    }
    if kind == "affine":
        theirs = autoregressive.MaskedAffineAutoregressiveTransform(dims, hidden, **options)
    else:
        theirs = autoregressive.MaskedPiecewiseRationalQuadraticAutoregressiveTransform(
            dims, hidden, num_bins=6, tails="linear", tail_bound=2.0, **options
        )
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.2)
    theirs = theirs.double()
    flow = from_reference("maf", theirs.state_dict(), {"kind": kind, "residual": residual, "tail_bound": 2.0})
    x, c = torch.randn(11, dims).double(), None if context is None else torch.randn(11, context).double()
    with torch.no_grad():
        for ours, reference in ((flow.transform, theirs), (flow.transform.inverse, theirs.inverse)):
            for a, b in zip(ours(x, c), reference(x, c), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_model_options():
    x, context = torch.randn(16, 3), torch.randn(16, 2)
    for options in ({"elementwise": "spline"}, {"direction": "iaf"}, {"scale": "exp", "base": "logistic"}):
        flow = MAF(3, 2, 16, context_features=2, **options)
        flow.log_prob(x, context).mean().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in flow.parameters())
        assert flow.sample(16, context).shape == (16, 3)


def test_training_raises_the_likelihood():
    torch.manual_seed(0)
    angle = torch.rand(1024) * 6.28
    x = torch.stack((angle.cos(), angle.sin()), 1) + 0.1 * torch.randn(1024, 2)
    flow = MAF(2, 3, 32, batch_norm=True)
    optimizer = torch.optim.Adam(flow.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        (-flow.log_prob(x).mean()).backward()
        optimizer.step()
    with torch.no_grad():
        # The best Gaussian, N(0, (0.5 + 0.01) I), has log(2 pi e 0.51) = 2.16 nats.
        assert flow.eval().log_prob(x).mean() > -1.9
        radius = flow.sample(512).norm(dim=1)
    assert abs(radius.median() - 1) < 0.15


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="needs 2 parameters a feature, the network gives 3"):
        MaskedAutoregressive(MADE(4, 3, 8), Affine())
    with pytest.raises(ValueError, match=r"expected an input of shape \(N, 4\)"):
        MAF(4, 1, 8).log_prob(torch.randn(2, 5))
    with pytest.raises(ValueError, match=r"expected a context of shape \(2, 3\)"):
        MAF(4, 1, 8, context_features=3).log_prob(torch.randn(2, 4))
    with pytest.raises(ValueError, match='direction must be "maf" or "iaf"'):
        MAF(4, direction="up")
    with pytest.raises(ValueError, match=r"initial_layer\.weight"):
        from_reference("maf", {}, {"kind": "affine"})
    autoregressive = pytest.importorskip("nflows.transforms.autoregressive")
    normed = autoregressive.MaskedAffineAutoregressiveTransform(3, 8, use_batch_norm=True)
    with pytest.raises(ValueError, match=r"no place in a MADE: blocks\.0\.batch_norm_layers"):
        from_reference("maf", normed.state_dict(), {"kind": "affine"})
    with pytest.raises(ValueError, match="missing: heights, derivatives"):
        from_reference("rq-spline", {"widths": torch.zeros(3, 4)}, {})
