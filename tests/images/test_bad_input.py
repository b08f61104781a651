"""Wrong images, labels and sizes are named in one line, and change nothing."""

import numpy as np
import pytest
import torch

from flowsuite.core.training.pictures import open_image
from flowsuite.images import Glow
from flowsuite.images.files import to_tensor


def small(**options):
    return Glow((3, 8, 8), levels=2, steps=1, width=8, **options)


def images(n=2):
    return torch.randint(0, 256, (n, 3, 8, 8), dtype=torch.uint8)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(2, 3, 8, 8), "expected uint8 images"),
        (torch.zeros(2, 1, 8, 8, dtype=torch.uint8), r"expected images of shape \(N, 3, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8, dtype=torch.uint8), r"got \(0, 3, 8, 8\)"),
        (np.zeros((2, 3, 8, 8), np.uint8), "expected a uint8 tensor of images, got ndarray"),
    ],
)
def test_images(x, message):
    with pytest.raises((ValueError, TypeError), match=message) as error:
        small().log_prob(x)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "labels", [None, torch.tensor([0, 5]), torch.tensor([-1, 0]), torch.zeros(2), torch.zeros(2, 1).long()]
)
def test_labels(labels):
    with pytest.raises(ValueError, match=r"labels \(N,\) in 0\.\.4"):
        small(n_classes=5).log_prob(images(), labels)


@pytest.mark.parametrize(
    "options", [{"levels": 0}, {"width": 0}, {"n_classes": -1}, {"image_shape": (3, 8)}, {"image_shape": (3, 6, 8)}]
)
def test_sizes(options):
    with pytest.raises(ValueError):
        Glow(**{"image_shape": (3, 8, 8), "levels": 2, "steps": 1, "width": 8, **options})


@pytest.mark.parametrize(("n", "temperature"), [(0, 1.0), (-1, 1.0), (2, -1.0), (2, float("nan"))])
def test_sampling_arguments(n, temperature):
    with pytest.raises(ValueError, match="at least 1 sample and a temperature >= 0"):
        small().sample(n, temperature=temperature)


def test_sixteen_bit_grey_is_scaled(tmp_path):
    from PIL import Image

    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    for channels in (1, 3):
        picture = to_tensor(open_image(tmp_path / "deep.png", channels))
        assert picture.shape[0] == channels
        assert (picture[0].int() - torch.from_numpy((ramp // 257).astype(np.int32))).abs().max() <= 1


def test_exif_orientation_is_followed(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees
    Image.new("RGB", (16, 8)).save(tmp_path / "photo.jpg", exif=exif)
    assert open_image(tmp_path / "photo.jpg").size == (8, 16)


@pytest.mark.parametrize("permutation", ["conv1x1", "conv1x1_lu"])
def test_parameters_are_contiguous(permutation):
    """Tools that flatten parameters rely on it."""
    torch.nn.utils.parameters_to_vector(small(permutation=permutation).parameters())
