"""What `flowsuite sample` lets one choose for vocoders, besides what it has for all models."""

from __future__ import annotations

# argument of `VocoderModule.generate` -> (type, help, another name of the option)
OPTIONS = {"source": (str, "speech: audio or mels, a file or a folder, which the samples take in turn", "--from")}
