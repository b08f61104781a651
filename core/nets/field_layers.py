"""The layer types of fully connected and convolutional vector fields, by name."""

from __future__ import annotations

from functools import partial

from flowsuite.core.nets.conv_layers import BlendConv, ConcatConv, GatedConv, HyperConv, TimeConv
from flowsuite.core.nets.time_layers import ConcatLinear, GatedLinear, TimeLinear
from flowsuite.core.nets.time_weights import BlendLinear, HyperLinear

FIELD_LAYERS = {
    "ignore": GatedLinear,
    "concat": ConcatLinear,
    "concat_v2": partial(GatedLinear, bias=True),
    "squash": partial(GatedLinear, gate="sigmoid"),
    "scale": partial(GatedLinear, gate="linear"),
    "concatsquash": partial(GatedLinear, gate="sigmoid", bias=True),
    "concatscale": partial(GatedLinear, gate="linear", bias=True),
    "blend": BlendLinear,
    "hyper": HyperLinear,
}

CONV_FIELD_LAYERS = {
    "ignore": GatedConv,
    "concat": ConcatConv,
    "concat_v2": partial(GatedConv, bias=True),
    "concatcoord": partial(ConcatConv, coordinates=True),
    "squash": partial(GatedConv, gate="sigmoid"),
    "concatsquash": partial(GatedConv, gate="sigmoid", bias=True),
    "blend": BlendConv,
    "hyper": HyperConv,
}


def make_field_layer(
    name: str, in_features: int, out_features: int, time_features: int, context_features: int
) -> TimeLinear:
    """The layer type called `name`, one of `FIELD_LAYERS`."""
    if name not in FIELD_LAYERS:
        raise ValueError(f"unknown layer type {name!r}: expected one of {', '.join(FIELD_LAYERS)}")
    return FIELD_LAYERS[name](in_features, out_features, time_features, context_features)


def make_conv_layer(
    name: str,
    in_channels: int,
    out_channels: int,
    size: tuple[int, int],
    stride: int,
    time_features: int,
    context_features: int,
) -> TimeConv:
    """The convolutional layer type called `name`, one of `CONV_FIELD_LAYERS`."""
    if name not in CONV_FIELD_LAYERS:
        raise ValueError(f"unknown layer type {name!r}: expected one of {', '.join(CONV_FIELD_LAYERS)}")
    return CONV_FIELD_LAYERS[name](in_channels, out_channels, size, stride, time_features, context_features)


def check_end_time(layer: str, end_time: float, train_end_time: bool) -> None:
    """Blend layers mix two maps with weights 1 - t and t: their time runs from 0 to 1, and is not learned."""
    if layer == "blend" and (end_time != 1 or train_end_time):
        raise ValueError(
            f"blend layers need end_time=1 and train_end_time=False, got {end_time:g} and {train_end_time}"
        )
