"""MoFlow: molecules in one shot, a Glow on the bonds and a graph-conditional flow on the atoms."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch

from flowsuite.core.distributions import StandardNormal
from flowsuite.core.flow import Flow
from flowsuite.core.layers.actnorm import ActNorm
from flowsuite.core.layers.conv1x1 import InvertibleConv1x1, InvertibleConv1x1LU
from flowsuite.core.layers.coupling import Coupling
from flowsuite.core.layers.elementwise import Affine
from flowsuite.core.layers.flow_step import FlowStep, FlowSteps
from flowsuite.core.layers.scale import make_scale
from flowsuite.core.layers.squeeze import Squeeze2d
from flowsuite.core.nets.conv import GlowNet
from flowsuite.core.numerics import sum_over_event
from flowsuite.core.transform import Compose, Inverse, Transform
from flowsuite.molecules.atom_flow import adjacency, atom_flow
from flowsuite.molecules.correction import largest_fragment, lower_bonds
from flowsuite.molecules.packed import PackedMolecules, permute
from flowsuite.molecules.sampler import Generated
from flowsuite.molecules.tables import (
    BOND_CHANNELS,
    GraphDequantize,
    bond_classes,
    split_numbers,
    split_table,
    table_of,
)
from flowsuite.molecules.vocabulary import Vocabulary

MIXERS = {"conv1x1": InvertibleConv1x1, "conv1x1_lu": InvertibleConv1x1LU}


def bond_flow(fold: int, flows: int, width: int, permutation: str, scale: str) -> Compose:
    """Glow on (B, 4, N, N): one squeeze by `fold`, flow steps, and back; without a mixer the couplings take turns."""
    channels = BOND_CHANNELS * fold**2
    half = channels // 2

    def coupling(swap: bool = False) -> Coupling:
        return Coupling(GlowNet(half, 2 * half, width), Affine(make_scale(scale)), swap)

    if permutation == "swap":
        pairs = [(ActNorm(channels), coupling(swap=bool(k % 2))) for k in range(flows)]
        steps = Compose([layer for pair in pairs for layer in pair])
    else:
        mixer = MIXERS[permutation]
        steps = FlowSteps([FlowStep(ActNorm(channels), mixer(channels), coupling()) for _ in range(flows)])
    squeeze = Squeeze2d(fold=fold)
    return Compose([squeeze, steps, Inverse(squeeze)])


class GraphFlow(Transform):
    """Bonds and atoms to standard noise: `z = (f(bonds), g(atoms; graph(bonds))) exp(-s)`, flat (B, D) both ways.

    `graph` decodes the bonds to a graph, by symmetrising and argmax: constant almost everywhere, so that the Jacobian
    has two blocks. The scalar s, the log of the published one learned standard deviation, makes the latent standard.

    Args:
        max_atoms: N.
        bonds: f, on (B, 4, N, N).
        atoms: g, on (B, N, A + 1), with an `adjacency` as context.
        learn_scale: learn s; else it stays 0.
    """

    def __init__(self, max_atoms: int, bonds: Transform, atoms: Transform, learn_scale: bool = True):
        super().__init__()
        self.max_atoms, self.bonds, self.atoms = max_atoms, bonds, atoms
        self.log_std = nn.Parameter(torch.zeros(()), requires_grad=learn_scale)

    def forward_parts(self, y: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """`(z, ladj)` of the bonds, and of the atoms."""
        bonds, atoms = split_numbers(y, self.max_atoms)
        graph = adjacency(bond_classes(bonds.detach()), y.dtype)
        return self._scaled(*self.bonds(bonds)), self._scaled(*self.atoms(atoms, graph))

    def _scaled(self, z: Tensor, ladj: Tensor) -> tuple[Tensor, Tensor]:
        z = z.flatten(1) * (-self.log_std).exp()
        return z, ladj - z.shape[1] * self.log_std

    def forward(self, x, context=None):
        (bonds, bonds_ladj), (atoms, atoms_ladj) = self.forward_parts(x)
        return torch.cat((bonds, atoms), dim=1), bonds_ladj + atoms_ladj

    def inverse(self, z, context=None):
        bonds, atoms = split_numbers(z * self.log_std.exp(), self.max_atoms)
        bonds, bonds_ladj = self.bonds.inverse(bonds)
        atoms, atoms_ladj = self.atoms.inverse(atoms, adjacency(bond_classes(bonds), z.dtype))
        scaled = z.shape[1] * self.log_std
        return torch.cat((bonds.flatten(1), atoms.flatten(1)), dim=1), bonds_ladj + atoms_ladj + scaled

    def generate(self, z, context=None):
        bonds, atoms = split_numbers(z * self.log_std.exp(), self.max_atoms)
        bonds = self.bonds.generate(bonds)
        atoms = self.atoms.generate(atoms, adjacency(bond_classes(bonds), z.dtype))
        return torch.cat((bonds.flatten(1), atoms.flatten(1)), dim=1)


class MoFlow(Flow):
    """One-shot flow on molecular graphs (MoFlow, arXiv 2006.10137).

        log p(G) = log p(bonds) + log p(atoms | bonds)

    of the tensors `bonds` (4, N, N) and `atoms` (N, A + 1) in a given order of the atoms. Places in the tensors have
    parameters of their own, so the density depends on that order; the published one is that of the SMILES (`order:
    file` of the data). Densities are a lower bound, by one draw of the dequantisation noise, see `GraphDequantize`.

    Sampling decodes by argmax and, unless told not to, corrects: bonds of over-valent atoms are lowered, see
    `lower_bonds`, then the largest fragment is kept. What comes out is always a molecule.

    Other than in the published code: log-determinants count the mapped atom only (there, all rows of its net's output);
    densities in evaluation have the noise too; conditioners are normalised by actnorm and layer norm rather than batch
    norm, and the bonds' one is Glow's (3x3, 1x1, 3x3); messages along bonds are not divided by N.

    Shapes: molecules (B, N, 1 + N), integers, as `expand` makes them of PyG batches; latents (B, D) standard normal,
    bonds first, `D = 4 N^2 + N (A + 1)`.

    Args:
        atoms: atom classes, or the name of a preset, see `Vocabulary`.
        max_atoms: N.
        squeeze: side of the cells of bonds that become channels; divides N. 3 for QM9, 19 for ZINC250k, there.
        bond_flows: flow steps on the bonds.
        bond_width: hidden channels of their couplings.
        permutation: between these, "conv1x1_lu", "conv1x1" or "swap" (the halves take turns).
        atom_flows: couplings on the atoms; the k-th maps the atom at place k mod N, so that less than N of them leave
            some atoms unmapped.
        atom_gnn: widths of their graph layers.
        atom_linear: hidden widths of the perceptrons behind.
        noise: c of `GraphDequantize`.
        scale: scale map of all couplings, see `flowsuite.core.layers.scale.SCALES`.
        learn_scale: one learned scale of the whole latent.
    """

    properties: tuple[str, ...] = ()

    def __init__(
        self,
        atoms: Sequence[str] | str = "qm9-charged",
        max_atoms: int = 9,
        squeeze: int = 3,
        bond_flows: int = 10,
        bond_width: int = 128,
        permutation: str = "conv1x1_lu",
        atom_flows: int = 27,
        atom_gnn: Sequence[int] = (64,),
        atom_linear: Sequence[int] = (128, 64),
        noise: float = 0.6,
        scale: str = "sigmoid",
        learn_scale: bool = True,
    ):
        vocabulary = Vocabulary(atoms)
        counts = {"max_atoms": max_atoms, "squeeze": squeeze, "bond_flows": bond_flows, "bond_width": bond_width}
        counts["atom_flows"] = atom_flows
        for name, widths in (("atom_gnn", atom_gnn), ("atom_linear", atom_linear)):
            counts |= {f"{name}[{i}]": width for i, width in enumerate(widths)}
        for name, value in counts.items():
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not atom_gnn:
            raise ValueError("atom_gnn needs the width of at least one graph layer, got none")
        if max_atoms % squeeze:
            raise ValueError(f"squeeze must divide max_atoms, got {squeeze} and {max_atoms}")
        if permutation not in (*MIXERS, "swap"):
            raise ValueError(f"permutation must be one of {', '.join(MIXERS)}, swap, got {permutation!r}")
        dequantize = GraphDequantize(max_atoms, len(vocabulary), noise)
        body = GraphFlow(
            max_atoms,
            bond_flow(squeeze, bond_flows, bond_width, permutation, scale),
            atom_flow(max_atoms, len(vocabulary) + 1, atom_flows, list(atom_gnn), list(atom_linear), scale),
            learn_scale,
        )
        super().__init__(Compose([dequantize, body]), StandardNormal(dequantize.dims))
        self.vocabulary, self.max_atoms = vocabulary, max_atoms

    @property
    def dequantize(self) -> GraphDequantize:
        return self.transform[0]

    @property
    def body(self) -> GraphFlow:
        return self.transform[1]

    # Density

    def expand(self, batch: Batch) -> Tensor:
        """A PyG batch as integers (B, N, 1 + N), see `table_of`."""
        return table_of(batch, self.max_atoms)

    def _table(self, x: Batch | Tensor) -> Tensor:
        return self.expand(x) if isinstance(x, Batch) else x

    def log_prob(self, x: Batch | Tensor, context: Tensor | None = None) -> Tensor:
        """A lower bound of `log p(G)` in nats, (B,), of molecules whose atoms are in this order."""
        return self.log_probs(x)[0]

    def log_probs(self, x: Batch | Tensor) -> tuple[Tensor, list[Tensor]]:
        """`log_prob`, and its terms (B,): of atoms given the bonds, and of bonds."""
        y, _ = self.dequantize(self._table(x))
        bonds, atoms = (self._term(*part) for part in self.body.forward_parts(y))
        return atoms + bonds, [atoms, bonds]

    def _term(self, z: Tensor, ladj: Tensor) -> Tensor:
        volume = z.shape[1] * math.log(self.dequantize.noise)
        return sum_over_event(self.base.elementwise_log_prob(z)) + ladj + volume

    def encode(self, x: Batch | Tensor, context: Tensor | None = None) -> Tensor:
        """Standard latents (B, D) that `decode` gives the same molecules of."""
        return self.body(self.dequantize.center(self._table(x)))[0]

    @torch.no_grad()
    def initialize(self, x: Batch | Tensor, context: Tensor | None = None) -> None:
        super().initialize(self._table(x))

    # Generation

    @torch.no_grad()
    def sample(
        self,
        n: int,
        context: Tensor | None = None,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
        check: bool = True,
    ) -> Generated:
        """`n` molecules; without `check` what is decoded, valid or not, in one piece or several."""
        if n < 1 or not temperature >= 0:
            raise ValueError(
                f"expected at least 1 molecule and a temperature >= 0, got n={n}, temperature={temperature}"
            )
        return self.molecules_of(self.base.sample(n, temperature, generator), check)

    @torch.no_grad()
    def molecules_of(self, z: Tensor, check: bool = True) -> Generated:
        """The molecules of latents (B, D), corrected if `check`.

        `rejected` counts the corrections: bonds lowered by one, atoms that were lost with their fragment, an atom put
        where there was none. `unattached` says whether a fragment was lost.
        """
        y = self.body.generate(z)
        atoms, bonds = split_table(self.dequantize.generate(y))
        present = atoms >= 0
        bonds = bonds * (present[:, :, None] & present[:, None, :])
        lost = added = lowered = torch.zeros_like(atoms[:, 0])
        if check:
            atoms, added = self._at_least_one(atoms, split_numbers(y, self.max_atoms)[1])
            bonds, lowered = lower_bonds(atoms, bonds, self.vocabulary.valences)
            atoms, bonds, lost = largest_fragment(atoms, bonds)
        order = (atoms < 0).int().argsort(dim=1, stable=True)
        packed = PackedMolecules.from_dense(*permute(atoms, bonds, order), self.vocabulary)
        return Generated(packed, (lowered + lost + added).cpu(), (lost > 0).cpu())

    def _at_least_one(self, atoms: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Atoms (B, N) with the likeliest one put where there is none at all; how many were."""
        empty = (atoms < 0).all(1)
        best = scores[:, :, :-1].flatten(1).argmax(1, keepdim=True)
        place, found = best // len(self.vocabulary), best % len(self.vocabulary)
        chosen = (torch.arange(self.max_atoms, device=atoms.device) == place) & empty[:, None]
        return torch.where(chosen, found, atoms), empty.long()
