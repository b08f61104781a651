"""The fully connected conditioner."""

import pytest
import torch

from flowsuite.core.nets.mlp import MLP


def test_sizes_and_context():
    net = MLP(3, 5, [7, 4], context_features=2)
    assert [tuple(p.weight.shape) for p in net.linears] == [(7, 5), (4, 7), (5, 4)]
    x, context = torch.randn(6, 3), torch.randn(6, 2)
    assert net(x, context).shape == (6, 5)
    assert not torch.allclose(net(x, context), net(x, -context))


def test_without_hidden_layers_it_is_linear():
    net = MLP(3, 2, [])
    x, y = torch.randn(4, 3), torch.randn(4, 3)
    torch.testing.assert_close(net(x + y) + net(torch.zeros(4, 3)), net(x) + net(y))


def test_initialisations():
    net = MLP(50, 40, [60, 30], init_range=0.01)
    weights = torch.cat([linear.weight.flatten() for linear in net.linears])
    assert weights.abs().max() <= 0.01 and abs(weights.std() - 0.01 / 3**0.5) < 5e-4
    assert all(not linear.bias.any() for linear in net.linears)
    assert not MLP(3, 2, [8], zero_init=True)(torch.randn(4, 3)).any()


@pytest.mark.parametrize("shape", [(4, 2), (4, 3, 1)])
def test_wrong_input_is_named(shape):
    with pytest.raises(ValueError, match=r"expected an input of shape \(N, 3\)"):
        MLP(3, 2, [8])(torch.randn(shape))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="expected a context of shape"):
        MLP(3, 2, [8], context_features=2)(torch.randn(4, 3))
    with pytest.raises(ValueError, match="unknown activation 'swish'"):
        MLP(3, 2, [8], activation="swish")
    with pytest.raises(ValueError, match="at least one unit"):
        MLP(3, 2, [0])
