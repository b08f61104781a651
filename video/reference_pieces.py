"""Single operations of tensor2tensor's VideoFlow, each as the layer of ours that does the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from flowsuite.core.layers.actnorm import ActNorm
from flowsuite.core.layers.conv1x1 import InvertibleConv1x1LU
from flowsuite.core.layers.coupling import Coupling
from flowsuite.core.layers.elementwise import Additive, Affine
from flowsuite.core.layers.squeeze import Squeeze2d
from flowsuite.core.nets.conv import EdgeConv2d, GlowNet
from flowsuite.core.training.reference_tf import State, read_actnorm, read_conv, read_inverted_conv
from flowsuite.video.heads import Form, as_gaussian
from flowsuite.video.predictions import Gaussian
from flowsuite.video.reference_check import check_finite
from flowsuite.video.reference_t2t import (
    DILATIONS,
    block_scopes,
    numbers,
    read_coupling_net,
    read_still,
    read_window_net,
)
from flowsuite.video.window_net import WindowNet

PIECES = "flowsuite.video.reference_pieces.Pieces"


class Still(nn.Module):
    """The prior of a latent without past, from the level above."""

    def __init__(self, channels: int, outputs: int):
        super().__init__()
        self.mean, self.log_std = (EdgeConv2d(channels, outputs, 3, "indicator", zero_init=True) for _ in range(2))

    def forward(self, above: Tensor) -> Gaussian:
        return Gaussian(self.mean(above), self.log_std(above))


class Window(nn.Module):
    """The temporal net of K past steps (N, K, R, H, W)."""

    def __init__(self, **options: Any):
        super().__init__()
        self.net = WindowNet(**options)

    def forward(self, past: Tensor) -> Gaussian:
        return as_gaussian(self.net(list(past.unbind(1))), None, Form())


class Pieces(nn.ModuleDict):
    """Layers by label. `pieces` gives of each its kind and the sizes it has."""

    def __init__(self, pieces: Mapping[str, Mapping[str, Any]]):
        super().__init__({label: make_piece(**given) for label, given in pieces.items()})


def make_piece(kind: str, **sizes: Any) -> nn.Module:
    if kind == "coupling":
        affine = sizes.pop("affine")
        return Coupling(GlowNet(**sizes), Affine() if affine else Additive())
    if kind == "inv1x1":
        return InvertibleConv1x1LU(row_vector=True, **sizes)
    makers = {"actnorm": ActNorm, "squeeze2": Squeeze2d, "still": Still, "window": Window}
    return EdgeConv2d(edge="indicator", **sizes) if kind == "conv" else makers[kind](**sizes)


def convert(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> tuple[str, dict[str, Any], State]:
    """Every label of the weights, `LABEL/op/...`, as a layer; and "squeeze2", which has no weights."""
    check_finite(state_dict)
    weights = {name: torch.as_tensor(w) for name, w in state_dict.items()}
    pieces: dict[str, dict[str, Any]] = {"squeeze2": {"kind": "squeeze2"}}
    out: State = {}
    for label in sorted({name.split("/", 1)[0] for name in weights}):
        prefix = f"{label}/op/"
        own = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
        state: State = {}
        try:
            pieces[label] = read_piece(own, state)
        except KeyError as error:
            raise ValueError(f"the weights of the operation {label} lack {error}") from None
        out |= {f"{label}.{name}": value for name, value in state.items()}
    return PIECES, {"pieces": pieces}, out


def read_piece(weights: Mapping[str, Tensor], out: State) -> dict[str, Any]:
    """Kind and sizes of an operation, by what its weights are called; its state goes to `out`."""
    if "op_center/b" in weights:
        read_actnorm(weights, "op", out, "piece")
        strip(out, "piece.")
        return {"kind": "actnorm", "channels": out["shift"].numel()}
    if "log_S" in weights:
        read_inverted_conv({f"op/{k}": v for k, v in weights.items()}, "op", out, "piece")
        strip(out, "piece.")
        return {"kind": "inv1x1", "channels": weights["log_S"].numel()}
    if "nn/zeros/W" in weights:
        return read_coupling(weights, out)
    if "conv2d/W" in weights:
        read_still({f"op/{k}": v for k, v in weights.items()}, "op", out, 0)
        strip(out, "priors.0.")
        channels = weights["conv2d/W"].shape[2] - 1
        return {"kind": "still", "channels": channels, "outputs": weights["conv2d/W"].shape[3] // 2}
    if "res_final/W" in weights:
        return read_window(weights, out)
    if "W" in weights:
        read_conv({f"op/{k}": v for k, v in weights.items()}, "op", out, "piece", "actnorm/actnorm")
        strip(out, "piece.")
        size, inputs, outputs = weights["W"].shape[0], weights["W"].shape[2], weights["W"].shape[3]
        sizes = {"kernel_size": size, "in_channels": inputs - (size > 1), "out_channels": outputs}
        return {"kind": "conv", **sizes, "actnorm": "b" not in weights, "zero_init": "b" in weights}
    raise ValueError(f"no operation of VideoFlow has weights such as {', '.join(sorted(weights)[:3])}")


def strip(out: State, prefix: str) -> None:
    for name in list(out):
        out[name.removeprefix(prefix)] = out.pop(name)


def read_coupling(weights: Mapping[str, Tensor], out: State) -> dict[str, Any]:
    first, last = weights["nn/conv_block/1_1/W"], weights["nn/zeros/W"]
    affine = last.shape[3] == 2 * (first.shape[2] - 1)
    read_coupling_net(weights, "nn", out, "net", affine)
    sizes = {"in_channels": first.shape[2] - 1, "out_channels": last.shape[3], "width": first.shape[3]}
    activation = "gatu" if "nn/conv_block/1_tanh/W" in weights else "relu"
    return {"kind": "coupling", "affine": affine, **sizes, "activation": activation}


def read_window(weights: Mapping[str, Tensor], out: State) -> dict[str, Any]:
    weights = {f"net/{name}": w for name, w in weights.items()}
    blocks = block_scopes(weights, "net")
    first = blocks[0][0]
    kernel, last = weights[f"{first}/conv_block/1_1/W"], weights["net/res_final/W"]
    read_window_net(weights, "net", out, "net")
    return {
        "kind": "window",
        "channels": kernel.shape[3] - 1,
        "outputs": last.shape[3],
        "past": numbers(weights, rf"^{first}/conv_block/1_1/actnorm/actnorm_(\d+)/"),
        "blocks": len(blocks),
        "width": kernel.shape[4],
        "activation": "gatu" if f"{first}/conv_block/1_tanh/W" in weights else "relu",
        "dilations": list(DILATIONS[: len(blocks[0])]),
    }
