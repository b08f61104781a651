"""The first linear layer of every decision's network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.molecules.prefix import Steps
from flowsuite.molecules.rgcn import Encoded
from flowsuite.molecules.state import UNREACHABLE

LONGEST_PATH = 12  # longer ones are told as this long
LONGEST_SPAN = 16


class ContextLinear(nn.Module):
    """A linear map of the condition: of `g` for an atom, of `[h_j; h_i; g]` for a bond from the newest atom i to j.

    `h_i` and `g` belong to a state, which many decisions share, so their part is computed once a state and gathered.

    Args:
        encoder: the conditioner, for its sizes.
        bond: whether the decision is about a bond.
        out: features out.
        paths: add learned vectors of the path length between i and j, by which a ring's size is known before it is
            closed, and of i - j.
    """

    def __init__(self, encoder: nn.Module, bond: bool, out: int, paths: bool = False):
        super().__init__()
        d = encoder.atom_features
        self.sizes = [d, d, encoder.graph_features] if bond else [encoder.graph_features]
        self.linear = nn.Linear(sum(self.sizes), out)
        self.paths = paths and bond
        if self.paths:
            self.path = nn.Embedding(LONGEST_PATH + 2, out)
            self.span = nn.Embedding(LONGEST_SPAN + 1, out)
            nn.init.normal_(self.path.weight, std=0.1)
            nn.init.normal_(self.span.weight, std=0.1)

    def forward(self, encoded: Encoded, steps: Steps) -> Tensor:
        weights = self.linear.weight.split(self.sizes, dim=1)
        of_graph = F.linear(encoded.graphs, weights[-1], self.linear.bias)
        if len(weights) == 1:
            return of_graph[steps.state]
        atoms = torch.cat((encoded.atoms, encoded.padding[None]))
        if steps.newest is None:
            shared = (of_graph + F.linear(atoms[encoded.newest], weights[1]))[steps.state]
        else:
            shared = of_graph[steps.state] + F.linear(atoms[steps.newest], weights[1])
        out = torch.addmm(shared, atoms[steps.earlier], weights[0].T)
        if self.paths:
            path = steps.distance.clamp_max(LONGEST_PATH).masked_fill(steps.distance >= UNREACHABLE, LONGEST_PATH + 1)
            out = out + self.path(path) + self.span(steps.span.clamp_max(LONGEST_SPAN))
        return out
