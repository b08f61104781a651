"""Where the noise of a sampler comes from."""

from __future__ import annotations

import torch
from torch import Tensor

from flowsuite.molecules.prefix import Prefixes


class FreshNoise:
    """Standard normal noise, new for every draw.

    Args:
        classes: K of decisions about atoms, and about bonds.
        device: of the noise.
        generator: on that device; the global one if None.
    """

    def __init__(self, classes: tuple[int, int], device: torch.device, generator: torch.Generator | None = None):
        self.classes, self.device, self.generator = classes, device, generator

    def _draw(self, n: int, k: int) -> Tensor:
        return torch.randn((n, k), device=self.device, generator=self.generator)

    def atoms(self, rows: Tensor, place: Tensor) -> Tensor:
        """For the atom at `place` of each of the molecules `rows`."""
        return self._draw(rows.shape[0], self.classes[0])

    def edges(self, rows: Tensor, new: Tensor, to: Tensor, draw: Tensor) -> Tensor:
        """For the bond from atom `new` to atom `to` of each of the molecules `rows`, their `draw`-th of all."""
        return self._draw(rows.shape[0], self.classes[1])

    def check(self, draws: Tensor) -> None:
        """Raises a ValueError if there was not enough for the numbers of draws of bonds that counted."""


class GivenNoise:
    """Noise that was written down: `atoms` (B, N, K) by place, `edges` by number of the draw, redraws included.

    Args:
        atoms: (B, N, K).
        edges: (B, D, 4).
    """

    def __init__(self, atoms: Tensor, edges: Tensor):
        self._atoms, self._edges = atoms, edges

    def atoms(self, rows: Tensor, place: Tensor) -> Tensor:
        return self._atoms[rows, place]

    def edges(self, rows: Tensor, new: Tensor, to: Tensor, draw: Tensor) -> Tensor:
        return self._edges[rows, draw.clamp_max(self._edges.shape[1] - 1)]  # bonds drawn ahead may never count

    def check(self, draws: Tensor) -> None:
        given, needed = self._edges.shape[1], int(draws.max())
        if needed > given:
            raise ValueError(f"the noise holds {given} draws of bonds a molecule, {needed} were needed")


class PlacedNoise(GivenNoise):
    """Noise of every decision by its place: `atoms` (B, N + 1, K), `edges` (B, N, N, 4); draws are not repeated."""

    def edges(self, rows: Tensor, new: Tensor, to: Tensor, draw: Tensor) -> Tensor:
        return self._edges[rows, new, to]

    def check(self, draws: Tensor) -> None:
        pass


def placed(prefixes: Prefixes, atoms: Tensor, edges: Tensor, max_atoms: int) -> PlacedNoise:
    """The noise of every decision of `prefixes`, in their order, by molecule and place."""
    graphs, n = prefixes.graphs, prefixes.molecules
    by_atom = atoms.new_zeros(n, max_atoms + 1, atoms.shape[1])
    by_edge = edges.new_zeros(n, max_atoms, max_atoms, edges.shape[1])
    by_atom[prefixes.atoms.molecule, graphs.size[prefixes.atoms.state]] = atoms
    steps = prefixes.edges
    new = graphs.size[steps.state] - 1
    by_edge[steps.molecule, new, new - steps.span] = edges
    return PlacedNoise(by_atom, by_edge)
