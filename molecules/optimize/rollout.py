"""Molecules drawn from a policy, as decisions that can be rewarded."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from flowsuite.molecules.graphaf import GraphAF
from flowsuite.molecules.packed import PackedMolecules
from flowsuite.molecules.prefix import Prefixes, Steps, expand
from flowsuite.molecules.sampler import Generated

NO_REFUSALS = torch.zeros((0, 4), dtype=torch.long)


@dataclass
class Starts:
    """Where molecules are gone on from: dense `atoms` (n, N) and `bonds` (n, N, N) in generation order, and `number`
    (n,), which molecule of the caller's list each comes from."""

    atoms: Tensor
    bonds: Tensor
    number: Tensor

    @property
    def sizes(self) -> Tensor:
        return (self.atoms >= 0).sum(1)


@dataclass
class Rollout:
    """B molecules and how they were made.

    Attributes:
        molecules: in generation order.
        first: (B,) atoms that were given, not drawn.
        stopped: (B,) bool, ended by a STOP that was drawn.
        refusals: (R, 4) molecule, newest atom, earlier atom, bond class of bonds that the valence check refused.
    """

    molecules: PackedMolecules
    first: Tensor
    stopped: Tensor
    refusals: Tensor

    def __len__(self) -> int:
        return len(self.molecules)

    def join(self, others: Rollout) -> Rollout:
        """With further molecules behind."""
        moved = others.refusals + torch.tensor([len(self), 0, 0, 0])
        return Rollout(
            PackedMolecules.join([self.molecules, others.molecules]),
            torch.cat((self.first, others.first)),
            torch.cat((self.stopped, others.stopped)),
            torch.cat((self.refusals, moved)),
        )


def draw(
    flow: GraphAF,
    n: int,
    max_atoms: int,
    context: Tensor | None = None,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    starts: Starts | None = None,
    min_atoms: int = 1,
) -> Rollout:
    """`n` molecules from the model, valences checked.

    Args:
        flow: the policy.
        n: number of molecules.
        max_atoms: largest size.
        context: (n, P) properties of a conditional model.
        temperature: factor on the noise.
        generator: of the noise, on the model's device.
        starts: molecules to go on from, each by at least one atom unless no atom can be added.
        min_atoms: smallest size that STOP is accepted at.
    """
    refused: list[Tensor] = []
    options = {"on_refusal": lambda *what: refused.append(torch.stack(what, 1).cpu())}
    first = torch.zeros(n, dtype=torch.long)
    if starts is not None:
        first = starts.sizes.cpu()
        options["start"] = (starts.atoms, starts.bonds)
        if flow.stop:
            min_atoms = (first + 1).clamp(min_atoms, max_atoms)
    generated: Generated = flow.sample(
        n, context, temperature, generator, max_atoms=max_atoms, min_atoms=min_atoms, **options
    )
    refusals = torch.cat(refused) if refused else NO_REFUSALS
    return Rollout(generated.molecules, first, generated.stopped, refusals)


@dataclass
class Decisions:
    """The decisions of a rollout; what follows is of atoms, then of bonds, E in all.

    Attributes:
        prefixes: states and decisions, refused bonds after the others.
        molecule: (E,) molecule.
        place: (E,) atom that each is about: the new atom, or the newest one that may be bonded.
        counted: (E,) bool, the policy took it: not those that were given, nor a STOP that was not drawn.
        refused: (E,) bool, a bond that the valence check refused.
    """

    prefixes: Prefixes
    molecule: Tensor
    place: Tensor
    counted: Tensor
    refused: Tensor


def decisions_of(flow: GraphAF, rollout: Rollout, with_refusals: bool = False) -> Decisions:
    """All decisions of a rollout, on the CPU."""
    atoms, bonds = rollout.molecules.dense()
    prefixes = expand(atoms, bonds, flow.vocabulary, flow.window, flow.stop)
    size = prefixes.graphs.size
    regular = prefixes.edges.target.shape[0]
    if with_refusals and rollout.refusals.numel() and regular:
        prefixes = replace(prefixes, edges=with_refused(prefixes, rollout.refusals))
    node, edge = prefixes.atoms, prefixes.edges
    place = torch.cat((size[node.state], size[edge.state] - 1))
    molecule = torch.cat((node.molecule, edge.molecule))
    counted = place >= rollout.first[molecule]
    if flow.stop:
        stop = node.target == len(flow.vocabulary)
        counted[: stop.shape[0]] &= ~stop | rollout.stopped[node.molecule]
    refused = torch.zeros_like(counted)
    refused[node.target.shape[0] + regular :] = True
    return Decisions(prefixes, molecule, place, counted, refused)


def with_refused(prefixes: Prefixes, refusals: Tensor) -> Steps:
    """The decisions about bonds, followed by those that were refused, each in the state of the one that was kept.

    Bonds of an atom that was dropped in the end have no such state and are left out.
    """
    edges = prefixes.edges
    new = prefixes.graphs.size[edges.state] - 1
    n = max(int(new.max()), int(refusals[:, 1:3].max())) + 1
    keys = (edges.molecule * n + new) * n + new - edges.span  # ascending, as decisions are ordered
    wanted = (refusals[:, 0] * n + refusals[:, 1]) * n + refusals[:, 2]
    at = torch.searchsorted(keys, wanted).clamp_max(keys.shape[0] - 1)
    found = keys[at] == wanted
    at, classes = at[found], refusals[found, 3]
    parts = {}
    for field in fields(Steps):
        value = getattr(edges, field.name)
        more = classes if field.name == "target" else None if value is None else value[at]
        parts[field.name] = None if value is None else torch.cat((value, more))
    return Steps(**parts)
