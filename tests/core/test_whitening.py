import pytest
import torch

from flowsuite.core.layers.whitening import Whitening, streaming_covariance


@pytest.fixture
def data():
    torch.manual_seed(0)
    return torch.randn(500, 6, dtype=torch.float64) @ torch.randn(6, 6, dtype=torch.float64) + 100


def test_streaming_covariance_is_the_covariance(data):
    mean, covariance = streaming_covariance(data.split(64), 6, data.device)
    torch.testing.assert_close(mean, data.mean(0))
    torch.testing.assert_close(covariance, torch.cov(data.T, correction=0))


@pytest.mark.parametrize("kind", ["zca", "pca"])
def test_whitens_and_inverts(data, kind):
    layer = Whitening(6, kind, damping=1e-9).double()
    layer.fit(data.split(100))
    z, ladj = layer(data)
    torch.testing.assert_close(torch.cov(z.T, correction=0), torch.eye(6, dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(ladj[0], torch.linalg.slogdet(layer.matrix)[1])
    x, inverse_ladj = layer.inverse(z)
    torch.testing.assert_close(x, data)
    torch.testing.assert_close(inverse_ladj, -ladj)
    if kind == "zca":
        torch.testing.assert_close(layer.matrix, layer.matrix.T)


def test_damping_bounds_the_scale_of_flat_directions():
    x = torch.zeros(10, 3)
    x[:, 0] = torch.linspace(-1, 1, 10)
    layer = Whitening(3, damping=0.01)
    layer.fit([x])
    assert torch.linalg.matrix_norm(layer.matrix, 2) <= 10.001
    assert torch.isfinite(layer(x)[1]).all()


def test_identity_until_fitted_and_carried_by_the_state_dict(data):
    layer = Whitening(6).double()
    assert torch.equal(layer(data)[0], data)
    layer.fit([data])
    other = Whitening(6).double()
    other.load_state_dict(layer.state_dict())
    assert other.fitted
    torch.testing.assert_close(other(data)[0], layer(data)[0])


def test_refusals(data):
    with pytest.raises(ValueError, match="kind must be"):
        Whitening(6, "whiten")
    with pytest.raises(ValueError, match="at least 2 examples, got 1"):
        Whitening(6).fit([data[:1]])
    with pytest.raises(ValueError, match=r"shape \(N, 5\)"):
        Whitening(5).fit([data])
    with pytest.raises(ValueError, match=r"shape \(N, 5\)"):
        Whitening(5)(data)
