"""flowsuite.audio: WaveFlow and WaveGlow, speech from mel spectrograms with exact likelihood."""

import importlib

__all__ = ["MelSpec", "MelSpectrogram", "Mels", "VocoderModule", "WaveFlow", "WaveGlow", "from_reference"]

_MODULES = {
    "MelSpec": "features.spec",
    "MelSpectrogram": "features.mel",
    "Mels": "conditioning",
    "VocoderModule": "module",
    "WaveFlow": "waveflow",
    "WaveGlow": "waveglow",
    "from_reference": "reference",
}


def __getattr__(name: str):
    # Data modules and file readers do without the models, and commands without either.
    if name in _MODULES:
        return getattr(importlib.import_module(f"flowsuite.audio.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
