"""Small vocoders and clips for the tests."""

import torch
from torch import Tensor, nn

from flowsuite.audio.conditioning import Conditioning
from flowsuite.audio.row_autoregressive import RowAutoregressive
from flowsuite.audio.row_net import RowNet
from flowsuite.audio.waveflow import WaveFlow
from flowsuite.audio.waveglow import WaveGlow

BANDS, HOP = 3, 16


def moved(module: nn.Module, std: float = 0.2, seed: int = 0) -> nn.Module:
    """In double precision, with every parameter off its initial value; what starts at zero takes part."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(std * torch.randn(p.shape, generator=generator))
    return module.double().eval()


def reaching(height: int) -> list[int]:
    """Dilations of two layers by which the first row reaches the last."""
    return [1, max(1, height // 2 - 1)]


def waveflow(height: int = 4, n_flows: int = 2, std: float = 0.2, **options) -> WaveFlow:
    torch.manual_seed(0)
    options = {"channels": 5, "n_mels": BANDS, "hop_length": HOP, "dilations": reaching(height)} | options
    options["n_layers"] = len(options["dilations"])
    flow = WaveFlow(height, n_flows=n_flows, **options)
    return moved(flow, std) if std else flow.double().eval()


def waveglow(height: int = 4, n_flows: int = 3, std: float = 0.1, **options) -> WaveGlow:
    torch.manual_seed(0)
    small = {"channels": 6, "n_layers": 2, "n_mels": BANDS, "hop_length": HOP, "upsample_kernel": 40}
    flow = WaveGlow(height, n_flows=n_flows, **(small | {"early_every": 2, "early_size": 1} | options))
    return moved(flow, std) if std else flow.double().eval()


def row_flow(height: int, dilations: list[int], channels: int = 4, seed: int = 0, **options) -> RowAutoregressive:
    """One flow whose rows are not in order."""
    torch.manual_seed(seed)
    net = RowNet(channels, dilations, BANDS, **options)
    return moved(RowAutoregressive(net, torch.randperm(height)), seed=seed)


def conditioning(batch: int, height: int, width: int, lengths: Tensor | None = None) -> Conditioning:
    from flowsuite.audio.squeeze import sample_mask

    mel = torch.randn(batch, BANDS, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    if lengths is None:
        return Conditioning(mel)
    valid = sample_mask(lengths, height * width, height)
    return Conditioning(mel * valid[:, None], valid)


def clips(batch: int, n: int, frames: int | None = None, seed: int = 1) -> tuple[Tensor, Tensor]:
    """(x (B, n), mel (B, BANDS, frames)), as many frames as a centred spectrogram has."""
    generator = torch.Generator().manual_seed(seed)
    x = 0.5 * torch.randn(batch, n, dtype=torch.float64, generator=generator)
    frames = 1 + n // HOP if frames is None else frames
    return x, torch.randn(batch, BANDS, frames, dtype=torch.float64, generator=generator)
