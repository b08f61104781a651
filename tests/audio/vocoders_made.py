"""Small vocoders of five bands, and checkpoints of such for speech at 8 kHz."""

from flowsuite.core.training.checkpoint import build_module, save_module
from tests.audio.flows_made import moved, waveflow, waveglow


def small_waveflow(**settings):
    return waveflow(n_mels=5, **settings)


def small_waveglow(**settings):
    return waveglow(**{"height": 6, "n_mels": 5, "upsample_kernel": 64, "early_size": 2, **settings})


def small_module(kind="WaveFlow", spec="A0-8k", **settings):
    """A `VocoderModule` for speech at 8 kHz, with random weights, that checkpoints can be made of."""
    settings = {"height": 4, "channels": 4, "n_flows": 2, "n_layers": 2, "hop_length": 64, **settings}
    flow = {"class_path": f"flowsuite.audio.{kind.lower()}.{kind}", "init_args": settings}
    module = build_module("flowsuite.audio.module.VocoderModule", {"flow": flow, "spec": spec})
    moved(module.flow, 0.05).float()
    return module.eval()


def small_checkpoint(path, **settings):
    save_module(path, small_module(**settings))
    return path
