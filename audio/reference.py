"""Weights of public audio implementations, turned into flowsuite models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from flowsuite.audio.features.spec import MelSpec, preset_name
from flowsuite.audio.reference_weights import section
from flowsuite.core.flow import Flow
from flowsuite.core.training.reference import build_with, convert_with

# Each converter: (state_dict, config) -> (class path of the flow, its init_args, its state_dict).
CONVERTERS = {
    "l0sg-waveflow": "flowsuite.audio.reference_waveflow:convert",
    "nvidia-waveglow": "flowsuite.audio.reference_waveglow:convert",
}

# Our names of the settings of a spectrogram, and those in the config files of these kinds.
SPEC_SETTINGS = {
    "sample_rate": "sampling_rate",
    "n_fft": "filter_length",
    "win_length": "win_length",
    "fmin": "mel_fmin",
    "fmax": "mel_fmax",
}


def convert_reference(
    kind: str, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """`(class_path, init_args, state_dict)` of the flow that equals a public implementation's model."""
    return convert_with(CONVERTERS, kind, state_dict, config)


def from_reference(kind: str, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> Flow:
    """The flowsuite model with the weights of a public implementation.

    Args:
        kind: the implementation, one of `CONVERTERS`.
        state_dict: its weights by their original names (NumPy arrays or tensors).
        config: its hyper-parameters by their original names.
    """
    return build_with(CONVERTERS, kind, state_dict, config)


def module_args(config: Mapping[str, Any], init_args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the `VocoderModule` besides the flow: the spec of its mels.

    Public vocoders of these kinds take variant A0, with the sizes that the `data_config` of their config file gives.
    Without it the windows keep their proportion to the flow's hop length, a quarter.
    """
    data = section(config, "data_config")
    hop_length = init_args["hop_length"]
    given = {ours: data[theirs] for ours, theirs in SPEC_SETTINGS.items() if theirs in data}
    windows = {"n_fft": 4 * hop_length, "win_length": given.get("n_fft", 4 * hop_length)}
    spec = MelSpec(**(windows | given), hop_length=hop_length, n_mels=init_args["n_mels"])
    return {"spec": preset_name(spec) or spec.to_dict()}
