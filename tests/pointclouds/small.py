"""A small PointFlow and small data for the tests."""

import torch

from flowsuite.core.ode import FixedGrid
from flowsuite.pointclouds import PointFlow
from flowsuite.pointclouds.data import Shapes

SMALL = {
    "zdim": 5,
    "hidden": [12, 12],
    "latent_hidden": [8],
    "encoder_widths": [8, 16],
    "encoder_head": [8],
    "eval_solver": {"class_path": "flowsuite.core.ode.FixedGrid", "init_args": {"method": "rk4", "steps": 6}},
}
SHAPES = {"families": ["chair", "torus"], "train": 8, "val": 4, "test": 4, "rows": 96, "points": 24, "eval_points": 24}


def normalized(flow: PointFlow) -> PointFlow:
    """With the statistics of `SHAPES`, as after training on them."""
    flow.set_normalization(**{k: v.to(flow.mean) for k, v in Shapes(**SHAPES).normalization().items()})
    return flow


def small(**options) -> PointFlow:
    torch.manual_seed(0)
    flow = PointFlow(**{**SMALL, "eval_solver": FixedGrid("rk4", 6), **options})
    for name, buffer in flow.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.2)
        elif name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    for name, parameter in flow.named_parameters():
        if name.endswith(("shift", "log_scale")):
            torch.nn.init.normal_(parameter, std=0.2)
    return flow.double().eval()


def clouds(n: int = 3, points: int = 20) -> torch.Tensor:
    return torch.randn(n, points, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
