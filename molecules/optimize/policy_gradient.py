"""Stable policy-gradient fine-tuning of a GraphAF."""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flowsuite.molecules.chemistry import smiles_from_packed
from flowsuite.molecules.graphaf import GraphAF
from flowsuite.molecules.optimize.baseline import MovingBaseline, normalized
from flowsuite.molecules.optimize.diversity import DiversityFilter
from flowsuite.molecules.optimize.likelihood import Terms, decision_terms, dequantization_noise, divergence, entropy
from flowsuite.molecules.optimize.memory import Memory
from flowsuite.molecules.optimize.options import Options
from flowsuite.molecules.optimize.rewards import Reward
from flowsuite.molecules.optimize.rollout import Decisions, Rollout, Starts, decisions_of, draw
from flowsuite.molecules.optimize.scorer import Scorer

PATIENCE = 5  # void updates in a row after which the weights go back to those of the prior


@dataclass
class Batch:
    """Decisions with their advantages (E,), weights (E,), and what the models said when they were taken."""

    decisions: Decisions
    advantages: Tensor
    weights: Tensor
    noise: list[Tensor | None]
    old: list[Terms]
    prior: list[Terms]
    context: Tensor | None


class PolicyGradient:
    """PPO on the decisions of drawn molecules, held near the model it began from (as REINVENT, arXiv 1704.07555).

        L = mean_t[-min(r_t A_t, clip(r_t, 1 - e, 1 + e) A_t) + b KL(pi || prior)_t - h H_t],
        r_t = exp(clamp(log pi(a_t) - log pi_old(a_t), +-c)),   A_t = (gamma^(n - 1 - i_t) R - usual) / spread

    over all decisions t that the policy took; n is the molecule's size and i_t the atom that t is about. Batch norms
    stay at their running statistics. Updates with a gradient that is not finite, and batches without a score, are
    skipped and counted; after `PATIENCE` in a row the policy starts again from the prior.

    The probabilities are those of the model at temperature 1 without a valence check, as published; what a check
    refuses, or another temperature, is not corrected for. Replayed molecules are learned from as if the policy had
    just drawn them, a deliberate bias towards the best: their ratio begins at 1, whatever drew them. They are measured
    from the usual reward of what is drawn, which they do not move.

    Args:
        flow: the policy; changed in place.
        scorer: of molecules.
        options: how.
        seed: of all randomness.
        context: (P,) properties that a conditional model is asked for.
        starts: gives `n` molecules to go on from, `starts(n, generator)`, rather than from nothing.
        usual: scores of the starts by number; the reward is then of the gain over them.
    """

    def __init__(
        self,
        flow: GraphAF,
        scorer: Scorer,
        options: Options | None = None,
        seed: int = 0,
        context: Tensor | None = None,
        starts: Callable[[int, torch.Generator], Starts] | None = None,
        usual: np.ndarray | None = None,
    ):
        self.options = options or Options()
        self.flow, self.scorer, self.context = flow.eval(), scorer, context
        self.prior = copy.deepcopy(flow).requires_grad_(False)
        self.max_atoms = self.options.max_atoms or flow.max_atoms
        self.reward = Reward(self.options.shaping, scorer.target.sign, scorer.pool)
        self.baseline = MovingBaseline(self.options.baseline, self.max_atoms, self.options.baseline_momentum)
        of = self.options
        self.filter = DiversityFilter(of.diversity, of.bucket, of.similarity, of.repeats)
        self.memory = Memory(self.options.memory)
        self.starts, self.usual = starts, usual
        self.device = flow.conditioner_device()
        self.generator = torch.Generator().manual_seed(seed)
        self.noise = torch.Generator(self.device).manual_seed(seed + 1)
        self.skipped: Counter[str] = Counter()
        self.history: list[dict[str, float]] = []
        self._void, self._updates = 0, 0
        self._reset_optimizer()

    def _reset_optimizer(self) -> None:
        parameters = [p for p in self.flow.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(parameters, lr=self.options.lr, fused=True)

    def run(self, steps: int) -> Iterator[dict[str, float]]:
        """Takes so many steps, one at each request; the figures of each."""
        for _ in range(steps):
            yield self.step()

    def step(self) -> dict[str, float]:
        """Draws a batch, scores it and learns from it; the figures of the step."""
        begin = time.perf_counter()
        rollout, number = self.draw()
        smiles = smiles_from_packed(rollout.molecules)
        scores = self.scorer(smiles)
        rewards = self._rewards(smiles, scores, number)
        new = self.memory.add(rollout, smiles, scores, rewards)
        figures = self._figures(rollout, smiles, scores, new)
        figures |= self.learn(rollout, rewards)
        figures |= {"skipped": sum(self.skipped.values()), "failed": len(self.scorer.failures)}
        figures["seconds"] = time.perf_counter() - begin
        self.history.append({"step": len(self.history) + 1, **figures})
        return self.history[-1]

    def draw(self, n: int | None = None) -> tuple[Rollout, Tensor | None]:
        """Molecules of the policy, and which start each comes from."""
        n = n or self.options.batch_size
        starts = None if self.starts is None else self.starts(n, self.generator)
        context = None if self.context is None else self.context.to(self.device).expand(n, -1)
        options = self.options
        rollout = draw(
            self.flow, n, self.max_atoms, context, options.temperature, self.noise, starts, options.min_atoms
        )
        return rollout, None if starts is None else starts.number

    def _rewards(self, smiles: list[str | None], scores: np.ndarray, number: Tensor | None) -> np.ndarray:
        gains = scores if self.usual is None or number is None else scores - self.usual[number.numpy()]
        rewards = self.reward(smiles, gains)
        if not np.isfinite(rewards).any():
            return rewards
        good = np.isfinite(rewards) & (rewards > np.nanmean(rewards))
        crowded = self.filter(smiles, good)
        return np.where(crowded, np.nanmin(rewards), rewards)

    def _figures(self, rollout: Rollout, smiles, scores: np.ndarray, new: int) -> dict[str, float]:
        scored = scores[np.isfinite(scores)]
        valid = [text for text in smiles if text is not None]
        sign = self.scorer.target.sign
        best = self.memory.top(1, sign)
        return {
            "mean": float(scored.mean()) if scored.size else float("nan"),
            "best": best[0][1] if best else float("nan"),
            "valid": len(valid) / len(smiles),
            "unique": len(set(valid)) / max(len(valid), 1),
            "new": new / len(smiles),
            "atoms": float(rollout.molecules.sizes.double().mean()),
        }

    # Learning

    def learn(self, rollout: Rollout, rewards: np.ndarray) -> dict[str, float]:
        """Updates the policy by molecules and their rewards; NaN ones teach nothing."""
        figures = {"kl": float("nan"), "entropy": float("nan"), "clipped": float("nan"), "grad_norm": float("nan")}
        batch = self._batch(rollout, rewards)
        if batch is None:
            self._skip("empty batch")
            return figures
        for _ in range(self.options.updates):
            figures |= self._update(batch)
        return figures

    def _batch(self, rollout: Rollout, rewards: np.ndarray) -> Batch | None:
        options, drawn = self.options, len(rollout)
        if options.replay and self.starts is None:
            again, _, earned = self.memory.replay(options.replay, self.flow.window, self.generator)
            if again is not None:
                rollout = rollout.join(again)
                rewards = np.concatenate((rewards, earned))
        decisions = decisions_of(self.flow, rollout, with_refusals=options.refusal_penalty > 0)
        reward = torch.from_numpy(rewards)[decisions.molecule]
        counted = decisions.counted & reward.isfinite()
        if not counted.any():
            return None
        advantages = torch.zeros_like(reward)
        advantages[counted] = self._advantages(decisions, rollout, reward, counted, drawn)
        return self._with_models(decisions, advantages.float(), counted.float(), len(rollout))

    def _advantages(
        self, decisions: Decisions, rollout: Rollout, reward: Tensor, counted: Tensor, drawn: int
    ) -> Tensor:
        """Of the `counted` decisions; the first `drawn` molecules are of this step, the others replayed."""
        options, place, molecule = self.options, decisions.place[counted], decisions.molecule[counted]
        size = rollout.molecules.sizes[molecule]
        earned = reward[counted] * options.gamma ** (size - 1 - place).clamp_min(0)
        earned = torch.where(decisions.refused[counted], -options.refusal_penalty, earned)
        keys, new = self.baseline.keys(place, size), molecule < drawn
        self.baseline.update(keys[new], earned[new])
        advantages = earned - self.baseline.usual(keys)
        return normalized(advantages) if options.normalize else advantages

    @torch.no_grad()
    def _with_models(self, decisions: Decisions, advantages: Tensor, weights: Tensor, n: int) -> Batch:
        prefixes = decisions.prefixes.to(self.device)
        context = None if self.context is None else self.context.to(self.device).expand(n, -1)
        noise = dequantization_noise(self.flow, prefixes, self.noise)
        old, prior = (decision_terms(flow, prefixes, noise, context) for flow in (self.flow, self.prior))
        decisions.prefixes = prefixes
        to = (advantages.to(self.device), weights.to(self.device))
        return Batch(decisions, *to, noise, old, prior, context)

    def _update(self, batch: Batch) -> dict[str, float]:
        options = self.options
        terms = decision_terms(self.flow, batch.decisions.prefixes, batch.noise, batch.context)
        new, old = (torch.cat([part.chosen for part in each]) for each in (terms, batch.old))
        ratio = (new - old).clamp(-options.log_ratio_limit, options.log_ratio_limit).exp()
        clipped = ratio.clamp(1 - options.clip, 1 + options.clip)
        gain = torch.minimum(ratio * batch.advantages, clipped * batch.advantages)
        kl = torch.cat([divergence(*pair) for pair in zip(terms, batch.prior, strict=True)])
        spread = torch.cat([entropy(part) for part in terms])
        weights = batch.weights / batch.weights.sum()
        loss = (weights * (options.kl * kl - gain - options.entropy * spread)).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, options.grad_clip)
        if not bool(torch.isfinite(loss) & torch.isfinite(norm)):
            self._skip("gradient not finite")
            return {}
        self._void = 0
        self._updates += 1
        self.optimizer.param_groups[0]["lr"] = options.lr * min(1.0, self._updates / max(options.warmup, 1))
        self.optimizer.step()
        with torch.no_grad():
            values = ((weights * kl).sum(), (weights * spread).sum(), (weights * (ratio != clipped)).sum(), norm)
        return dict(zip(("kl", "entropy", "clipped", "grad_norm"), torch.stack(values).tolist(), strict=True))

    def _skip(self, why: str) -> None:
        self.skipped[why] += 1
        self._void += 1
        self.optimizer.zero_grad(set_to_none=True)
        if self._void >= PATIENCE:
            self.skipped["returns to the prior"] += 1
            self.flow.load_state_dict(self.prior.state_dict())
            self._reset_optimizer()
            self._void, self._updates = 0, 0
