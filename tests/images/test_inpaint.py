import pytest
import torch

from flowsuite.core.distributions import StandardNormal
from flowsuite.core.layers.affine import Rescale
from flowsuite.core.layers.reorder import Flatten
from flowsuite.images.flow import ImageFlow
from flowsuite.images.inpaint import inpaint

SHAPE = (1, 2, 3)


def bump(mean=0.25, std=0.05):
    """Independent pixels N(mean, std): the most likely fill is known."""
    preprocess = Rescale(factor=1 / std, offset=-mean / std)
    return ImageFlow(SHAPE, 8, preprocess, Flatten(SHAPE), StandardNormal(6)).eval()


@pytest.fixture
def images():
    return torch.randint(0, 256, (4, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_hidden_pixels_climb_to_the_mode_and_observed_ones_stay(images):
    mask = torch.tensor([[True, False, True], [False, True, False]])
    filled = inpaint(bump(), images, mask, steps=200, step_size=0.02, step_offset=10.0, noise=0.0)
    assert filled.dtype == torch.uint8
    assert torch.equal(filled[..., mask], images[..., mask])
    assert (filled[..., ~mask].int() - 64).abs().max() <= 2


def test_one_step_is_the_published_one(images):
    mask = torch.zeros(SHAPE, dtype=torch.bool)
    generator = torch.Generator().manual_seed(5)
    y = torch.rand(images.shape, generator=generator)
    e = torch.randn(images.shape, generator=generator)
    expected = (y + 0.1 * 1e-3 * (-(y - 0.25) / 0.05**2 + e)).clamp(0, 1)
    filled = inpaint(bump(), images, mask, 1, step_size=1e-2, generator=torch.Generator().manual_seed(5))
    assert (filled.int() - (expected * 256).floor().int()).abs().max() <= 1


def test_refusals(images):
    with pytest.raises(TypeError, match=r"must be bool.*torch\.uint8"):
        inpaint(bump(), images, torch.ones(SHAPE, dtype=torch.uint8), 1)
    with pytest.raises(ValueError, match="does not broadcast"):
        inpaint(bump(), images, torch.ones(5, dtype=torch.bool), 1)
    with pytest.raises(RuntimeError, match="evaluation mode"):
        inpaint(bump().train(), images, torch.ones(SHAPE, dtype=torch.bool), 1)
