"""Mel spectrograms: what one means, computing it, checking a given one, and turning one kind into another."""

from flowsuite.audio.features.mel import MelSpectrogram
from flowsuite.audio.features.spec import A0, B0, PRESETS, MelSpec, as_spec, preset_name

__all__ = ["A0", "B0", "PRESETS", "MelSpec", "MelSpectrogram", "as_spec", "preset_name"]
