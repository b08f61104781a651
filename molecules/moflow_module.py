"""How MoFlow trains."""

from __future__ import annotations

from typing import Any

import torch

from flowsuite.core.objective import negative_log_likelihood
from flowsuite.molecules.module import MoleculeModule
from flowsuite.molecules.moflow import MoFlow
from flowsuite.molecules.packed import PackedMolecules, to_batch
from flowsuite.molecules.sampler import Generated


class MoFlowModule(MoleculeModule):
    """Trains a `MoFlow` by maximum likelihood; give the data `order: file`, see there.

    Logged: `nats_per_molecule`, a bound on `-log p(G)` in the order of the file, and its parts `atom_nats`, given the
    bonds, and `bond_nats`. Actnorm is initialised from the first batch. Properties of the data are not used.

    Args:
        flow: a `MoFlow`.
        kwargs: those of `MoleculeModule` and `FlowModule`.
    """

    flow_class = MoFlow

    def __init__(self, flow: MoFlow, **kwargs):
        super().__init__(flow, **kwargs)

    def loss(self, x, context, stage):
        nats, (atoms, bonds) = self.flow.log_probs(x)
        loss = negative_log_likelihood(nats)
        return loss, {"nats_per_molecule": loss, "atom_nats": -atoms.mean(), "bond_nats": -bonds.mean()}

    def generate(self, n, context: Any = None, temperature=1.0, generator=None, unchecked: bool = False) -> Generated:
        """`n` molecules.

        Args:
            n: how many.
            context: none.
            temperature: factor on the noise.
            generator: on this module's device.
            unchecked: correct nothing.
        """
        return self.flow.sample(n, None, temperature, generator, check=not unchecked)

    @torch.no_grad()
    def rebuilt(self, packed: PackedMolecules) -> PackedMolecules:
        """The molecules, encoded and decoded without correction."""
        x = self.flow.expand(to_batch(*packed.dense())).to(self.device)
        return self.flow.molecules_of(self.flow.encode(x), check=False).molecules
