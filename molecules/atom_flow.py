"""The atoms' half of MoFlow: couplings that map one atom given the bonds and all other atoms."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowsuite.core.layers.actnorm import ActNorm
from flowsuite.core.layers.coupling import MaskedCoupling
from flowsuite.core.layers.elementwise import Affine
from flowsuite.core.layers.scale import make_scale
from flowsuite.core.transform import Compose
from flowsuite.molecules.tables import BOND_CHANNELS
from flowsuite.molecules.vocabulary import NO_BOND


def adjacency(classes: Tensor, dtype: torch.dtype) -> Tensor:
    """Bond classes (B, N, N) as weights of messages (B, 4, N, N): 1 along bonds, 1 / N where there is none.

    The published code divides all four by N, which leaves little of the bonds where molecules are large.
    """
    weights = F.one_hot(classes, BOND_CHANNELS).movedim(-1, 1).to(dtype)
    weights[:, NO_BOND] /= classes.shape[1]
    return weights


class RelationalLayer(nn.Module):
    """`h_i' = ReLU(norm(W [h_i; sum_j A_1ij h_j; ...; sum_j A_4ij h_j] + b))`: one matrix for each class of bond and
    one for the atom itself, and a layer norm in place of the published batch norm."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__()
        self.linear = nn.Linear((1 + BOND_CHANNELS) * in_features, out_features)
        self.norm = nn.LayerNorm(out_features)

    def forward(self, rows: Tensor, h: Tensor, weights: Tensor) -> Tensor:
        """Of `rows` (B, R, F) of the atoms `h` (B, N, F), with their `weights` (B, 4, R, N): (B, R, out)."""
        messages = torch.einsum("brij,bjf->birf", weights, h).flatten(2)
        return F.relu(self.norm(self.linear(torch.cat((rows, messages), dim=2))))


class AtomNet(nn.Module):
    """Parameters of one atom's affine map, given the bonds and all other atoms.

    A relational graph network, then a perceptron. A constant feature joins the atoms, so that the sum over the bonds
    of an atom tells its valence. Of the last graph layer, and of the perceptron, only the one row is evaluated.

    Args:
        row: place of the atom.
        features: K numbers of an atom.
        gnn: widths of the graph layers, at least one.
        linear: widths of the perceptron's hidden layers.
        n_params: numbers for each of the K.
    """

    def __init__(self, row: int, features: int, gnn: Sequence[int], linear: Sequence[int], n_params: int = 2):
        super().__init__()
        self.row, self.features, self.n_params = row, features, n_params
        self.graph = nn.ModuleList(RelationalLayer(a, b) for a, b in pairwise([features + 1, *gnn]))
        hidden = [
            layer for a, b in pairwise([gnn[-1], *linear]) for layer in (nn.Linear(a, b), nn.LayerNorm(b), nn.ReLU())
        ]
        self.mlp = nn.Sequential(*hidden, nn.Linear([*gnn, *linear][-1], n_params * features))
        nn.init.zeros_(self.mlp[-1].weight)
        nn.init.zeros_(self.mlp[-1].bias)

    def forward(self, kept: Tensor, weights: Tensor) -> Tensor:
        """`kept` (B, N, K) with zeros in the row, `weights` (B, 4, N, N): (B, P N, K), zero for all other atoms."""
        h = torch.cat((kept, kept.new_ones(kept.shape[:2])[:, :, None]), dim=2)
        row = slice(self.row, self.row + 1)
        *inner, last = self.graph
        for layer in inner:
            h = layer(h, h, weights)
        params = self.mlp(last(h[:, row], h, weights[:, :, row]))
        full = params.new_zeros(kept.shape[0], self.n_params, *kept.shape[1:])
        full[:, :, self.row] = params.unflatten(2, (self.n_params, self.features))[:, 0]
        return full.flatten(1, 2)


def atom_flow(
    max_atoms: int, features: int, flows: int, gnn: Sequence[int], linear: Sequence[int], scale: str
) -> Compose:
    """`flows` times: actnorm of every place, then a coupling that maps place `k mod N`; x (B, N, K), with `adjacency`
    as context (arXiv 2006.10137, section 4.3)."""
    steps = []
    for k in range(flows):
        row = k % max_atoms
        kept = torch.ones(max_atoms, 1)
        kept[row] = 0
        net = AtomNet(row, features, gnn, linear)
        steps += [ActNorm(max_atoms), MaskedCoupling(kept, net, Affine(make_scale(scale)), conditional=True)]
    return Compose(steps)
