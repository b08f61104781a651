"""The layer types of fully connected vector fields, by name."""

from __future__ import annotations

from functools import partial

from flowsuite.core.nets.time_layers import ConcatLinear, GatedLinear, TimeLinear

FIELD_LAYERS = {
    "ignore": GatedLinear,
    "concat": ConcatLinear,
    "concat_v2": partial(GatedLinear, bias=True),
    "squash": partial(GatedLinear, gate="sigmoid"),
    "scale": partial(GatedLinear, gate="linear"),
    "concatsquash": partial(GatedLinear, gate="sigmoid", bias=True),
    "concatscale": partial(GatedLinear, gate="linear", bias=True),
}


def make_field_layer(
    name: str, in_features: int, out_features: int, time_features: int, context_features: int
) -> TimeLinear:
    """The layer type called `name`, one of `FIELD_LAYERS`."""
    if name not in FIELD_LAYERS:
        raise ValueError(f"unknown layer type {name!r}: expected one of {', '.join(FIELD_LAYERS)}")
    return FIELD_LAYERS[name](in_features, out_features, time_features, context_features)
