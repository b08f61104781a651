"""All flows of a WaveFlow backwards, row by row: eagerly, or on static buffers of a few widths."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from flowsuite.audio.conditioning import Conditioning
from flowsuite.audio.execution import DEFAULT, Execution
from flowsuite.audio.packed_columns import PackedColumns
from flowsuite.audio.row_sampler import RowSampler, gated_layer
from flowsuite.audio.static_call import StaticCall

NARROWEST = 256
WIDEST = 2**17  # columns, 95 s at 22,050 Hz and height 16: beyond, launching kernels is not what takes the time
KEPT = 8  # graphs
RECOMPILATIONS = 128  # three a width (the first layer, the last, the others): enough for every bucket


def bucket(columns: int) -> int:
    """The width that so many columns are padded to: 256, 320, 384, 448, 512, 640, ...: four to a power of two.

    At most a quarter more, an eighth on average, and always a multiple of 64.
    """
    if columns <= NARROWEST:
        return NARROWEST
    step = 2 ** ((columns - 1).bit_length() - 3)
    return -(-columns // step) * step


class RowLoop:
    """The loop over flows and rows, on columns that lie side by side.

    Args:
        samplers: of the flows, in encoding order.
        orders: the row of the squeezed waveform that is row i of each flow, and last of the latent.
        compiled: `torch.compile` the layers for every width.
    """

    def __init__(self, samplers: Sequence[RowSampler], orders: Sequence[list[int]], compiled: bool = False):
        self.samplers, self.orders, self.compiled = list(samplers), list(orders), compiled
        self.layer = torch.compile(gated_layer, dynamic=False) if compiled else gated_layer

    def __call__(self, z: Tensor, mel: Tensor, there: Tensor | None) -> Tensor:
        """x (height, columns), its rows in order.

        Args:
            z: (height, columns), rows in the order of the latent.
            mel: (n_mels, height, columns) in the precision of the samplers, rows in order.
            there: (height, columns), likewise: 1 where a sample is and 0 elsewhere; None for all ones.
        """
        with torch._dynamo.config.patch(recompile_limit=RECOMPILATIONS) if self.compiled else nullcontext():
            return self._run(z, mel, there)

    def _run(self, z: Tensor, mel: Tensor, there: Tensor | None) -> Tensor:
        x = list(z)
        for row, place in zip(z, self.orders[-1], strict=True):
            x[place] = row
        mask = None if there is None else there.amax(0)
        for sampler, order in zip(reversed(self.samplers), reversed(self.orders[:-1]), strict=True):
            given = None if there is None else [there[i] for i in order]
            made, _ = sampler.rows([x[i] for i in order], [mel[:, i] for i in order], given, mask, self.layer)
            for row, place in zip(made, order, strict=True):
                x[place] = row
        return torch.stack(x)


class RowSynthesis:
    """The squeezed waveform of a latent.

    Clips lie side by side (`PackedColumns`). Where shapes are to be static there are empty columns behind the last
    clip. Those are like gaps between clips: what enters a convolution is multiplied by 0 there in every layer, so that
    clips see the zeros that are around them when they are alone.

    A graph holds the whole loop over flows and rows: the place of a row in the rings is then a constant of the graph.
    So are the weights' addresses: an object of this class is good for one set of weights.

    Args:
        samplers, orders: see `RowLoop`.
        how: `Execution`; its precision is that of the samplers.
        static: pad to a `bucket` and run on static buffers; None: where a graph or a compilation profits from it.
    """

    def __init__(
        self,
        samplers: Sequence[RowSampler],
        orders: Sequence[list[int]],
        how: Execution = DEFAULT,
        static: bool | None = None,
    ):
        self.loop = RowLoop(samplers, orders, how.compiled)
        self.dtype, self.gap = samplers[0].dtype, samplers[0].gap
        self.how, self.static = how, static
        self.calls: OrderedDict[tuple[int, torch.dtype], StaticCall] = OrderedDict()

    @torch.no_grad()
    def __call__(self, z: Tensor, context: Conditioning) -> Tensor:
        """(B, height, width) from standard latents of that shape, zero where no sample is."""
        valid, static = context.valid, self._is_static(z)
        columns = PackedColumns(valid, len(z), z.shape[2], self.gap, bucket if static else None)
        rows, mel = columns.pack(z), columns.pack(context.mel.to(self.dtype))
        mask = columns.mask(z)
        there = None if mask is None else mask.expand(z.shape[1], -1)
        if valid is not None:
            there = columns.pack(valid.to(z.dtype))
        if not static or columns.size > WIDEST:
            return columns.unpack(self.loop(rows, mel, there))
        there = torch.ones_like(rows) if there is None else there
        return columns.unpack(self._call(rows, mel, there)).clone()

    def _is_static(self, z: Tensor) -> bool:
        if self.static is not None:
            return self.static
        graphs = z.is_cuda and self.how.graphs and not torch.cuda.is_current_stream_capturing()
        return self.how.compiled or graphs

    def _call(self, *inputs: Tensor) -> Tensor:
        """The loop on the static buffers of this width; those used longest ago go."""
        key = inputs[0].shape[-1], inputs[0].dtype
        if key not in self.calls:
            self.calls[key] = StaticCall(self.loop, inputs, capture=self.how.graphs)
        self.calls.move_to_end(key)
        while len(self.calls) > KEPT or (len(self.calls) > 1 and sum(width for width, _ in self.calls) > WIDEST):
            self.calls.popitem(last=False)
        return self.calls[key](*inputs)
