"""GraphAF as a density: normalised over all molecules, exact both ways, independent of the batch, trainable."""

from __future__ import annotations

import itertools

import pytest
import torch

from flowsuite.molecules.decisions import CategoricalDecision
from flowsuite.molecules.graphaf import GraphAF
from flowsuite.molecules.packed import PackedMolecules, to_batch, to_dense
from flowsuite.molecules.prefix import expand
from tests.molecules.made import ATOMS, DECISIONS, batch, model, molecules

CONDITIONERS = [
    {},
    {"conditioner": "rgcn"},
    {"conditioner": "rgcn", "batch_norm": None, "layers": 4, "out": 10},
    {"conditioner": "rgcn", "batch_norm": "reference", "layers": 3},
]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def every_sequence(n: int, classes: int):
    """All `(atoms (S, n), bond orders (S, n, n))` of n atoms, with and without bonds."""
    pairs = [(i, j) for i in range(n) for j in range(i)]
    rows = list(itertools.product(*[range(classes)] * n, *[range(4)] * len(pairs)))
    table = torch.tensor(rows, dtype=torch.long).reshape(len(rows), n + len(pairs))
    bonds = torch.zeros((len(rows), n, n), dtype=torch.uint8)
    for column, (i, j) in enumerate(pairs, n):
        bonds[:, i, j] = bonds[:, j, i] = table[:, column].to(torch.uint8)
    return table[:, :n], bonds


@pytest.mark.parametrize("decision", ["categorical", "modulo"])
@pytest.mark.parametrize("options", CONDITIONERS)
def test_probabilities_sum_to_one(decision, options):
    """Over all molecules of 0, 1 and 2 atoms, and all larger ones: of 2 atoms and not stopped."""
    flow = model(decision, atoms=("C", "O"), **options).double()
    total = 0.0
    for n in (0, 1, 2):
        atoms, bonds = every_sequence(n, 2)
        log_p, (of_atoms, _) = flow.log_probs(to_batch(atoms, bonds))
        assert of_atoms.shape[0] == len(atoms) * (n + 1)
        if n == 2:
            log_p = log_p - of_atoms.reshape(len(atoms), n + 1)[:, -1]  # whether it stops there or not
        total += log_p.exp().sum().item()
    assert abs(total - 1) < 1e-6


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("options", CONDITIONERS)
@pytest.mark.parametrize("stop", [True, False])
def test_noise_decodes_to_the_molecules(decision, options, stop):
    flow, given = model(decision, stop=stop, spread=0.1, **options).double(), batch()
    with torch.no_grad():
        decoded = flow.decode(*flow.encode(given), given)
    atoms, bonds = to_dense(given)
    ours = decoded.molecules.dense(max_atoms=atoms.shape[1])
    assert torch.equal(ours[0], atoms) and torch.equal(ours[1], bonds)


@pytest.mark.parametrize("options", CONDITIONERS)
def test_density_does_not_depend_on_the_batch(options):
    flow, given = model("modulo", **options).double(), batch(10)
    atoms, bonds = to_dense(given)
    together = flow.log_prob(given)
    for b in range(len(atoms)):
        alone = flow.log_prob(to_batch(atoms[b : b + 1], bonds[b : b + 1]))
        torch.testing.assert_close(alone[0], together[b])


def test_a_batch_equals_its_prefixes():
    flow, given = model(), batch()
    prefixes = flow.expand(given)
    torch.testing.assert_close(flow(given), flow.log_prob(prefixes))
    total, terms = flow.log_probs(prefixes)
    torch.testing.assert_close(sum(t.sum() for t in terms), total.sum())
    assert prefixes.shape == (24,) and prefixes.to("cpu").molecules == 24


def test_bfs_order_changes_only_the_order():
    """Sizes and numbers of decisions are those of the molecules: one per atom, one STOP, pairs within the window."""
    packed, flow = molecules(), model(window=3)
    prefixes = expand(*packed.dense(), packed.vocabulary, 10, stop=True)
    assert prefixes.atoms.target.shape[0] == int(packed.sizes.sum()) + len(packed)
    assert prefixes.edges.target.shape[0] == int((packed.sizes * (packed.sizes - 1) // 2).sum())
    assert prefixes.graphs.num_graphs == int((1 + packed.sizes + packed.n_bonds).sum())
    assert flow.window == 3


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("options", CONDITIONERS)
def test_every_parameter_learns(decision, options):
    flow = model(decision, **options).train()
    (-flow(batch()).mean()).backward()
    dead = [
        name
        for name, p in flow.named_parameters()
        if p.requires_grad and not (p.grad is not None and p.grad.isfinite().all() and p.grad.abs().sum() > 0)
    ]
    assert not dead


def test_learned_prior():
    flow = model("affine", learn_prior=True)
    (-flow(batch()).mean()).backward()
    assert flow.prior_ln_var.grad.abs().sum() > 0
    with pytest.raises(ValueError, match="no continuous base"):
        GraphAF(decision="categorical", learn_prior=True)


@pytest.mark.parametrize("options", CONDITIONERS)
@pytest.mark.parametrize("count", [1, 3])
def test_single_atoms_are_a_batch(options, count):
    flow = model("affine", **options).train()
    atoms, bonds = torch.arange(count)[:, None], torch.zeros((count, 1, 1), dtype=torch.uint8)
    loss = -flow(to_batch(atoms, bonds)).mean()
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in flow.parameters() if p.grad is not None)
    assert all(value.isfinite().all() for value in flow.state_dict().values())


def test_properties_condition_the_density():
    flow, given = model(properties=("logp", "qed")), batch(6)
    context = torch.randn(6, 2)
    flow.property_mean.fill_(2.0)
    flow.property_std.fill_(3.0)
    assert not torch.allclose(flow.log_prob(given, context), flow.log_prob(given, context + 1))
    torch.testing.assert_close(flow.standardize(context), (context - 2) / 3)
    atoms, bonds = to_dense(given)
    alone = flow.log_prob(to_batch(atoms[4:5], bonds[4:5]), context[4:5])
    torch.testing.assert_close(alone[0], flow.log_prob(given, context)[4])
    for wrong in (None, torch.zeros(6), torch.zeros(6, 3)):
        with pytest.raises(ValueError, match="expected properties logp, qed"):
            flow.log_prob(given, wrong)


@pytest.mark.parametrize("decision", DECISIONS)
def test_state_dict_round_trip(decision):
    flow, other = model(decision), model(decision, seed=5)
    other.load_state_dict(flow.state_dict())
    given = batch()
    densities = []
    for one in (flow, other):
        torch.manual_seed(3)
        densities.append(one.log_prob(given))
    torch.testing.assert_close(*densities, rtol=0, atol=0)


def test_masked_norm_sees_no_padding():
    """Training statistics of "masked" are those of the real rows, of "reference" those of all dense copies."""
    flow = model("affine", conditioner="rgcn", batch_norm="masked", stop=False).train()
    packed = molecules(6)
    prefixes = expand(*packed.dense(), packed.vocabulary, flow.window, stop=False)
    rows = []
    original = flow.conditioner.norm.expanded
    flow.conditioner.norm.expanded = lambda h, *counts: rows.append(h.detach()) or original(h, *counts)
    before = flow.conditioner.norm.running_mean.clone()
    flow.log_prob(prefixes)
    torch.testing.assert_close(flow.conditioner.norm.running_mean, 0.9 * before + 0.1 * rows[0].mean(0))
    torch.testing.assert_close(flow.conditioner.norm.running_var, 0.9 + 0.1 * rows[0].var(0))


def test_single_precision_is_close_to_double():
    flow, given = model(conditioner="gine"), batch()
    single = flow.log_prob(given)
    torch.testing.assert_close(single.double(), flow.double().log_prob(given), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_atoms": 0}, "max_atoms and window"),
        ({"window": 0}, "max_atoms and window"),
        ({"conditioner": "gat"}, "unknown conditioner 'gat'"),
        ({"decision": "flip"}, "unknown decision 'flip'"),
        ({"decision_options": {"colour": 3}}, "colour"),
        ({"conditioner": "rgcn", "properties": ("qed",)}, "only the conditioner 'gine'"),
        ({"conditioner": "rgcn", "layers": 1}, "at least 2 layers"),
        ({"conditioner": "rgcn", "batch_norm": "layer"}, "batch_norm must be"),
        ({"layers": 0}, "at least 1 layer"),
        ({"atoms": ("Xx",)}, "unknown atom class"),
        ({"atoms": ("C", "C")}, "may be named once"),
        ({"atoms": ()}, "at least one atom class"),
        ({"atoms": "zinc"}, "unknown vocabulary 'zinc'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        GraphAF(**options)


def test_batches_that_do_not_fit():
    with pytest.raises(ValueError, match="of 7 atoms, the model's largest is 4"):
        model(max_atoms=4).expand(batch())
    chain = PackedMolecules.from_graphs([([0] * 4, [(1, 0, 0), (2, 1, 0), (3, 0, 0)])], molecules(3).vocabulary)
    given = to_batch(*chain.dense())
    assert model(window=3).log_prob(given).isfinite().all()
    with pytest.raises(ValueError, match="spans more than 2 places"):
        model(window=2).log_prob(given)


def test_sizes_of_the_decisions():
    flow = GraphAF(atoms=ATOMS, decision="categorical")
    assert isinstance(flow.atom_decision, CategoricalDecision)
    assert (flow.atom_decision.classes, flow.edge_decision.classes) == (5, 4)
    assert GraphAF(atoms=ATOMS, stop=False).atom_decision.classes == 4
