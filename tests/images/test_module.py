from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from flowsuite.core.training.pictures import grid
from flowsuite.images import Glow, ImageFlowModule
from flowsuite.images.levels import encode_levels


def glow(**options) -> Glow:
    """A small Glow whose zero-initialised convolutions do something."""
    torch.manual_seed(0)
    arguments = {"image_shape": (3, 8, 8), "levels": 2, "steps": 2, "width": 8, "n_bits": 5} | options
    flow = Glow(**arguments)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return flow


def images(n: int = 6, shape: tuple[int, ...] = (3, 8, 8)) -> torch.Tensor:
    return torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_loss_is_bits_per_dim_and_says_its_depth():
    flow = glow()
    module = ImageFlowModule(flow)
    torch.manual_seed(3)
    loss, figures = module.loss(images(), None, "train")
    torch.manual_seed(3)
    nats = -flow.log_prob(images()).mean()
    assert torch.allclose(figures["nats"], nats)
    assert torch.allclose(loss, nats / (192 * math.log(2))) and torch.equal(loss, figures["bits_per_dim_5bit"])


def test_levels_add_up_to_the_whole():
    flow = glow().double()
    torch.manual_seed(3)
    levels, latents = encode_levels(flow, images())
    torch.manual_seed(3)
    whole = flow.log_prob(images())
    assert levels.shape == (6, 2) and torch.allclose(levels.sum(1), whole, atol=1e-9)
    assert [tuple(z.shape[1:]) for z in latents] == [(6, 4, 4), (24, 2, 2)]
    torch.manual_seed(3)
    _, figures = ImageFlowModule(flow).loss(images(), None, "val")
    parts = [figures[f"bits_per_dim_5bit_level{i}"] for i in (1, 2)]
    assert torch.allclose(sum(parts), figures["bits_per_dim_5bit"])


@pytest.mark.parametrize("stage", ["train", "val"])
def test_classifier_loss(stage):
    flow = glow(n_classes=4, classifier=True)
    module, labels = ImageFlowModule(flow, class_weight=0.5), torch.tensor([0, 1, 2, 3, 0, 1])
    torch.manual_seed(3)
    loss, figures = module.loss(images(), labels, stage)
    raw = images()
    with torch.no_grad():  # the last latent before any prior: all of the flow but its top
        y = flow.transform[1](flow.dequantize.center(raw))[0]
        h = flow.body.levels[0](y)[0]
        h = flow.body.splits[0](h)[0]
        top = flow.body.levels[1](h)[0]
        wanted = flow.classifier(top.mean((2, 3)))
        encoded = flow.body.unflatten(flow.encode(raw, labels))[-1]
        assert torch.allclose(flow.class_logits(encoded, labels), wanted, atol=1e-4)
    cross_entropy = figures["cross_entropy"]
    assert torch.allclose(loss, figures["bits_per_dim_5bit"] + 0.5 * cross_entropy / math.log(2))
    assert 0 <= figures["accuracy"] <= 1
    loss.backward()
    assert flow.classifier.weight.grad.abs().sum() > 0


def test_logits_do_not_depend_on_the_label():
    flow = glow(n_classes=4, classifier=True).double()
    logits = []
    for label in (0, 3):
        torch.manual_seed(5)
        logits.append(flow.log_prob_and_logits(images(), torch.full((6,), label))[1])
    assert torch.allclose(*logits, atol=1e-9)
    assert flow.classify(images()).shape == (6, 4)
    with pytest.raises(ValueError, match="no classifier"):
        glow().classify(images())


def test_labels_reach_conditional_flows_only():
    batch = (images(), torch.arange(6) % 4)
    assert ImageFlowModule(glow()).unpack(batch)[1] is None
    assert torch.equal(ImageFlowModule(glow(n_classes=4)).unpack(batch)[1], batch[1])


def test_generation_of_a_class_of_given_labels_and_of_random_ones():
    module = ImageFlowModule(glow(n_classes=4))
    with torch.no_grad():
        module.flow.body.top.class_weight[2, :24] = 5.0
    module.eval()
    seeds = [torch.Generator().manual_seed(0) for _ in range(4)]
    one = module.generate(5, 2, 0.7, seeds[0])
    same = module.generate(5, torch.tensor([2] * 5), 0.7, seeds[1])
    other = module.generate(5, 1, 0.7, seeds[2])
    assert one.shape == (5, 3, 8, 8) and one.dtype == torch.uint8
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert module.generate(5, None, 0.7, seeds[3]).shape == (5, 3, 8, 8)
    assert set(module.labels(200, None, torch.Generator().manual_seed(0)).tolist()) == {0, 1, 2, 3}
    with pytest.raises(ValueError, match=r"0\.\.3"):
        module.generate(2, 4)
    assert ImageFlowModule(glow()).labels(3, None) is None


def test_samples_are_written_as_picture_and_array(tmp_path):
    module, samples = ImageFlowModule(glow()), images(5)
    picture, arrays = module.save_samples(samples, tmp_path, 20)
    assert (picture.name, arrays.name) == ("samples_000020.png", "samples_000020.npz")
    assert np.array_equal(np.load(arrays)["samples"], samples.numpy())
    assert np.array_equal(np.asarray(Image.open(picture))[::15, ::15], grid(samples).permute(1, 2, 0).numpy())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["samples_000020.npz", "samples_000020.png"]


def test_example_images_have_a_row_for_each_temperature():
    module = ImageFlowModule(glow(image_shape=(1, 8, 12)), temperatures=[0.0, 1.0], examples=5).eval()
    assert torch.equal(module.example_images(), module.example_images())
    picture = module.example_images()[:, ::6, ::6]
    assert picture.shape == (1, 2 * 9 - 1, 5 * 13 - 1) and picture.min() >= 0 and picture.max() <= 1
    zero = picture[:, :8]
    assert torch.equal(zero[..., :12], zero[..., 13:25])


def test_module_refuses_other_flows_and_temperatures():
    from flowsuite.core.distributions import StandardNormal
    from flowsuite.core.flow import Flow
    from flowsuite.core.layers.affine import DiagonalScale

    with pytest.raises(TypeError, match="ImageFlow such as Glow"):
        ImageFlowModule(Flow(DiagonalScale(2), StandardNormal(2)))
    with pytest.raises(ValueError, match="temperatures"):
        ImageFlowModule(glow(), temperatures=[-1.0])
