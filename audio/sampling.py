"""What `flowsuite sample` lets one choose for vocoders, besides what it has for all models."""

from __future__ import annotations

# argument of `VocoderModule.generate` -> (type, help, another name of the option)
OPTIONS = {
    "source": (str, "speech: audio or mels, a file or a folder, which the samples take in turn", "--from"),
    "precision": (str, "speech: 32, or bf16 for the networks, waveform and sums in float32; for GPUs (32)"),
}
