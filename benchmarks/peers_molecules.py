"""GraphAF by the public code's two strategies: dense masked copies for densities, one molecule at a time to sample."""

from __future__ import annotations

import math

import torch
from rdkit import Chem, RDLogger
from torch import Tensor, nn

from flowsuite.molecules.graphaf import GraphAF
from flowsuite.molecules.vocabulary import NO_BOND

BONDS = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE)


class AffineNet(nn.Module):
    """The net of one affine layer: `(s, t)` of the condition, `s = e^w tanh`."""

    def __init__(self, decision, layer: int):
        super().__init__()
        rows = slice(layer * decision.hidden, (layer + 1) * decision.hidden)
        first, last = decision.first.linear, decision.last[layer]
        self.linear1, self.linear2 = nn.Linear(first.in_features, decision.hidden), nn.Linear(*last.shape)
        values = (first.weight[rows], first.bias[rows], last.T, decision.last_bias[layer])
        for parameter, value in zip(self.parameters(), values, strict=True):
            parameter.data = value.detach().clone()
        self.rescale = nn.Parameter(decision.rescale[layer].detach().clone())

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self.linear2(self.linear1(condition).tanh()).chunk(2, dim=-1)
        return self.rescale.exp() * s.tanh(), t


class DenseGraphAF(nn.Module):
    """The network of a `GraphAF` (rgcn, affine with scale exp, no STOP), on padded graphs, with weights copied from it.

    Densities expand each molecule into T = N + E masked copies, one for each decision, padding included.
    """

    def __init__(self, flow: GraphAF):
        super().__init__()
        self.vocabulary, self.n, self.window = flow.vocabulary, flow.max_atoms, flow.window
        encoder = flow.conditioner
        self.embedding = nn.Parameter(encoder.embedding.detach().clone())
        self.convs = nn.ParameterList(nn.Parameter(conv.weight.detach().clone()) for conv in encoder.convs)
        self.norm = nn.BatchNorm1d(encoder.atom_features, dtype=encoder.embedding.dtype)
        self.norm.load_state_dict(encoder.norm.state_dict())
        self.node_nets, self.edge_nets = (
            nn.ModuleList(AffineNet(decision, layer) for layer in range(decision.layers))
            for decision in (flow.atom_decision, flow.edge_decision)
        )
        for name, mask in zip(("pairs", "node_mask", "bond_mask"), self._masks(), strict=True):
            self.register_buffer(name, mask)
        self.to(encoder.embedding).train(flow.training)

    def _masks(self) -> tuple[Tensor, Tensor, Tensor]:
        """`pairs` (E, 2) of (j, i), and what each decision sees: atoms (T, N), bonds (T, N, N), self-loops included."""
        n = self.n
        pairs = [(j, i) for i in range(n) for j in range(max(0, i - self.window), i)]
        atoms, bonds = torch.zeros(n + len(pairs), n), torch.zeros(n + len(pairs), n, n)
        for i in range(n):
            atoms[i, :i], bonds[i, :i, :i] = 1, 1
        for step, (j, i) in enumerate(pairs, n):
            atoms[step, : i + 1], bonds[step, :i, :i] = 1, 1
            bonds[step, i, :j], bonds[step, :j, i], bonds[step, i, i] = 1, 1, 1
        return torch.tensor(pairs), atoms, bonds

    def encode(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """Atom vectors (G, N, d) of graphs x (G, N, A), adjacency (G, 3, N, N) with self-loops."""
        h = x @ self.embedding
        for layer, weight in enumerate(self.convs):
            messages = adjacency @ torch.einsum("gni,rio->grno", h, weight)
            h = (messages.relu() if layer < len(self.convs) - 1 else messages).sum(1)
        return self.norm(h.flatten(0, 1)).view_as(h)

    def log_prob(self, x: Tensor, adjacency: Tensor, y_node: Tensor, y_edge: Tensor) -> Tensor:
        """(B,) nats of dequantised `y_node` (B, N, A), `y_edge` (B, E, 4), given clean x, adjacency (B, 3, N, N)."""
        batch, n = x.shape[:2]
        loops = adjacency + torch.eye(n, dtype=x.dtype, device=x.device)
        copies = (x[:, None] * self.node_mask[..., None]).flatten(0, 1)
        h = self.encode(copies, (loops[:, None] * self.bond_mask[:, None]).flatten(0, 1)).unflatten(0, (batch, -1))
        g, of_edges = h.sum(2), h[:, n:]
        step = torch.arange(len(self.pairs), device=x.device)
        ends = [of_edges[:, step, self.pairs[:, end]] for end in (0, 1)]
        node = self._log_density(self.node_nets, g[:, :n], y_node)
        return node + self._log_density(self.edge_nets, torch.cat((*ends, g[:, n:]), 2), y_edge)

    @staticmethod
    def _log_density(nets: nn.ModuleList, condition: Tensor, z: Tensor) -> Tensor:
        total = 0.0
        for net in nets:
            s, t = net(condition)
            z, total = (z + t) * s.exp(), total + s
        return (total - 0.5 * (z.square() + math.log(2 * math.pi))).sum((1, 2))

    @staticmethod
    def _invert(nets: nn.ModuleList, condition: Tensor, z: Tensor) -> Tensor:
        for net in reversed(nets):
            s, t = net(condition)
            z = z * (-s).exp() - t
        return z

    @torch.no_grad()
    def sample_one(self, node_noise: Tensor, edge_noise: Tensor) -> Chem.RWMol:
        """One molecule from noise (N, A), and (draws, 4) with one row for each draw of a bond, redraws included.

        Every draw evaluates the whole network anew; RDKit judges every bond.
        """
        RDLogger.DisableLog("rdApp.*")
        n, like = self.n, self.embedding
        x, adjacency = like.new_zeros(1, n, len(self.vocabulary)), torch.eye(n).to(like).repeat(1, 3, 1, 1)
        mol, draws = Chem.RWMol(), iter(edge_noise)
        for i in range(n):
            g = self.encode(x, adjacency).sum(1)
            kind = int(self._invert(self.node_nets, g, node_noise[i][None]).argmax())
            x[0, i, kind] = 1
            mol.AddAtom(Chem.Atom(self.vocabulary.atoms[kind][0]))
            bonded = i == 0
            for j in range(max(0, i - self.window), i):
                bonded |= self._bond(x, adjacency, mol, j, i, draws)
            if not bonded:
                mol.RemoveAtom(i)
                break
        return mol

    def _bond(self, x: Tensor, adjacency: Tensor, mol: Chem.RWMol, j: int, i: int, draws) -> bool:
        refused: set[int] = set()
        for _ in range(51):
            h = self.encode(x, adjacency)
            condition = torch.cat((h[:, j], h[:, i], h.sum(1)), 1)
            kind = int(self._invert(self.edge_nets, condition, next(draws)[None]).argmax())
            if kind == NO_BOND:
                return False
            mol.AddBond(i, j, BONDS[kind])
            if Chem.SanitizeMol(mol, Chem.SANITIZE_PROPERTIES, catchErrors=True) == Chem.SANITIZE_NONE:
                adjacency[0, kind, i, j] = adjacency[0, kind, j, i] = 1
                return True
            mol.RemoveBond(i, j)
            refused.add(kind)
            if len(refused) == NO_BOND:
                return False
        return False


def dense_inputs(atoms: Tensor, bonds: Tensor, n: int, classes: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """`(x (B, n, A), adjacency (B, 3, n, n))` of dense molecules, see `PackedMolecules.dense`."""
    more = n - atoms.shape[1]
    atoms = nn.functional.pad(atoms, (0, more), value=-1)
    bonds = nn.functional.pad(bonds, (0, more, 0, more))
    kinds = torch.arange(classes, device=atoms.device)
    orders = torch.arange(1, NO_BOND + 1, device=atoms.device)[:, None, None]
    return (atoms[..., None] == kinds).to(dtype), (bonds[:, None] == orders).to(dtype)
