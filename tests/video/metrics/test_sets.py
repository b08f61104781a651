"""Bits per dimension, Frechet distances, diversity, and networks that the user supplies."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from flowsuite.video.data import MovingShapes
from flowsuite.video.metrics import networks
from flowsuite.video.metrics.bits import discrete_log_prob, summarize_bits, video_bits_per_dim
from flowsuite.video.metrics.diversity import pixel_diversity, vgg_diversity
from flowsuite.video.metrics.frechet import frechet_distance
from flowsuite.video.metrics.proxy import proxy_features, random_frechet_distance
from tests.video.metrics.corruptions import CORRUPTIONS


def test_uniform_pixels_cost_eight_bits():
    dims = 3 * 4 * 4
    nats = discrete_log_prob(torch.zeros(5, 7), dims)
    assert torch.allclose(video_bits_per_dim(nats, dims), torch.full((5,), 8.0))
    bits = summarize_bits(nats[None].expand(3, -1, -1), dims)
    assert (bits.videos, bits.frames, bits.draws) == (5, 7, 3)
    assert bits.one_draw == bits.mean == pytest.approx(8) and bits.by_frame == pytest.approx([8.0] * 7)


def test_importance_weighted_bound_is_tighter_and_right():
    nats = -100 * torch.rand(4, 6, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bits = summarize_bits(nats, 10)
    assert bits.importance_weighted < bits.mean
    exact = -np.log(np.exp(nats.sum(-1).numpy()).mean(0)).mean() / (20 * math.log(2))
    assert bits.importance_weighted == pytest.approx(exact)


def test_frechet_distance_of_known_gaussians():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200_000, 2, generator=generator, dtype=torch.float64)
    moved = 2 * torch.randn(200_000, 2, generator=generator, dtype=torch.float64) + torch.tensor([3.0, 0.0])
    assert frechet_distance(x, moved) == pytest.approx(9 + 2 * 1, rel=0.02)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    few = torch.randn(5, 40, generator=generator)
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-5), "fewer rows than features"
    with pytest.raises(ValueError, match="at least two rows"):
        frechet_distance(x, x[:1])
    with pytest.raises(ValueError, match="expected finite features"):
        frechet_distance(x, x * math.nan)


def test_diversity_of_known_samples():
    samples = torch.zeros(2, 3, 2, 1, 4, 4, dtype=torch.uint8)
    samples[0, 1], samples[0, 2] = 30, 90
    assert pixel_diversity(samples).tolist() == pytest.approx([(30 + 60 + 90) / 3, 0])
    with pytest.raises(ValueError, match="at least 2 samples of a context, got 1"):
        pixel_diversity(samples[:, :1])


@pytest.fixture(scope="module")
def shapes():
    frames = MovingShapes(pixels=16, num_frames=5, context_frames=1).dataset("train").__getitems__(range(128)).frames
    return frames[:64], frames[64:]


def test_proxy_is_a_function_of_the_videos_alone(shapes):
    state = torch.get_rng_state()
    features = proxy_features(shapes[0])
    assert torch.equal(state, torch.get_rng_state())
    assert torch.allclose(proxy_features(shapes[0][5:6]), features[5:6], rtol=1e-4, atol=1e-6)
    assert random_frechet_distance(shapes[0], shapes[0]) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_proxy_grows_with_corruption(shapes, name):
    real, others = shapes
    strengths = (0.0, 0.5, 1.0)
    distances = [random_frechet_distance(real, CORRUPTIONS[name](others, s)) for s in strengths]
    # A ghost of a small shape on 16x16 pixels is near the floor of 64 videos.
    assert distances[-1] > distances[0] * (1.0 if name == "ghost" else 1.5), distances
    assert name == "ghost" or distances[0] <= distances[1] <= distances[2], distances


class Maps(nn.Module):
    """Two feature maps of uint8 frames."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3)

    def forward(self, x):
        a = torch.relu(self.first(x.float() / 255))
        return [a, self.second(a)]


class Logits(nn.Module):
    def forward(self, x):
        return torch.stack([x.mean((1, 3, 4)), x.std((1, 3, 4))], 1)


def saved(path, module) -> str:
    torch.jit.script(module).save(str(path))
    return str(path)


def test_vgg_similarity_and_diversity(tmp_path):
    torch.manual_seed(0)
    network = networks.load_vgg(saved(tmp_path / "maps.pt", Maps()))
    frames = torch.randint(0, 256, (2, 4, 3, 12, 12), dtype=torch.uint8)
    assert torch.allclose(networks.vgg_cosine(network, frames, frames), torch.ones(2, 4))
    other = networks.vgg_cosine(network, frames, frames.flip(-1))
    assert other.shape == (2, 4) and (other < 0.999).all()
    grey = frames[:, :, :1]
    assert networks.vgg_cosine(network, grey[:, None], torch.stack([grey, grey.flip(-1)], 1)).shape == (2, 2, 4)
    samples = torch.stack([frames, frames, frames.flip(-1)], 1)
    found = vgg_diversity(network, samples)
    assert torch.allclose(found, 2 / 3 * (1 - other).mean(1), atol=1e-5)


def test_weights_of_vgg16_are_taken(tmp_path):
    from torchvision.models import vgg16

    with torch.device("meta"):
        names = {k: v.shape for k, v in vgg16(weights=None).state_dict().items() if k.startswith("features.")}
    torch.manual_seed(0)
    torch.save({k: 0.05 * torch.randn(shape) for k, shape in names.items()}, tmp_path / "vgg.pth")
    network = networks.load_vgg(str(tmp_path / "vgg.pth"))
    maps = network(torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8))
    assert [tuple(m.shape[1:]) for m in maps] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]
    assert all((m >= 0).all() for m in maps)


def test_frechet_video_distance_takes_a_users_network(tmp_path):
    network = networks.load_i3d(saved(tmp_path / "i3d.pt", Logits()))
    dark = torch.randint(0, 60, (9, 4, 3, 16, 16), dtype=torch.uint8)
    logits = networks.i3d_logits(network, dark)
    assert logits.shape == (9, 2) and (logits[:, 0] < -0.5).all(), "frames are scaled to [-1, 1]"
    assert networks.frechet_video_distance(network, dark, dark) == pytest.approx(0, abs=1e-6)
    assert networks.frechet_video_distance(network, dark, dark + 100) > 0.1


def test_wrong_networks_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no network at .*: FVD needs your own"):
        networks.load_i3d(str(tmp_path / "no.pt"))
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    for load in (networks.load_i3d, networks.load_vgg):
        with pytest.raises(ValueError, match="not a TorchScript module") as caught:
            load(str(tmp_path / "bad.pt"))
        assert "\n" not in str(caught.value)
    wrong = networks.load_vgg(saved(tmp_path / "logits.pt", nn.Flatten()))
    with pytest.raises(ValueError, match="gives a list of feature maps"):
        networks.vgg_cosine(wrong, *torch.zeros(2, 1, 3, 8, 8, dtype=torch.uint8))
