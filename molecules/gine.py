"""Our conditioner: a deep graph network with edge features, normalised row by row."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.nn import GINEConv
from torch_geometric.utils import scatter

from flowsuite.molecules.graphs import MAX_AGE, StateGraphs
from flowsuite.molecules.rgcn import Encoded
from flowsuite.molecules.state import LARGEST_RING
from flowsuite.molecules.vocabulary import BOND_NAMES

LARGEST_VALENCE = 8


class GINE(nn.Module):
    """Atom and graph vectors of partly built molecules by GINE (arXiv 1905.12265) with residuals and layer norms.

        h_0 = embeddings of atom class, valence left, ring size, age and place beside the breadth-first frontier
        h <- h + MLP(LN((1 + eps) h_v + sum_{u in N(v)} ReLU(h_u + bond_vu)))
        g = MLP([mean of h, sum of h / 8, h of the newest atom, embedding of the size])

    Layer norms see one atom at a time: nothing depends on the rest of the batch, on padding, or on a largest size.

    Args:
        n_classes: atom classes A.
        hidden: d, the width of all layers and of atom and graph vectors.
        layers: graph convolutions.
        max_atoms: size up to which sizes are told apart.
        context_features: numbers that describe the wanted molecule, 0 for none; they join every atom and the readout.
    """

    def __init__(
        self, n_classes: int, hidden: int = 128, layers: int = 4, max_atoms: int = 38, context_features: int = 0
    ):
        super().__init__()
        if layers < 1:
            raise ValueError(f"GINE needs at least 1 layer, got {layers}")
        self.max_atoms = max_atoms
        sizes = (n_classes, LARGEST_VALENCE + 1, LARGEST_RING + 1, MAX_AGE + 1, 3)
        self.embeddings = nn.ModuleList(nn.Embedding(size, hidden) for size in sizes)
        self.bond = nn.ModuleList(nn.Embedding(len(BOND_NAMES), hidden) for _ in range(layers))
        self.convs = nn.ModuleList(GINEConv(self._mlp(hidden), train_eps=True) for _ in range(layers))
        self.size = nn.Embedding(max_atoms + 1, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.readout = nn.Sequential(nn.Linear(4 * hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden))
        self.context_features = context_features
        if context_features:
            self.atom_context = nn.Linear(context_features, hidden)
            self.graph_context = nn.Linear(context_features, hidden)
        self.atom_features = self.graph_features = hidden

    @staticmethod
    def _mlp(hidden: int) -> nn.Sequential:
        return nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, 2 * hidden), nn.SiLU(), nn.Linear(2 * hidden, hidden)
        )

    def forward(self, graphs: StateGraphs, context: Tensor | None = None) -> Encoded:
        valence = graphs.valence_left.clamp(0, LARGEST_VALENCE)
        features = (graphs.atom, valence, graphs.ring, graphs.age, graphs.frontier)
        h = sum(embed(feature) for embed, feature in zip(self.embeddings, features, strict=True))
        if self.context_features:
            h = h + self.atom_context(context)[graphs.molecule][graphs.batch]
        for conv, bond in zip(self.convs, self.bond, strict=True):
            h = h + conv(h, graphs.edge_index, bond(graphs.edge_type))
        h = self.norm(h)
        newest, padding = graphs.newest(), h.new_zeros(h.shape[1])
        g = self.readout(self._summary(h, graphs, torch.cat((h, padding[None]))[newest]))
        if self.context_features:
            g = g + self.graph_context(context)[graphs.molecule]
        return Encoded(h, g, newest, padding)

    def _summary(self, h: Tensor, graphs: StateGraphs, newest: Tensor) -> Tensor:
        total = scatter(h, graphs.batch, dim=0, dim_size=graphs.num_graphs, reduce="sum")
        mean = total / graphs.size.clamp_min(1)[:, None]
        return torch.cat((mean, total / 8, newest, self.size(graphs.size.clamp_max(self.max_atoms))), dim=1)
