"""Continuous flows of rtqichen/ffjord (@994864a) and probabilists/zuko (1.6.0) for `FFJORD`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flowsuite.core.reference_fields import (
    convert_chain,
    convert_field,
    convert_solver,
    field_settings,
    hidden_sizes,
    plain_weights,
)

ZUKO = {"atol": 1e-6, "rtol": 1e-5}  # zuko's defaults
TIGHTEST = 1e-10  # below, the kinks of ELU's second derivative cost an adaptive solver thousands of evaluations
Converted = tuple[str, dict[str, Any], dict[str, Tensor]]


def convert_ffjord(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> Converted:
    """The tabular and toy models of FFJORD.

    `config` holds the command-line flags of the public code, at the top or under "config"; sizes are read off the
    weights. Evaluation takes the exact trace. Counters of batches, of no use at bn_lag 0, are dropped.
    """
    flags = config.get("config", config)
    layer = str(flags.get("layer_type", "concatsquash"))
    layer = "concat" if layer == "concatcoord" else layer
    chain = convert_chain(plain_weights(state_dict), "", "transform.transforms.", layer, hidden_sizes(flags))
    init_args = {
        "dim": chain.features,
        "num_blocks": chain.blocks,
        **field_settings(flags, chain, layer, rademacher=False),
        "eval_divergence": "exact",
    }
    return "flowsuite.core.ffjord.FFJORD", init_args, chain.weights


def convert_vae(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> Converted:
    """One block of the amortised posterior of FFJORD-VAE ("cnf_rank"): the shared layers of its field.

    `config` gives `rank`, `T`, `layer_type`, `nonlinearity` and the solver, at the top or under "config".
    """
    flags = config.get("config", config)
    layer, end = str(flags.get("layer_type", "concat")), float(flags.get("T", 0.5))
    field, sizes = convert_field(plain_weights(state_dict), layer, hidden_sizes(flags))
    block = "transform.transforms.0.transform"
    weights = {f"{block}.field.{name}": value for name, value in field.items()}
    dtype = next(iter(field.values())).dtype
    weights[f"{block}.sqrt_end_time"] = torch.tensor(math.sqrt(end), dtype=dtype)
    probe = "rademacher" if flags.get("rademacher", False) else "hutchinson"
    init_args = {
        "dim": sizes[-1],
        "hidden": sizes[:-1],
        "rank": int(flags["rank"]),
        "num_blocks": 1,
        "layer": layer,
        "activation": str(flags.get("nonlinearity", "softplus")),
        "end_time": end,
        "divergence": probe,
        "eval_divergence": probe,
        "solver": convert_solver(flags),
        "eval_solver": convert_solver(flags, "test_"),
    }
    return "flowsuite.core.amortized_ffjord.AmortizedFFJORD", init_args, weights


def convert_zuko(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> Converted:
    """zuko's `CNF`: an MLP of `cos(pi k t), sin(pi k t), x, context`, t in [0, 1], exact trace.

    Ours shows the time to every layer: the columns for it and for the context are 0 but in the first. `config` gives
    `activation` (default ELU), `atol` and `rtol` (1e-10 at least), at the top or under "config".
    """
    flags = config.get("config", config)
    given = plain_weights(state_dict)
    for name, wanted in (("base.loc", 0.0), ("base.scale", 1.0)):
        if name in given and not bool((given[name] == wanted).all()):
            raise ValueError(f"expected zuko's standard normal base, got another {name}")
    numbers = sorted(
        int(name.split(".")[2]) for name in given if name.startswith("transform.ode.") and "weight" in name
    )
    if not numbers or "transform.freqs" not in given:
        raise ValueError("these are not the weights of a zuko CNF: expected transform.ode.<i>.weight, transform.freqs")
    whole = range(0, 2 * len(numbers), 2)  # activations have the odd numbers
    absent = [name for i in whole for part in ("weight", "bias") if (name := f"transform.ode.{i}.{part}") not in given]
    if absent:
        raise ValueError(f"the weights of this zuko CNF lack {absent[0]}")
    layers = [(given[f"transform.ode.{i}.weight"], given[f"transform.ode.{i}.bias"]) for i in whole]
    dim, frequencies = layers[-1][1].numel(), given["transform.freqs"].numel()
    extra = layers[0][0].shape[1] - dim
    context = extra - 2 * frequencies
    if context < 0:
        raise ValueError(
            f"transform.ode.0.weight has {extra + dim} inputs, fewer than {dim} of x and 2 for each of the "
            f"{frequencies} transform.freqs"
        )
    weights = {}
    for i, (weight, bias) in enumerate(layers):
        own, rest = weight, weight.new_zeros(len(bias), extra)
        if i == 0:
            times, own, given_context = weight.split((2 * frequencies, dim, context), dim=1)
            rest = torch.cat((times, given_context), dim=1)
        target = f"transform.transforms.0.field.layers.{i}"
        weights |= {f"{target}.linear.weight": own.contiguous(), f"{target}.linear.bias": bias}
        weights[f"{target}.hyper_bias.weight"] = rest
    start, end = given.get("transform.times", torch.tensor([0.0, 1.0])).tolist()
    if start != 0 or end <= 0:
        raise ValueError(f"expected times from 0 to a positive end, got {start} to {end}")
    weights["transform.transforms.0.sqrt_end_time"] = layers[0][1].new_tensor(math.sqrt(end))
    tolerances = {name: max(float(flags.get(name, default)), TIGHTEST) for name, default in ZUKO.items()}
    solver = convert_solver({"solver": "dopri5", **tolerances})
    init_args = {
        "dim": dim,
        "hidden": [bias.numel() for _, bias in layers[:-1]],
        "layer": "concat",
        "activation": str(flags.get("activation", "ELU")).lower(),
        "context_features": context,
        "time_frequencies": frequencies,
        "end_time": end,
        "train_end_time": False,
        "divergence": "exact",
        "eval_divergence": "exact",
        "solver": solver,
        "eval_solver": solver,
    }
    return "flowsuite.core.ffjord.FFJORD", init_args, weights
