"""Small vocoders with random weights that are no identity."""

import torch

from flowsuite.audio.waveflow import WaveFlow
from flowsuite.audio.waveglow import WaveGlow
from flowsuite.core.training.checkpoint import build_module, save_module


def randomised(flow, scale=0.3):
    """The flow with weights in the maps that start at zero, in double precision."""
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in flow.named_parameters():
            if ".out." in name:
                weight.normal_(0, scale)
    return flow.double().eval()


SMALL = {"channels": 6, "n_layers": 2, "n_mels": 5, "hop_length": 16}


def small_waveflow(**settings):
    return randomised(WaveFlow(**{**SMALL, "height": 4, "n_flows": 2, **settings}))


def small_waveglow(**settings):
    settings = {**SMALL, "height": 6, "n_flows": 3, "upsample_kernel": 64, "early_every": 2, **settings}
    return randomised(WaveGlow(**settings))


def small_module(kind="WaveFlow", spec="A0-8k", **settings):
    """A `VocoderModule` for speech at 8 kHz, with random weights, that checkpoints can be made of."""
    settings = {"height": 4, "channels": 4, "n_flows": 2, "n_layers": 2, "hop_length": 64, **settings}
    flow = {"class_path": f"flowsuite.audio.{kind.lower()}.{kind}", "init_args": settings}
    module = build_module("flowsuite.audio.module.VocoderModule", {"flow": flow, "spec": spec})
    randomised(module.flow, 0.05).float()
    return module.eval()


def small_checkpoint(path, **settings):
    save_module(path, small_module(**settings))
    return path
