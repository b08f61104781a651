"""Log-probabilities of decisions under several models at once, and how far these models are apart."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from flowsuite.molecules.decisions.decision import ContinuousDecision
from flowsuite.molecules.graphaf import GraphAF
from flowsuite.molecules.prefix import Prefixes

FAR = 5.0  # a log-ratio beyond which a sampled divergence grows no more


class Terms(NamedTuple):
    """What a model says of E decisions of one kind: `chosen` (E,) log-probabilities of the classes taken, and `every`
    (E, K) those of all classes, None of a continuous decision."""

    chosen: Tensor
    every: Tensor | None

    def detach(self) -> Terms:
        return Terms(self.chosen.detach(), None if self.every is None else self.every.detach())


def dequantization_noise(
    flow: GraphAF, prefixes: Prefixes, generator: torch.Generator | None = None
) -> list[Tensor | None]:
    """`u` (E, K) of the decisions about atoms and about bonds, for all models to share; None of discrete decisions."""
    return [
        torch.rand((steps.target.shape[0], decision.classes), device=steps.target.device, generator=generator)
        if isinstance(decision, ContinuousDecision)
        else None
        for decision, steps in flow.decisions(prefixes)
    ]


def decision_terms(
    flow: GraphAF, prefixes: Prefixes, noise: list[Tensor | None], context: Tensor | None = None
) -> list[Terms]:
    """The log-probabilities of atoms and of bonds: exact of discrete decisions, bounds at the given `noise` of others.

    Args:
        flow: the model.
        prefixes: the decisions.
        noise: of `dequantization_noise`.
        context: (molecules, P) properties of a conditional model.
    """
    encoded = flow.encode_states(prefixes, context)
    terms = []
    for (decision, steps), u in zip(flow.decisions(prefixes), noise, strict=True):
        params = decision.prepare(encoded, steps)
        if u is not None:
            terms.append(Terms(decision.log_prob(params, steps.target, u), None))
            continue
        every = decision.log_probs(params)
        terms.append(Terms(every.gather(1, steps.target[:, None])[:, 0], every))
    return terms


def divergence(new: Terms, prior: Terms) -> Tensor:
    """KL(new || prior) of each decision, (E,) nats.

    Exact of discrete decisions. Of continuous ones the estimate `e^d - 1 - d >= 0` from the class that was drawn, with
    `d = log prior - log new`, kept within `FAR`.
    """
    if new.every is not None:
        return (new.every.exp() * (new.every - prior.every)).sum(1)
    d = (prior.chosen - new.chosen).clamp(-FAR, FAR)
    return d.exp() - 1 - d


def entropy(new: Terms) -> Tensor:
    """The entropy of each decision, (E,) nats: exact of discrete decisions, of continuous ones an estimate from what
    was drawn, whose gradient is that of the entropy on average."""
    if new.every is not None:
        return -(new.every.exp() * new.every).sum(1)
    return -new.chosen * (new.chosen.detach() + 1) + new.chosen.detach().square()
