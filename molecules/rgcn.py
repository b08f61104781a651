"""The published conditioner: a relational graph convolution on partly built molecules."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing
from torch_geometric.utils import scatter

from flowsuite.core.numerics import at_least_float32, autocast_off
from flowsuite.molecules.graphs import StateGraphs
from flowsuite.molecules.vocabulary import BOND_NAMES

RELATIONS = len(BOND_NAMES)


class Encoded(NamedTuple):
    """What a conditioner says of S graphs with R atoms: `atoms` (R, d), `graphs` (S, d_g), `newest` (S,) rows of the
    newest atoms, R in an empty graph, and `padding` (d,), what a row without an atom gets."""

    atoms: Tensor
    graphs: Tensor
    newest: Tensor
    padding: Tensor


class RelationalConv(MessagePassing):
    """`h_v <- sum_r act(h_v W_r + sum_{u in N_r(v)} h_u W_r)` over the bond types r (arXiv 2001.09382, public code).

    No bias and no degree normalisation, as in the code; the activation is inside the sum.
    """

    def __init__(self, in_features: int, out_features: int, activate: bool):
        super().__init__(aggr="sum")
        self.weight = nn.Parameter(torch.empty(RELATIONS, in_features, out_features))
        nn.init.xavier_uniform_(self.weight)
        self.activate = activate

    def forward(self, h: Tensor, edge_index: Tensor, edge_type: Tensor) -> Tensor:
        h = torch.einsum("vi,rio->vro", h, self.weight)
        rows, relations, width = h.shape
        flat = h.reshape(rows * relations, width)  # a copy of each atom a relation: bonds stay within theirs
        m = self.propagate(edge_index * relations + edge_type, x=flat)
        return (m.relu() if self.activate else m).view(rows, relations, width).sum(1)

    def aggregate(self, inputs: Tensor, index: Tensor, x: Tensor) -> Tensor:
        """Messages are added to the atoms' own terms, which saves a tensor of zeros and a sum."""
        return x.index_add(0, index, inputs)


class CountedBatchNorm(nn.BatchNorm1d):
    """Batch norm over atoms that stand for several equal rows each, and over rows of zeros that are not there.

    Training statistics are those of the expanded batch: mean and biased variance for normalising, the unbiased
    variance for the running estimate.
    """

    def expanded(self, h: Tensor, counts: Tensor, zeros: Tensor) -> tuple[Tensor, Tensor]:
        """`(h (R, d), what a row of zeros becomes (d,))`: row r counts `counts[r]` times, zeros `zeros` times."""
        h = at_least_float32(h)
        if self.training:
            counts = counts.to(h.dtype)
            total = counts.sum() + zeros
            with autocast_off(h):
                mean = (counts @ h) / total
                var = (counts @ (h - mean).square() + zeros * mean.square()) / total
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
                self.running_var.lerp_((var * total / (total - 1).clamp_min(1)).to(self.running_var), self.momentum)
        else:
            mean, var = self.running_mean, self.running_var
        scale = self.weight * (var + self.eps).rsqrt()
        return (h - mean) * scale + self.bias, self.bias - mean * scale


class RGCN(nn.Module):
    """Atom and graph vectors of partly built molecules, as published (arXiv 2001.09382).

        h_0 = onehot(atom) W_0,   h_{l+1} = sum_r ReLU((A_r + I) h_l W_{l,r}),   the last layer without ReLU,
        g = sum over the rows of h.

    With `batch_norm="reference"` the rows that have no atom yet, N - size of them, become non-zero in the batch norm
    and join the sum, as in the public code: the condition then depends on N, and so do the training statistics, over
    every copy of every row. "masked" normalises real atoms only, each state counted once, and sums real atoms.

    Args:
        n_classes: atom classes A.
        hidden: width of the inner layers.
        out: width of atom and graph vectors, d.
        layers: graph convolutions, at least 2.
        batch_norm: "masked", "reference" or None.
        max_atoms: N, of "reference".
    """

    def __init__(
        self,
        n_classes: int,
        hidden: int = 128,
        out: int = 128,
        layers: int = 3,
        batch_norm: str | None = "masked",
        max_atoms: int = 38,
    ):
        super().__init__()
        if layers < 2:
            raise ValueError(f"an RGCN needs at least 2 layers, got {layers}")
        if batch_norm not in ("masked", "reference", None):
            raise ValueError(f'batch_norm must be "masked", "reference" or null, got {batch_norm!r}')
        self.embedding = nn.Parameter(torch.empty(n_classes, n_classes))
        nn.init.xavier_uniform_(self.embedding)
        widths = [n_classes, *[hidden] * (layers - 1), out]
        self.convs = nn.ModuleList(
            RelationalConv(a, b, activate=i < layers - 1) for i, (a, b) in enumerate(pairwise(widths))
        )
        self.norm = None if batch_norm is None else CountedBatchNorm(out)
        self.batch_norm, self.max_atoms = batch_norm, max_atoms
        self.atom_features = self.graph_features = out

    def forward(self, graphs: StateGraphs, context: Tensor | None = None) -> Encoded:
        h = self.embedding[graphs.atom]
        for conv in self.convs:
            h = conv(h, graphs.edge_index, graphs.edge_type)
        absent = h.new_zeros(h.shape[1])
        reference = self.batch_norm == "reference"
        if self.norm is not None:
            h, absent = self.norm.expanded(h, *self._counts(graphs, reference))
        g = scatter(h, graphs.batch, dim=0, dim_size=graphs.num_graphs, reduce="sum")
        if reference:
            g = g + (self.max_atoms - graphs.size)[:, None] * absent
        return Encoded(h, g, graphs.newest(), absent)

    def _counts(self, graphs: StateGraphs, reference: bool) -> tuple[Tensor, Tensor]:
        """How often each row, and a row without an atom, stands in the batch that is normalised."""
        size = graphs.size
        if not reference or graphs.multiplicity is None:
            return torch.ones_like(graphs.atom), size.new_zeros(())
        copies = graphs.multiplicity
        return copies[graphs.batch], (copies * (self.max_atoms - size)).sum()
