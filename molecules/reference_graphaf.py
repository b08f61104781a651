"""The official GraphAF code's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from flowsuite.molecules.vocabulary import PRESETS, Vocabulary, atom_name, parse_atom

NETS = {"atom_decision": "flow_core.node_st_net", "edge_decision": "flow_core.edge_st_net"}


def atom_names(numbers: list[int]) -> list[str]:
    """Class names of atomic numbers."""
    known = {number: name for preset in PRESETS.values() for name, (number, _) in _atoms(preset).items()}
    missing = [number for number in numbers if number not in known]
    if missing:
        raise ValueError(f"atom_list: no element of atomic number {missing[0]} is known")
    return [known[number] for number in numbers]


def _atoms(names: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    neutral = [atom_name(*parse_atom(name)) for name in names if parse_atom(name)[1] == 0]
    return dict(zip(neutral, Vocabulary(neutral).atoms, strict=True))


def shape_of(weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> dict[str, Any]:
    """`atoms`, `max_atoms` and `window`: what the configuration says, else what the masks among the weights show."""
    pairs = weights["flow_core.index_select_edge"]
    classes = weights["flow_core.rgcn.emb.weight"].shape[0]
    presets = {len(names): list(names) for name, names in PRESETS.items() if not name.endswith("charged")}
    if "atom_list" not in config and classes not in presets:
        raise ValueError(f"the configuration needs atom_list, the atomic numbers of the {classes} atom classes")
    return {
        "atoms": atom_names(list(config["atom_list"])) if "atom_list" in config else presets[classes],
        "max_atoms": int(config.get("max_size", weights["flow_core.mask_node"].shape[2])),
        "window": int(config.get("edge_unroll", (pairs[:, 1] - pairs[:, 0]).max())),
    }


def convert(
    state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """`(class_path, init_args, state_dict)` of the `GraphAF` that equals an official checkpoint.

    `config` holds the official options (`num_flow_layer`, `nhid`, `nout`, `gcn_layer`, `st_type`, ...), with or
    without `max_size`, `edge_unroll` and `atom_list`; they may also lie under the key `config`.
    """
    config = {**config, **config.get("config", {})}
    weights = {name.removeprefix("module."): torch.as_tensor(value) for name, value in state_dict.items()}
    layers, kind = int(config["num_flow_layer"]), str(config.get("st_type", "exp"))
    options = {"layers": layers, "hidden": int(config["nhid"]), "scale": kind, "bounded": False}
    if "deq_coeff" in config:
        options["dequantization"] = float(config["deq_coeff"])
    if kind == "sigmoid":
        options["sigmoid_shift"] = float(config.get("sigmoid_shift", 2.0))
    init_args = {
        **shape_of(weights, config),
        "stop": False,
        "conditioner": "rgcn",
        "hidden": int(config["nhid"]),
        "out": int(config["nout"]),
        "layers": int(config.get("gcn_layer", 3)),
        "decision": "affine",
        "decision_options": options,
        "batch_norm": "reference" if config.get("is_bn", "flow_core.batchNorm.weight" in weights) else None,
        "learn_prior": bool(config.get("learn_prior", False)),
    }
    new = {
        "property_mean": torch.zeros(0),
        "property_std": torch.ones(0),
        "prior_ln_var": weights["prior_ln_var"],
        **_conditioner(weights, init_args["layers"], init_args["batch_norm"] is not None),
    }
    for ours, theirs in NETS.items():
        new |= {f"{ours}.{name}": value for name, value in _decision(weights, theirs, layers, kind).items()}
    return "flowsuite.molecules.graphaf.GraphAF", init_args, new


def _conditioner(weights: Mapping[str, Tensor], layers: int, batch_norm: bool) -> dict[str, Tensor]:
    inner = [f"gc2.{i}" for i in range(layers - 2)]
    convs = {
        f"convs.{i}.weight": weights[f"flow_core.rgcn.{name}.weight"] for i, name in enumerate(["gc1", *inner, "gc3"])
    }
    found = {"embedding": weights["flow_core.rgcn.emb.weight"].T.contiguous(), **convs}
    if batch_norm:
        names = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        found |= {f"norm.{name}": weights[f"flow_core.batchNorm.{name}"] for name in names}
    return {f"conditioner.{name}": value for name, value in found.items()}


def _decision(weights: Mapping[str, Tensor], nets: str, layers: int, kind: str) -> dict[str, Tensor]:
    def each(name: str) -> list[Tensor]:
        return [weights[f"{nets}.{i}.{name}"] for i in range(layers)]

    last = "linear3" if kind == "softplus" else "linear2"
    found = {
        "first.linear.weight": torch.cat(each("linear1.weight")),
        "first.linear.bias": torch.cat(each("linear1.bias")),
        "last": torch.stack([w.T for w in each(f"{last}.weight")]),
        "last_bias": torch.stack(each(f"{last}.bias")),
        "rescale": torch.stack([w.reshape(-1) for w in each("rescale1.weight")]),
    }
    if kind == "softplus":
        found["middle"] = torch.stack([w.T for w in each("linear2.weight")])
        found["middle_bias"] = torch.stack(each("linear2.bias"))
    if kind == "sigmoid":
        found["rescale_sigmoid"] = torch.stack([w.reshape(-1) for w in each("rescale2.weight")])
    return found
