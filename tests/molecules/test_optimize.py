import math

import numpy as np
import pytest
import torch

from flowsuite.molecules.optimize.baseline import MovingBaseline, normalized
from flowsuite.molecules.optimize.diversity import DiversityFilter
from flowsuite.molecules.optimize.likelihood import decision_terms, dequantization_noise, divergence, entropy
from flowsuite.molecules.optimize.memory import Memory
from flowsuite.molecules.optimize.options import Options
from flowsuite.molecules.optimize.policy_gradient import PATIENCE, PolicyGradient
from flowsuite.molecules.optimize.rollout import Rollout, Starts, decisions_of, draw
from flowsuite.molecules.optimize.scorer import Scorer
from flowsuite.molecules.optimize.targets import Target
from flowsuite.molecules.packed import PackedMolecules
from tests.molecules.optimizing import tiny

HERE = "tests.molecules.optimizing"


def learner(flow=None, target: str = "carbons", **options) -> PolicyGradient:
    settings = Options(**{"batch_size": 24, "lr": 3e-3, "warmup": 3, "replay": 8, **options})
    spec = f"{HERE}:{target}" if target in ("carbons", "moody", "hopeless") else target
    return PolicyGradient(flow or tiny(), Scorer(Target(spec)), settings)


def rollout_of(flow, graphs, stopped=True) -> Rollout:
    packed = PackedMolecules.from_graphs(graphs, flow.vocabulary)
    zeros = torch.zeros(len(packed), dtype=torch.long)
    return Rollout(packed, zeros, zeros == 0 if stopped else zeros > 0, torch.zeros((0, 4), dtype=torch.long))


def test_the_reward_rises():
    means = [figures["mean"] for figures in learner(batch_size=16, lr=5e-3).run(9)]
    assert np.mean(means[-2:]) > np.mean(means[:2]) + 1.5


def test_lower_is_better_on_request():
    policy = PolicyGradient(
        tiny(), Scorer(Target("heavy_atoms", minimize=True)), Options(batch_size=16, lr=5e-3, warmup=3)
    )
    means = [figures["mean"] for figures in policy.run(7)]
    assert np.mean(means[-2:]) < np.mean(means[:2]) - 0.5
    assert policy.memory.top(1, -1.0)[0][1] == 1.0


@pytest.mark.parametrize("decision", ["spline", "affine", "modulo"])
def test_every_decision_can_be_tuned(decision):
    flow = tiny(decision=decision, decision_options={"hidden": 16, "layers": 2})
    before = {name: value.clone() for name, value in flow.state_dict().items()}
    policy = learner(flow, batch_size=6, lr=1e-3, replay=2)
    figures = list(policy.run(2))
    assert not policy.skipped and math.isfinite(figures[-1]["kl"]) and figures[-1]["grad_norm"] > 0
    assert any(not torch.equal(value, before[name]) for name, value in flow.state_dict().items())


def test_published_model_keeps_its_batch_norm_statistics():
    options = {"conditioner": "rgcn", "batch_norm": "reference", "stop": False, "decision": "affine"}
    flow = tiny(**options, decision_options={"layers": 2, "hidden": 16})
    before = flow.conditioner.norm.running_mean.clone()
    policy = learner(flow, batch_size=6, refusal_penalty=1.0, baseline="index", normalize=False)
    list(policy.run(2))
    assert torch.equal(before, flow.conditioner.norm.running_mean) and not policy.skipped


def test_same_seed_same_run():
    runs = []
    for _ in range(2):
        policy = learner(batch_size=8)
        runs.append([{k: v for k, v in figures.items() if k != "seconds"} for figures in policy.run(3)])
        runs[-1].append(policy.memory.top(5))
    assert str(runs[0]) == str(runs[1])


def test_bad_scores_do_not_stop_a_run():
    policy = learner(target="moody")
    list(policy.run(3))
    assert policy.history[-1]["failed"] > 0 and policy.history[-1]["step"] == 3
    assert all(torch.isfinite(p).all() for p in policy.flow.parameters())


def test_a_batch_without_a_score_is_skipped():
    policy = learner(batch_size=4)
    before = [p.clone() for p in policy.flow.parameters()]
    figures = policy.learn(policy.draw()[0], np.full(4, np.nan))
    assert policy.skipped["empty batch"] == 1 and math.isnan(figures["kl"])
    assert all(torch.equal(a, b) for a, b in zip(before, policy.flow.parameters(), strict=True))


def test_single_atoms_are_a_batch_like_any_other():
    policy = learner(replay=0)
    carbon = rollout_of(policy.flow, [([0], [])] * 4)
    decisions = decisions_of(policy.flow, carbon)
    assert decisions.prefixes.edges.target.shape == (0,) and decisions.counted.tolist() == [True] * 8
    figures = policy.learn(carbon, np.array([1.0, 2.0, 3.0, 4.0]))
    assert math.isfinite(figures["kl"]) and not policy.skipped
    policy.learn(carbon, np.ones(4))  # equal rewards: no advantage, no NaN
    assert all(torch.isfinite(p).all() for p in policy.flow.parameters())


def test_a_policy_of_single_atoms_recovers():
    flow = tiny()
    with torch.no_grad():
        flow.atom_decision.trunk[-1].bias[-1] += 4.0  # STOP almost always
    policy = learner(flow)
    means = [figures["atoms"] for figures in policy.run(14)]
    assert means[0] < 1.5 and np.mean(means[-2:]) > 2 * means[0]


def test_gradients_that_are_not_finite_are_skipped_and_the_prior_comes_back():
    policy = learner(batch_size=4, updates=1, replay=0)
    prior = [p.clone() for p in policy.flow.parameters()]
    rollout = policy.draw()[0]
    policy.learn(rollout, np.arange(4.0))
    assert any(not torch.equal(a, b) for a, b in zip(prior, policy.flow.parameters(), strict=True))
    batch = policy._batch(rollout, np.arange(4.0))
    batch.advantages[0] = float("inf")
    for _ in range(PATIENCE):
        policy._update(batch)
    assert policy.skipped == {"gradient not finite": PATIENCE, "returns to the prior": 1}
    assert all(torch.equal(a, b) for a, b in zip(prior, policy.flow.parameters(), strict=True))


@pytest.mark.parametrize("decision", ["categorical", "modulo", "spline"])
def test_terms_are_the_models_log_probabilities(decision):
    flow = tiny(decision=decision, decision_options={"hidden": 16})
    rollout = draw(flow, 5, 9, generator=torch.Generator().manual_seed(0))
    prefixes = decisions_of(flow, rollout).prefixes
    noise = dequantization_noise(flow, prefixes, torch.Generator().manual_seed(1))
    first, second = (decision_terms(flow, prefixes, noise) for _ in range(2))
    for terms, again in zip(first, second, strict=True):
        assert torch.equal(terms.chosen, again.chosen)  # the same u
        assert divergence(terms, again).abs().max() < 1e-5
        if decision != "spline":
            assert torch.allclose(terms.every.exp().sum(1), torch.ones(len(terms.chosen)), atol=1e-5)
            assert (entropy(terms) >= 0).all()
    if decision == "categorical":
        _, direct = flow.log_probs(prefixes)
        assert all(torch.allclose(a.chosen, b, atol=1e-6) for a, b in zip(first, direct, strict=True))


def test_only_what_the_policy_decided_counts():
    flow = tiny()
    chain = ([0, 0, 2], [(1, 0, 0), (2, 1, 0)])
    stopped = decisions_of(flow, rollout_of(flow, [chain]))
    capped = decisions_of(flow, rollout_of(flow, [chain], stopped=False))
    assert stopped.counted.all() and stopped.place.tolist() == [0, 1, 2, 3, 1, 2, 2]
    assert capped.counted.tolist() == [True, True, True, False, True, True, True]
    given = rollout_of(flow, [chain])
    given.first[:] = 2
    assert decisions_of(flow, given).counted.tolist() == [False, False, True, True, False, True, True]


def test_refused_bonds_are_decisions_in_the_state_they_were_refused_in():
    flow = tiny()
    rollout = rollout_of(flow, [([0], []), ([0, 0, 2], [(1, 0, 0), (2, 1, 0)])])
    rollout.refusals = torch.tensor([[1, 2, 1, 2], [1, 8, 3, 0], [0, 1, 0, 1]])  # the last two: atoms that were dropped
    decisions = decisions_of(flow, rollout, with_refusals=True)
    edges = decisions.prefixes.edges
    assert decisions.refused.sum() == 1 and decisions.refused[-1]
    assert edges.target.tolist() == [0, 3, 0, 2]
    assert edges.state[-1] == edges.state[2] and edges.earlier[-1] == edges.earlier[2]


def test_sampler_reports_refusals():
    flow = tiny(seed=1)
    with torch.no_grad():
        flow.edge_decision.trunk[-1].bias += torch.tensor([0.0, 6.0, 3.5, 0.0])
    rollout = draw(flow, 6, 5, generator=torch.Generator().manual_seed(0))
    assert len(rollout.refusals) and (rollout.refusals[:, 1] > rollout.refusals[:, 2]).all()
    assert set(rollout.refusals[:, 3].tolist()) <= {0, 1, 2}
    policy = learner(flow, refusal_penalty=1.0, batch_size=4)
    policy.learn(rollout, np.arange(6.0))
    assert not policy.skipped


def test_baselines_and_advantages():
    keys, rewards = torch.tensor([0, 0, 1]), torch.tensor([1.0, 3.0, 5.0])
    baseline = MovingBaseline("size", 4, 0.9)
    baseline.update(keys, rewards)
    assert baseline.usual(keys).tolist() == [2.0, 2.0, 5.0]  # the first average is what was seen
    baseline.update(keys[:1], torch.tensor([12.0]))
    assert baseline.usual(keys[:1]).tolist() == pytest.approx([3.0])
    assert baseline.usual(torch.tensor([3])).tolist() == pytest.approx([4.0])  # a size that was never drawn
    assert MovingBaseline("size", 4, 0.9).usual(keys).tolist() == [0.0] * 3
    place, size = torch.tensor([0, 1]), torch.tensor([5, 6])
    for kind, expected in (("moving", [0, 0]), ("size", [5, 6]), ("index", [0, 1])):
        assert MovingBaseline(kind, 9, 0.9).keys(place, size).tolist() == expected
    assert normalized(torch.zeros(3)).tolist() == [0.0] * 3
    assert normalized(torch.tensor([3.0, -3.0])).tolist() == [1.0, -1.0]
    assert normalized(torch.zeros(0)).shape == (0,)


def test_replays_do_not_move_the_baseline():
    policy = learner(replay=4, normalize=False)
    chain = rollout_of(policy.flow, [([0, 0, 0], [(1, 0, 0), (2, 1, 0)])])
    policy.memory.add(chain, ["CCC"], np.array([9.0]), np.array([9.0]))
    carbon = rollout_of(policy.flow, [([0], [])] * 3)
    batch = policy._batch(carbon, np.full(3, 2.0))
    assert policy.baseline.value[0] == 2.0
    again = batch.decisions.molecule >= 3
    assert again.any() and (batch.advantages[again] == 7.0).all() and (batch.advantages[~again] == 0.0).all()


def test_full_buckets():
    rings = ["Cc1ccccc1", "CCc1ccccc1", "CCCc1ccccc1", "CCO"]
    good = np.ones(4, dtype=bool)
    assert DiversityFilter("scaffold", bucket=2)(rings, good).tolist() == [False, False, True, False]
    assert not DiversityFilter("scaffold", bucket=1)(rings, ~good).any()
    assert not DiversityFilter("none", bucket=1)(rings, good).any()
    assert DiversityFilter("tanimoto", bucket=1, threshold=0.5)(rings, good).tolist() == [False, False, True, False]
    assert not DiversityFilter("scaffold", bucket=1)([None, "CCO", "CCO"], good[:3]).any()  # one molecule, twice
    repeated = DiversityFilter("scaffold", repeats=2)(["CCO"] * 4, good)
    assert repeated.tolist() == [False, False, True, True]


def test_memory_keeps_the_best_and_replays_them():
    flow = tiny()
    memory = Memory(2)
    graphs = [([0] * n, [(i + 1, i, 0) for i in range(n - 1)]) for n in (1, 2, 3, 4)]
    drawn = rollout_of(flow, graphs)
    drawn.stopped[1] = False
    names, scores = ["C", "CC", "CCC", None], np.array([1.0, 2.0, 3.0, 9.0])
    assert memory.add(drawn, names, scores, scores) == 3
    assert memory.add(drawn, names, scores, scores) == 0
    assert memory.top(2) == [("CCC", 3.0), ("CC", 2.0)] and memory.top(1, -1.0) == [("C", 1.0)]
    again, texts, rewards = memory.replay(5, flow.window, torch.Generator().manual_seed(0))
    assert sorted(texts) == ["CC", "CCC"] and sorted(rewards) == [2.0, 3.0]
    assert sorted(zip(again.molecules.sizes.tolist(), again.stopped.tolist(), strict=True)) == [(2, False), (3, True)]
    assert Memory(2).replay(5, 8, torch.Generator())[0] is None


def test_molecules_that_were_met_without_a_reward_join_the_best_once_they_earn_one():
    flow = tiny()
    memory = Memory(1)
    drawn, names = rollout_of(flow, [([0], []), ([0, 0], [(1, 0, 0)])]), ["C", "CC"]
    assert memory.add(drawn, names, np.array([1.0, 2.0]), np.full(2, np.nan)) == 2 and not memory.best
    assert memory.add(drawn, names, np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0
    assert {text: kept.reward for text, kept in memory.best.items()} == {"CC": 2.0}
    memory.add(drawn, names, np.array([1.0, 2.0]), np.array([5.0, 0.0]))
    assert {text: kept.reward for text, kept in memory.best.items()} == {"C": 5.0}


def test_only_a_stop_that_was_drawn_counts_as_one():
    flow = tiny(atoms=["C", "N", "O", "F"])
    with torch.no_grad():
        flow.atom_decision.trunk[-1].bias.copy_(torch.tensor([-40.0, -40.0, -40.0, 40.0, 0.0]))  # nothing but fluorine
    full = draw(flow, 4, 9, generator=torch.Generator().manual_seed(0))
    assert full.molecules.sizes.tolist() == [2] * 4 and not full.stopped.any()  # F-F: no atom could follow
    decisions = decisions_of(flow, full)
    stop = decisions.prefixes.atoms.target == len(flow.vocabulary)
    assert stop.sum() == 4 and not decisions.counted[: stop.shape[0]][stop].any()
    with torch.no_grad():
        flow.atom_decision.trunk[-1].bias[-1] = 80.0
    assert draw(flow, 4, 9, generator=torch.Generator().manual_seed(0)).stopped.all()
    with torch.no_grad():
        flow.atom_decision.trunk[-1].bias.copy_(torch.tensor([40.0, -40.0, -40.0, -40.0, -40.0]))  # nothing but carbon
    capped = draw(flow, 4, 3, generator=torch.Generator().manual_seed(0))
    assert capped.molecules.sizes.tolist() == [3] * 4 and not capped.stopped.any()


def test_replayed_molecules_keep_how_they_ended():
    flow = tiny()
    chain = ([0, 0, 2], [(1, 0, 0), (2, 1, 0)])
    both = rollout_of(flow, [chain]).join(rollout_of(flow, [chain], stopped=False))
    counted = decisions_of(flow, both).counted
    assert both.stopped.tolist() == [True, False] and counted.tolist()[:8] == [True] * 7 + [False]


def test_a_model_without_stop_goes_on_from_starts():
    flow = tiny(stop=False, decision="affine", decision_options={"layers": 2, "hidden": 16})
    atoms = torch.tensor([[0, 0], [0, 2]])
    bonds = torch.tensor([[[0, 1], [1, 0]]]).expand(2, -1, -1)
    rollout = draw(flow, 2, 9, generator=torch.Generator().manual_seed(0), starts=Starts(atoms, bonds, torch.arange(2)))
    assert (rollout.molecules.sizes >= 2).all() and not rollout.stopped.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be above 0"),
        ({"gamma": 1.5}, r"gamma must be in \(0, 1\]"),
        ({"kl": -1.0}, "kl must be at least 0"),
        ({"baseline": "best"}, "baseline must be one of moving, size, index, got 'best'"),
        ({"diversity": "much"}, "diversity must be one of .*, got 'much'"),
        ({"bucket": 0}, "bucket must be above 0"),
        ({"baseline_momentum": 1.0}, r"baseline_momentum must be in \[0, 1\)"),
        ({"similarity": 1.5}, r"similarity must be in \[0, 1\]"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        Options(**options)
