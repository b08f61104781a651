"""WaveFlow: a compact flow for raw audio (Ping, Peng, Zhao, Song; arXiv 1912.01219)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flowsuite.audio.execution import Execution
from flowsuite.audio.row_autoregressive import RowAutoregressive
from flowsuite.audio.row_net import RowNet, height_dilations
from flowsuite.audio.row_synthesis import RowSynthesis
from flowsuite.audio.upsample import MelUpsampler, hop_factors
from flowsuite.audio.vocoder import Standardize, Vocoder
from flowsuite.core.cache import ParameterCache
from flowsuite.core.layers.permute import Permutation
from flowsuite.core.numerics import autocast_off
from flowsuite.core.transform import Compose

PERMUTATIONS = ("bipartite", "reverse")


def flow_permutations(height: int, n_flows: int, kind: str) -> list[Tensor]:
    """The order of the rows after each flow k: reversed; with "bipartite" each half reversed from k = n_flows // 2 on.

    (Rounded down, as both public implementations do; the paper's number of flows is even.)
    """
    if kind not in PERMUTATIONS:
        raise ValueError(f"permutation must be one of {', '.join(PERMUTATIONS)}, got {kind!r}")
    if kind == "bipartite" and height % 2:
        raise ValueError(f'permutation "bipartite" needs an even height, got {height}')
    reverse = torch.arange(height).flip(0)
    halves = torch.cat([half.flip(0) for half in torch.arange(height).split(height // 2)]) if height > 1 else reverse
    return [halves if kind == "bipartite" and k >= n_flows // 2 else reverse for k in range(n_flows)]


class WaveFlow(Vocoder):
    """Flows over the rows of a squeezed waveform, autoregressive in height and parallel in width.

    `X[i, j] = x[j * height + i]`; flow k maps row i affinely given rows 0..i-1 and the spectrogram
    (`RowAutoregressive`), then the rows are permuted. The latent is in the order after the last permutation. Published:
    8 flows of 8 layers, height 16, 64 to 256 channels; height 8 to 64 with 64 channels.

    Args:
        height: rows h; synthesis takes h - 1 steps per flow.
        channels: of the networks.
        n_flows: number of flows.
        n_layers: layers of each network.
        n_mels: bands of the spectrogram.
        hop_length: samples per frame.
        factors: of the upsampler, even numbers whose product is `hop_length`; None: two, as equal as can be.
        permutation: "bipartite", reversal in the first half of the flows and of each half of the rows in the second
            (the published choice), or "reverse" after every flow.
        dilations: over rows, one per layer; None: the published ones for this height.
        scale_bound: bound of |log s|, see `RowNet`.
        gain, mel_mean, mel_std: see `Standardize`; by default, as published, nothing is standardised.
        recompute: keep only the flows' inputs for the backward pass: a quarter more time, far less memory.
    """

    def __init__(
        self,
        height: int = 16,
        channels: int = 64,
        n_flows: int = 8,
        n_layers: int = 8,
        n_mels: int = 80,
        hop_length: int = 256,
        factors: Sequence[int] | None = None,
        permutation: str = "bipartite",
        dilations: Sequence[int] | None = None,
        scale_bound: float | None = None,
        recompute: bool = False,
        gain: float = 1.0,
        mel_mean: float = 0.0,
        mel_std: float = 1.0,
    ):
        if height < 2 or n_flows < 1 or n_layers < 1:
            raise ValueError(
                f"expected height >= 2, n_flows >= 1 and n_layers >= 1, got {height}, {n_flows}, {n_layers}"
            )
        dilations = height_dilations(height, n_layers) if dilations is None else list(dilations)
        if len(dilations) != n_layers:
            raise ValueError(f"expected one height dilation for each of {n_layers} layers, got {len(dilations)}")
        upsample = MelUpsampler(hop_factors(hop_length) if factors is None else tuple(factors))
        if upsample.hop_length != hop_length:
            raise ValueError(f"the factors {list(factors)} make a hop of {upsample.hop_length}, not {hop_length}")
        order, layers = torch.arange(height), []
        for permuted in flow_permutations(height, n_flows, permutation):
            net = RowNet(channels, dilations, n_mels, scale_bound)
            layers += [RowAutoregressive(net, order, recompute), Permutation(permuted)]
            order = order[permuted]
        standardize = Standardize(gain, mel_mean, mel_std)
        super().__init__(Compose(layers), upsample, height, n_mels, standardize=standardize)
        self.register_buffer("latent_order", order, persistent=False)
        self.cache = ParameterCache()

    def _in_latent_order(self, valid):
        return None if valid is None else valid[:, self.latent_order]

    def _generate(self, z, condition, how):
        """All flows on one packing of the clips under `torch.no_grad`; one by one for autograd or a compiler."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return super()._generate(z, condition, how)
        device = z.device.type
        if how.dtype is None and torch.is_autocast_enabled(device):
            how = how._replace(dtype=torch.get_autocast_dtype(device))
        with autocast_off(z):
            return self.row_synthesis(how)(z, condition)

    def row_synthesis(self, how: Execution) -> RowSynthesis:
        """The present weights ready for synthesis."""

        def build() -> RowSynthesis:
            flows = [layer for layer in self.transform if isinstance(layer, RowAutoregressive)]
            orders = [order.tolist() for order in (*(flow.order for flow in flows), self.latent_order)]
            return RowSynthesis([flow.sampler(how.dtype) for flow in flows], orders, how)

        return self.cache.get(str(how), self.transform.parameters(), build)
