"""Weights of public vocoders as people hold them: conventions, containers, errors, and the way through the shell."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from flowsuite.audio.module import VocoderModule
from flowsuite.audio.reference import from_reference, module_args
from flowsuite.core.training import cli
from flowsuite.core.training.checkpoint import load_module
from tests.audio import oracle

WAVEFLOW_CONFIG = {
    "train_config": {"batch_size": 8, "sigma": 1.0},
    "data_config": {
        "sampling_rate": 16000,
        "filter_length": 128,
        "hop_length": 32,
        "win_length": 96,
        "mel_fmin": 50.0,
        "mel_fmax": None,
    },
    "waveflow_config": {
        "model_name": "tiny",
        "cin_channels": 4,
        "res_channels": 3,
        "n_height": 8,
        "n_layer": 3,
        "n_flow": 3,
        "n_layer_per_cycle": 2,
        "coupling_type": "waveflow_bipartize",
    },
}
WAVEGLOW_CONFIG = {
    "data_config": {"sampling_rate": 22050, "filter_length": 128, "hop_length": 32, "win_length": 128, "mel_fmin": 0.0},
    "waveglow_config": {
        "n_mel_channels": 4,
        "n_flows": 5,
        "n_group": 8,
        "n_early_every": 2,
        "n_early_size": 2,
        "WN_config": {"n_layers": 2, "n_channels": 4, "kernel_size": 3},
    },
}


def waveflow_weights():
    return oracle.waveflow_weights(3, 3, 3, 4, [8, 4], seed=1)


def waveglow_weights():
    return oracle.waveglow_weights(8, 4, 5, 2, 4, (2, 2), seed=1, kernel=128)


KINDS = {
    "l0sg-waveflow": (waveflow_weights, WAVEFLOW_CONFIG),
    "nvidia-waveglow": (waveglow_weights, WAVEGLOW_CONFIG),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def prefixed(weights, prefix="module."):
    return {prefix + name: weight for name, weight in weights.items()}


def parametrized(weights):
    """As `torch.nn.utils.parametrizations.weight_norm` names them."""
    new = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    split = {name: name.rpartition(".") for name in weights}
    return {f"{split[name][0]}.{new.get(split[name][2], split[name][2])}": w for name, w in weights.items()}


def without_norm(weights):
    """After `remove_weight_norm`."""
    plain = {name: w for name, w in weights.items() if not name.endswith(("weight_g", "weight_v"))}
    for name in weights:
        if name.endswith(".weight_v"):
            layer = name.removesuffix(".weight_v")
            plain[f"{layer}.weight"] = oracle.effective(weights, layer)[0]
    return plain


def numpy_arrays(weights):
    return {name: w.numpy() for name, w in weights.items()}


def density(flow):
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 77, generator=draw, dtype=torch.float64)
    return flow.log_prob(x, torch.randn(2, 4, 3, generator=draw, dtype=torch.float64))


CONVENTIONS = {
    "data-parallel": prefixed,
    "compiled": lambda w: prefixed(w, "_orig_mod."),
    "parametrized": parametrized,
    "norm-removed": without_norm,
    "norm-removed-data-parallel": lambda w: prefixed(without_norm(w)),
    "numpy": numpy_arrays,
}


@every_kind
@pytest.mark.parametrize("convention", CONVENTIONS.values(), ids=CONVENTIONS)
@torch.no_grad()
def test_conventions(kind, convention):
    make, config = KINDS[kind]
    expected = density(from_reference(kind, make(), config))
    flow = from_reference(kind, convention(make()), config)
    torch.testing.assert_close(density(flow), expected, rtol=1e-11, atol=1e-11)
    again = from_reference(kind, make(), {"config": config})
    assert torch.equal(density(again), expected)


@torch.no_grad()
def test_a_filter_of_zeros():
    weights = without_norm(waveflow_weights())
    weights["flows.0.coupling.net.res_blocks.1.res_skip_conv.weight"][0] = 0
    flow = from_reference("l0sg-waveflow", weights, WAVEFLOW_CONFIG)
    assert density(flow).isfinite().all()


@torch.no_grad()
def test_waveflow_made_ready_for_synthesis():
    """The conditioners of all layers joined, as `fuse_conditioning_layers` leaves them."""
    weights = without_norm(waveflow_weights())
    expected = density(from_reference("l0sg-waveflow", weights, WAVEFLOW_CONFIG))
    for k in range(3):
        net = f"flows.{k}.coupling.net"
        for part in ("weight", "bias"):
            names = [f"{net}.res_blocks.{layer}.filter_gate_conv_c.{part}" for layer in range(3)]
            weights[f"{net}.fused_filter_gate_conv_c.{part}"] = torch.cat([weights.pop(name) for name in names])
    flow = from_reference("l0sg-waveflow", weights, WAVEFLOW_CONFIG)
    torch.testing.assert_close(density(flow), expected, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_waveglow_with_a_conditioner_per_layer():
    weights = waveglow_weights()
    expected = density(from_reference("nvidia-waveglow", weights, WAVEGLOW_CONFIG))
    for k in range(5):
        for part in ("weight_g", "weight_v", "bias"):
            for layer, piece in enumerate(weights.pop(f"WN.{k}.cond_layer.{part}").split(8)):
                weights[f"WN.{k}.cond_layers.{layer}.{part}"] = piece
    flow = from_reference("nvidia-waveglow", weights, WAVEGLOW_CONFIG)
    assert torch.equal(density(flow), expected)


@every_kind
@pytest.mark.parametrize("container", ["plain", "state_dict", "model", "npz", "single"])
@torch.no_grad()
def test_import(kind, container, tmp_path, capsys):
    make, config = KINDS[kind]
    weights = {name: w.float() if container == "single" else w for name, w in make().items()}
    file, settings, out = tmp_path / "waveflow_5000", tmp_path / "config.json", tmp_path / "vocoder.ckpt"
    settings.write_text(json.dumps(config))
    if container == "npz":
        file = file.with_suffix(".npz")
        np.savez(file, **numpy_arrays(weights))
    elif container in ("state_dict", "model"):
        optimizer = torch.optim.Adam(nn.Linear(1, 1).parameters()).state_dict()
        torch.save({container: prefixed(weights), "iteration": 5000, "optimizer": optimizer}, file)
    else:
        torch.save(weights, file)
    argv = ["import", kind, str(file), "--config", str(settings), "--out", str(out)]
    assert cli.main(argv) == 0, capsys.readouterr().err
    module = load_module(out)
    assert isinstance(module, VocoderModule)
    assert module.spec.sample_rate == config["data_config"]["sampling_rate"]
    assert (module.spec.hop_length, module.spec.n_fft, module.spec.n_mels) == (32, 128, 4)
    expected = from_reference(kind, weights, config)
    assert repr(module.flow) == repr(expected)
    tolerance = 1e-4 if container == "single" else 1e-12
    flow = module.flow.double()
    torch.testing.assert_close(density(flow), density(expected.double()), rtol=tolerance, atol=tolerance)
    waves = module.flow.sample(context=torch.randn(1, 4, 3, dtype=torch.float64))
    assert waves.shape == (1, 96) and waves.isfinite().all()


def test_specs():
    sizes = {"hop_length": 256, "n_mels": 80}
    assert module_args({}, sizes) == module_args({"config": {"seed": 1}}, sizes) == {"spec": "A0"}
    published = {"sampling_rate": 22050, "filter_length": 1024, "win_length": 1024, "mel_fmin": 0.0, "mel_fmax": 8000.0}
    assert module_args({"data_config": published}, sizes) == {"spec": "A0"}
    assert module_args({"data_config": published | {"sampling_rate": 24000}}, sizes) == {"spec": "A0-24k"}
    spec = module_args({}, {"hop_length": 64, "n_mels": 20})["spec"]
    assert (spec["n_fft"], spec["win_length"], spec["hop_length"], spec["n_mels"]) == (256, 256, 64, 20)


class Whole(nn.Module):
    """What NVIDIA's published files hold: the module itself."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv1d(1, 1, 1)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickled_module_is_refused(zipped, tmp_path, capsys):
    file, config = tmp_path / "waveglow_256channels.pt", tmp_path / "config.json"
    torch.save({"model": Whole(), "iteration": 1}, file, _use_new_zipfile_serialization=zipped)
    config.write_text("{}")
    out = tmp_path / "out.ckpt"
    assert cli.main(["import", "nvidia-waveglow", str(file), "--config", str(config), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "holds a pickled" in error and "Whole" in error
    assert "torch.save(torch.load(PATH, weights_only=False)['model'].state_dict(), 'weights.pt')" in error
    assert not out.exists()


def lacking(name):
    return lambda w: {n: v for n, v in w.items() if not n.startswith(name)}


REFUSED = [
    ("l0sg-waveflow", lambda w: {}, {}, "the weights flows.*.coupling.net.* and upsample_conv.* of an L0SG WaveFlow"),
    ("l0sg-waveflow", lambda w: w, {"waveflow_config": {}}, r'expected config\["n_height"\]'),
    ("l0sg-waveflow", lambda w: w, {"n_height": 8, "coupling_type": "x"}, "waveflow_bipartize or waveflow, got 'x'"),
    ("l0sg-waveflow", lambda w: w, {"n_height": 8, "dilation_h": [1]}, "one height dilation for each of 3 layers"),
    ("l0sg-waveflow", lacking("flows.1.coupling.proj"), {"n_height": 8}, "has no flows.1.coupling.proj_log_s_t"),
    ("l0sg-waveflow", lambda w: w | {"x.y": torch.zeros(1)}, {"n_height": 8}, "no place in a L0SG WaveFlow: x.y"),
    ("l0sg-waveflow", lambda w: w, {"n_height": 8, "res_channels": 7}, "res_channels is 7, the weights have 3"),
    ("nvidia-waveglow", lambda w: {}, {}, "weights convinv.*.conv.weight and WN.*.* of an NVIDIA WaveGlow"),
    ("nvidia-waveglow", lacking("WN.3.end.bias"), {}, "has no WN.3.end.bias"),
    ("nvidia-waveglow", lambda w: w | {"WN.0.skip_layers.0.weight": torch.zeros(1)}, {}, "first version"),
]


@pytest.mark.parametrize("kind, change, config, message", REFUSED)
def test_refused(kind, change, config, message):
    with pytest.raises(ValueError, match=message):
        from_reference(kind, change(KINDS[kind][0]()), config)
