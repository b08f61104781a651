"""Weight normalisation against torch's own."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from flowsuite.audio.normed_conv import NormedConv1d, NormedConv2d, NormedConvTranspose2d

LAYERS = [
    (NormedConv1d, nn.Conv1d, (3, 4, 3), {"dilation": 2, "padding": 2}, (2, 3, 9)),
    (NormedConv2d, nn.Conv2d, (3, 4, (3, 1)), {}, (2, 3, 5, 4)),
    (NormedConvTranspose2d, nn.ConvTranspose2d, (1, 1, (3, 8)), {"stride": (1, 4), "padding": (1, 2)}, (2, 1, 5, 4)),
]


@pytest.mark.parametrize("ours, theirs, arguments, options, shape", LAYERS, ids=lambda a: getattr(a, "__name__", ""))
def test_against_torch(ours, theirs, arguments, options, shape):
    torch.manual_seed(0)
    layer = ours(*arguments, **options).double()
    torch.manual_seed(0)
    plain = theirs(*arguments, **options).double()
    x = torch.randn(shape, dtype=torch.float64)
    torch.testing.assert_close(layer(x), plain(x), rtol=1e-6, atol=1e-6)  # the gain starts as the norm, in float32

    other = weight_norm(plain)
    with torch.no_grad():
        layer.gain.mul_(1.7)
        layer.weight.mul_(3.0)
        other.parametrizations.weight.original0.copy_(layer.gain)
        other.parametrizations.weight.original1.copy_(layer.weight)
    grads = []
    for module in (layer, other):
        y = module(x)
        grads.append([y, *torch.autograd.grad(y.square().sum(), list(module.parameters()))])
    by_shape = [sorted(g, key=lambda t: t.shape) for g in grads]
    for a, b in zip(*by_shape, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_copies():
    layer = NormedConv1d(2, 3, 3)
    x = torch.randn(1, 2, 7)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
        with torch.no_grad():
            twin.gain.mul_(2)
        assert not torch.equal(twin(x), layer(x))
