import pytest
import torch

from flowsuite.core.layers.reorder import EvenOdd, Flatten, Reverse


@pytest.mark.parametrize("dims", [6, 7])
def test_even_odd(dims):
    x = torch.arange(2 * dims).view(2, dims)
    z, ladj = EvenOdd()(x)
    assert z[0].tolist() == [*range(0, dims, 2), *range(1, dims, 2)]
    assert ladj.shape == (2,) and not ladj.any()
    assert torch.equal(EvenOdd().inverse(z)[0], x)


def test_reverse():
    x = torch.arange(5).view(1, 5)
    assert Reverse()(x)[0].tolist() == [[4, 3, 2, 1, 0]]
    assert torch.equal(Reverse().inverse(Reverse()(x)[0])[0], x)


def test_flatten():
    x = torch.randn(3, 2, 4, 5)
    flatten = Flatten((2, 4, 5))
    assert torch.equal(flatten.inverse(flatten(x)[0])[0], x)
    with pytest.raises(ValueError, match=r"\(N, 2, 4, 5\), got \(3, 2, 5, 4\)"):
        flatten(x.transpose(2, 3))
    with pytest.raises(ValueError, match=r"\(N, 40\)"):
        flatten.inverse(torch.zeros(3, 39))
