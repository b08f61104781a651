"""Small autoencoders and binary images for the tests."""

from __future__ import annotations

import torch

from flowsuite.core.training.checkpoint import save_flow_checkpoint
from flowsuite.images import FlowVAE

SMALL = {"image_shape": [1, 8, 8], "latent_dims": 3, "network": "dense", "features": 12, "hidden": [16]}
OPTIONS = {"iaf": {"hidden_features": 8}, "spline": {"hidden_features": 8}, "nice": {"hidden_features": 8}}
OPTIONS |= {"affine": {"hidden_features": 8}, "householder": {"reflections": 2}}
OPTIONS |= {"cnf": {"hidden": (6,), "rank": 2, "tolerance": 1e-8, "eval_tolerance": 1e-8}}


def vae(posterior: str = "planar", noise: float = 0.1, **options) -> FlowVAE:
    """A small one, moved off its initialisation."""
    torch.manual_seed(0)
    arguments = SMALL | {"posterior": posterior, "n_layers": 2, "options": OPTIONS.get(posterior)} | options
    flow = FlowVAE(**arguments)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(noise * torch.randn_like(parameter))
    return flow.eval()


def binary(n: int = 5, shape: tuple[int, ...] = (1, 8, 8), seed: int = 1) -> torch.Tensor:
    return 255 * torch.randint(0, 2, (n, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def save(path, module: str = "flowsuite.images.VAEModule", **options) -> str:
    """A checkpoint of `vae(**options)`."""
    arguments = SMALL | {"posterior": "planar", "n_layers": 2} | options
    flow = vae(**arguments)
    save_flow_checkpoint(path, "flowsuite.images.FlowVAE", arguments, flow.state_dict(), module)
    return str(path)
