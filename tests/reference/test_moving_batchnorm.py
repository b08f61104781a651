"""Moving batch norm over training batches, in evaluation and backwards, against PointFlow."""

import pytest
import torch

from flowsuite.core.layers.batchnorm import MovingBatchNorm
from flowsuite.pointclouds.batchnorm import PointBatchNorm

pytestmark = pytest.mark.reference_kind("moving-batchnorm")


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def make(case):
    config = case.config["config"]
    shape, settings = config["shape"], {"momentum": config["decay"], "eps": config["eps"]}
    assert config["bn_lag"] == 0
    if len(shape) == 2:
        layer = MovingBatchNorm(shape[-1], affine=True, statistics="running", **settings)
    else:
        layer = PointBatchNorm(shape[-1], legacy=config["legacy_reduction"])
        layer.momentum, layer.eps = settings["momentum"], settings["eps"]
    layer = layer.double()
    names = {"weight": "log_scale", "bias": "shift", "running_mean": "running_mean", "running_var": "running_var"}
    for name, value in case.param.items():
        if name.rpartition(".")[2] in names:
            getattr(layer, names[name.rpartition(".")[2]]).data.copy_(value)
    return layer


def forward(layer, x):
    """`(y, -log|det|)` with one number a row or point, as the cases have it."""
    y, ladj = layer(x) if x.ndim == 2 else layer.points(x)
    return y, -ladj[..., None]


def inverse(layer, y):
    x, ladj = layer.inverse(y) if y.ndim == 2 else layer.inverse_points(y)
    return x, -ladj[..., None]


def test_moving_batch_norm(reference_case):
    case, layer = reference_case, make(reference_case)
    steps, checked = case.config["config"]["steps"], 0
    for i in range(steps):
        y, delta = forward(layer, case.input[f"x{i}"])
        close(y, case.output[f"train_y{i}"])
        close(delta, case.output[f"train_delta_logp{i}"])
        close(layer.running_mean, case.output[f"running_mean_after{i}"])
        close(layer.running_var, case.output[f"running_var_after{i}"])
        checked += 4
    layer.eval()
    y, delta = forward(layer, case.input[f"x{steps - 1}"])
    close(y, case.output["eval_y"])
    close(delta, case.output["eval_delta_logp"])
    x, back = inverse(layer, y)
    close(x, case.output["reverse_x"])
    close(delta + back, case.output["reverse_delta_logp"])
    assert checked + 4 == len(case.output)
