"""FFJORD for images: published sizes, both architectures, training through the solver."""

from __future__ import annotations

import pytest
import torch

from flowsuite.core.layers.continuous import CNF, record_solves
from flowsuite.core.ode import FixedGrid
from flowsuite.images.ffjord import ImageFFJORD, count_scales

COARSE = {"solver": FixedGrid("heun", steps=2), "eval_solver": FixedGrid("heun", steps=2)}


def count(flow) -> int:
    return sum(p.numel() for p in flow.parameters())


def test_published_parameter_counts():
    assert count(ImageFFJORD((1, 28, 28))) == 800_646
    assert count(ImageFFJORD((3, 32, 32), alpha=0.05)) == 1_358_882


@pytest.mark.parametrize(("size", "scales"), [(28, 3), (32, 4), (64, 5), (8, 2), (4, 1), (3, 1)])
def test_number_of_scales(size, scales):
    assert count_scales((3, size, size)) == scales


def test_layout_of_the_multi_scale_flow():
    flow = ImageFFJORD((1, 28, 28), hidden=(4,), num_blocks=2)
    assert flow.body.shapes == [(2, 14, 14), (4, 7, 7), (4, 7, 7)]
    fields = [module.field.shape for module in flow.modules() if isinstance(module, CNF)]
    assert fields == [*[(1, 28, 28)] * 2, *[(4, 14, 14)] * 2, *[(2, 14, 14)] * 2, *[(8, 7, 7)] * 2, *[(4, 7, 7)] * 2]


@pytest.mark.parametrize(
    "options",
    [
        {"hidden": (4,), "num_blocks": 1},
        {"n_scales": 1, "hidden": (2, 3, 3, 2), "strides": (2, 2, 1, -2, -2), "batch_norm": True, "alpha": 0.0},
        {"n_scales": 1, "hidden": (3,), "layer": "blend", "train_end_time": False},
    ],
)
def test_images_round_trip_and_train(options):
    torch.manual_seed(0)
    flow = ImageFFJORD((1, 8, 8), solver=FixedGrid(steps=3), eval_solver=FixedGrid(steps=16), **options)
    x = torch.randint(256, (3, 1, 8, 8), dtype=torch.uint8)
    for _ in range(3):
        with record_solves(("kinetic", "jacobian")) as log:
            bits = flow.bits_per_dim(x).mean()
        loss = bits + 0.01 * (log.penalty("kinetic") + log.penalty("jacobian")).mean() / flow.dims
        flow.zero_grad()
        loss.backward()
        assert log.nfe_forward == log.nfe_backward > 0
    for name, p in flow.named_parameters():
        wanted = p.requires_grad
        assert (p.grad is not None and p.grad.isfinite().all() and bool(p.grad.any())) == wanted, name
    flow.eval()
    with torch.no_grad():
        z = flow.encode(x)
        assert z.shape == (3, 64)
        assert torch.equal(flow.decode(z), x)
        assert flow.sample(2).dtype == torch.uint8


def test_both_estimates_of_the_log_likelihood_agree_with_the_exact_trace():
    torch.manual_seed(0)
    flow = ImageFFJORD((1, 4, 4), (6,), num_blocks=1, alpha=0.05, **COARSE).eval()
    y = torch.rand(1, 1, 4, 4).expand(2000, 1, 4, 4)
    with torch.no_grad():
        estimate = flow.continuous.log_prob(y)
        for layer in flow.modules():
            if isinstance(layer, CNF):
                layer.eval_divergence = "exact"
        exact = flow.continuous.log_prob(y[:1])
    assert estimate.std() > 0
    assert abs(estimate.mean() - exact) < 4 * estimate.std() / len(y) ** 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_shape": (1, 30, 30)}, "ImageFFJORD with 2 levels needs height and width divisible by 4"),
        ({"num_blocks": 0}, "num_blocks must be at least 1"),
        ({"n_scales": 0}, "n_scales must be at least 1"),
        ({"batch_norm": True}, "batch_norm is for a single scale, got n_scales=3"),
        ({"layer": "blend"}, "blend layers need end_time=1 and train_end_time=False"),
        ({"strides": (2, 1)}, "expected 4 strides"),
        ({"alpha": 0.6}, "alpha must be in"),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ImageFFJORD(**options)
