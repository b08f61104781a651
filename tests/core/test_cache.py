"""ParameterCache: what is derived from parameters is reused until a parameter changes, and not a moment longer."""

import pytest
import torch

from flowsuite.core.cache import ParameterCache
from flowsuite.core.layers.actnorm import ActNorm
from flowsuite.core.layers.conv1x1 import InvertibleConv1x1, InvertibleConv1x1LU
from flowsuite.core.layers.coupling import Coupling
from flowsuite.core.layers.flow_step import FlowStep, FlowSteps
from flowsuite.core.nets.mlp import MLP


def flow_steps():
    return FlowSteps([FlowStep(ActNorm(4), InvertibleConv1x1(4), Coupling(MLP(2, 2, [8]))) for _ in range(2)])


LAYERS = {"conv1x1": lambda: InvertibleConv1x1(4), "lu": lambda: InvertibleConv1x1LU(4), "steps": flow_steps}
every_layer = pytest.mark.parametrize("name", LAYERS)


def warm(layer, x):
    with torch.no_grad():
        layer.inverse(layer(x)[0])


def assert_fresh(layer, x):
    """Cached values are those that a copy, whose cache is empty, computes."""
    import copy

    with torch.no_grad():
        for a, b in zip(
            (*layer(x), *layer.inverse(x)), (*(twin := copy.deepcopy(layer))(x), *twin.inverse(x)), strict=True
        ):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def move(layer):
    with torch.no_grad():
        for p in layer.parameters():
            p.mul_(1.1).add_(0.05)


@every_layer
def test_optimiser_step(name):
    layer, x = LAYERS[name](), torch.randn(6, 4)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    with torch.no_grad():
        old = layer(x)[0]
    warm(layer, x)
    z, ladj = layer(x)
    (z.square().sum() - ladj.sum()).backward()
    optimizer.step()
    assert_fresh(layer, x)
    with torch.no_grad():
        assert not torch.allclose(layer(x)[0], old)


@every_layer
def test_load_state_dict(name):
    layer, other, x = LAYERS[name](), LAYERS[name](), torch.randn(6, 4)
    move(other)
    warm(layer, x)
    layer.load_state_dict(other.state_dict())
    assert_fresh(layer, x)
    with torch.no_grad():
        assert torch.equal(layer(x)[0], other(x)[0])
    warm(layer, x)
    fresh = LAYERS[name]()
    layer.load_state_dict(fresh.state_dict(), assign=True)
    assert_fresh(layer, x)


@every_layer
def test_change_of_dtype(name):
    layer, x = LAYERS[name](), torch.randn(6, 4)
    warm(layer, x)
    layer = layer.double()
    with torch.no_grad():
        z, ladj = layer(x.double())
        back = layer.generate(z)
    assert z.dtype == ladj.dtype == back.dtype == torch.float64
    torch.testing.assert_close(back, x.double(), rtol=1e-10, atol=1e-10)
    assert_fresh(layer, x.double())
    layer = layer.float()
    with torch.no_grad():
        assert layer(x)[0].dtype == torch.float32
    assert_fresh(layer, x)


@every_layer
def test_in_place_edit(name):
    layer, x = LAYERS[name](), torch.randn(6, 4)
    with torch.no_grad():
        old = layer.generate(x)
    move(layer)
    assert_fresh(layer, x)
    with torch.no_grad():
        assert not torch.allclose(layer.generate(x), old)


@every_layer
def test_train_and_eval_share_no_stale_value(name):
    layer, x = LAYERS[name](), torch.randn(6, 4)
    warm(layer.eval(), x)
    optimizer = torch.optim.SGD(layer.train().parameters(), lr=0.1)
    layer(x)[0].square().sum().backward()
    optimizer.step()
    layer.eval()
    assert_fresh(layer, x)
    with_grad = layer(x)
    with torch.no_grad():
        for a, b in zip(layer(x), with_grad, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_replaced_parameter():
    layer, x = InvertibleConv1x1(4), torch.randn(6, 4)
    warm(layer, x)
    layer.weight = torch.nn.Parameter(2 * torch.eye(4))
    with torch.no_grad():
        torch.testing.assert_close(layer(x)[0], 2 * x)
        torch.testing.assert_close(layer.generate(x), x / 2)


def test_reuse_and_gradients():
    cache, p, calls = ParameterCache(), torch.nn.Parameter(torch.ones(2)), []

    def compute():
        calls.append(1)
        return 2 * p

    with torch.no_grad():
        first = cache.get("double", [p], compute)
        assert cache.get("double", [p], compute) is first and len(calls) == 1
        cache.get("other", [p], compute)
        assert len(calls) == 2
    assert cache.get("double", [p], compute).requires_grad and len(calls) == 3
    with torch.no_grad():
        p.add_(1)
        assert torch.equal(cache.get("double", [p], compute), torch.full((2,), 4.0))
        p.data.add_(1)  # escapes the version counter
        cache.clear()
        assert torch.equal(cache.get("double", [p], compute), torch.full((2,), 6.0))


def test_inference_mode_then_training():
    layer, x = InvertibleConv1x1(4), torch.randn(6, 4)
    with torch.inference_mode():
        layer.inverse(layer(x)[0])
    z, ladj = layer(x)
    (z.sum() + ladj.sum()).backward()
    assert layer.weight.grad.isfinite().all()
    assert_fresh(layer, x)
