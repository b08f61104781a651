import math

import pytest
import torch

from flowsuite.core.layers.whitening import Whitening
from flowsuite.images.nice import NICE

from .jacobian import jacobian

SHAPE = (1, 4, 4)


def make(shape=SHAPE, **options):
    torch.manual_seed(0)
    flow = NICE(
        shape, **{"couplings": 3, "hidden_layers": [2, 1, 1], "hidden_units": 8, "init_range": 0.5, **options}
    ).double()
    with torch.no_grad():
        flow.body[-1].log_scale.uniform_(-1, 1)
    return flow


@pytest.fixture
def images():
    return torch.randint(0, 256, (5, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


OPTIONS = [
    {},
    {"tile": False, "base": "normal"},
    {"data_range": (-1.0, 1.0)},
    {"hidden_units": [4, 6, 8], "hidden_layers": [0, 1, 3]},
    {"shape": (1, 3, 3)},
    {"shape": (3, 1, 2)},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_log_det_is_that_of_the_jacobian(options):
    flow = make(**options).continuous
    shape = options.get("shape", SHAPE)
    y = torch.rand(2, *shape, dtype=torch.float64)
    z, ladj = flow.transform(y)
    for i in range(2):
        expected = torch.linalg.slogdet(jacobian(flow.transform, y[i]))[1]
        torch.testing.assert_close(ladj[i], expected, rtol=1e-9, atol=1e-9)
    back, inverse_ladj = flow.transform.inverse(z)
    torch.testing.assert_close(back, y)
    torch.testing.assert_close(inverse_ladj, -ladj)


def test_couplings_alternate_their_halves():
    flow = make(tile=False, couplings=2, hidden_layers=1)
    y = torch.rand(1, 16, dtype=torch.float64)
    a, b = y[:, :8], y[:, 8:]
    first, second = flow.body[1].net, flow.body[3].net
    b = b + first(a)
    x = torch.cat((a, b), 1).flip(1)
    a, b = x[:, :8], x[:, 8:]
    b = b + second(a)
    expected = torch.cat((a, b), 1).flip(1) * flow.body[-1].log_scale.exp()
    torch.testing.assert_close(flow.body(y.view(1, *SHAPE))[0], expected)


@pytest.mark.parametrize("base", ["logistic", "normal"])
def test_prior_in_closed_form(base):
    flow = make(base=base)
    z = torch.randn(3, 16, dtype=torch.float64)
    reference = torch.distributions.Normal(0.0, 1.0).log_prob(z)
    if base == "logistic":
        reference = -z - 2 * torch.log1p(torch.exp(-z))
    torch.testing.assert_close(flow.base.log_prob(z), reference.sum(1))


def test_bits_per_dim_do_not_depend_on_the_range(images):
    """Where the first map only rescales, the other range is undone by the diagonal scale and a shift of biases."""
    unit, wide = (
        make(couplings=1, hidden_layers=0, tile=False),
        make(couplings=1, hidden_layers=0, tile=False, data_range=(-1.0, 1.0)),
    )
    with torch.no_grad():
        for flow in (unit, wide):
            flow.body[1].net.linears[0].weight.zero_()
            flow.body[-1].log_scale.zero_()
        wide.body[-1].log_scale.fill_(-math.log(2))
    y = torch.rand(4, *SHAPE, dtype=torch.float64)
    z_unit, z_wide = unit.continuous.encode(y), wide.continuous.encode(y)
    torch.testing.assert_close(z_wide, z_unit - 0.5)
    difference = wide.continuous.log_prob(y) - unit.continuous.log_prob(y)
    torch.testing.assert_close(difference, wide.base.log_prob(z_wide) - unit.base.log_prob(z_unit))


def test_published_conversion_from_nats():
    """MNIST's 1980.50 nats on [0, 1] are 4.36 bits/dim; CIFAR-10's 5371.78 on [-1, 1] are 4.48."""
    for nats, dims, span, bpd in ((1980.50, 784, 1, 4.36), (5371.78, 3072, 2, 4.48)):
        flow = NICE((1, 1, dims), couplings=1, hidden_layers=0, data_range=(0.0, float(span)))
        x_density = torch.tensor([nats])
        constant = flow.transform[1](torch.zeros(1, 1, 1, dims))[1]
        dequantization = flow.dequantize(torch.zeros(1, 1, 1, dims, dtype=torch.uint8))[1]
        total = x_density + constant + dequantization
        assert abs(-total.item() / (dims * math.log(2)) - bpd) < 0.006


@pytest.mark.parametrize("base", ["logistic", "normal"])
def test_images_in_and_out(images, base):
    flow = make(base=base).float()
    assert flow.log_prob(images).shape == (5,)
    z = flow.encode(images)
    assert z.shape == (5, 16)
    assert torch.equal(flow.decode(z), images)
    assert flow.sample(3).dtype == torch.uint8
    assert flow.sample(3).shape == (3, *SHAPE)


def test_temperature_scales_the_logistic_variate():
    flow = make()
    cold = flow.base.sample(4, 0.25, torch.Generator().manual_seed(3))
    hot = flow.base.sample(4, 1.0, torch.Generator().manual_seed(3))
    torch.testing.assert_close(cold, 0.25 * hot)


def test_importance_spectrum_is_sorted_and_complete():
    flow = make()
    spectrum = flow.importance_spectrum()
    assert spectrum.shape == (16,) and (spectrum[:-1] >= spectrum[1:]).all()
    torch.testing.assert_close(spectrum.log().sum(), -flow.body[-1].log_scale.sum())


def test_published_initialisation():
    flow = NICE((1, 8, 8), couplings=1, hidden_layers=2, hidden_units=50)
    net = flow.body[2].net
    assert max(w.weight.abs().max() for w in net.linears) <= 0.01
    assert not any(w.bias.any() for w in net.linears)
    assert not flow.body[-1].log_scale.any()


def test_whitening_is_fitted_from_images():
    flow = make(whitening="zca", damping=1e-6)
    images = torch.randint(0, 256, (400, *SHAPE), dtype=torch.uint8)
    flow.fit_whitening(images.split(100))
    x = flow.transform[1](flow.dequantize.center(images).double())[0].flatten(1)
    z = flow.whitening(x)[0]
    torch.testing.assert_close(torch.cov(z.T, correction=0), torch.eye(16, dtype=torch.float64), rtol=0, atol=1e-3)
    assert torch.equal(flow.decode(flow.encode(images[:5])), images[:5])
    assert isinstance(flow.whitening, Whitening)
    with pytest.raises(ValueError, match='whitening="none"'):
        make().fit_whitening([images])


def test_compiles_without_breaks(images):
    flow = make().float()
    compiled, values = torch.compile(flow.log_prob, fullgraph=True, backend="eager"), []
    for log_prob in (compiled, flow.log_prob):
        torch.manual_seed(2)
        values.append(log_prob(images))
    torch.testing.assert_close(*values)


def test_trains(images):
    flow = make().float()
    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-2)
    before = flow.bits_per_dim(images).mean().item()
    for _ in range(30):
        loss = flow.bits_per_dim(images).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < before - 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"couplings": 0}, "and a coupling"),
        ({"hidden_units": [8, 8]}, "one for each of the 3 couplings"),
        ({"data_range": (1.0, 0.0)}, "low < high"),
        ({"whitening": "yes"}, '"none", "zca" or "pca"'),
        ({"base": "cauchy"}, "unknown base density 'cauchy'"),
        ({"shape": (1, 1, 1)}, "at least 2 values"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
