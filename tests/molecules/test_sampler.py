"""The sampler: its law, valences, seeds, limits, completion."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch
from scipy import stats

from flowsuite.molecules.noise import GivenNoise, PlacedNoise
from flowsuite.molecules.packed import to_batch, to_dense
from flowsuite.molecules.sampler import Generated, Sampler
from flowsuite.molecules.vocabulary import NO_BOND
from tests.molecules.made import DECISIONS, batch, model
from tests.molecules.test_graphaf import every_sequence


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sequences(generated: Generated) -> list[tuple]:
    """Every molecule in the order in which it was made, hashable."""
    graphs = (generated.molecules.graph(i) for i in range(len(generated)))
    return [(tuple(atoms), tuple(sorted(bonds))) for atoms, bonds in graphs]


def canonical(atoms: tuple, bonds: tuple) -> tuple:
    """The same for all orders of the atoms of a molecule (up to 3)."""
    forms = []
    for order in itertools.permutations(range(len(atoms))):
        place = {atom: k for k, atom in enumerate(order)}
        pairs = sorted((max(place[i], place[j]), min(place[i], place[j]), kind) for i, j, kind in bonds)
        forms.append((tuple(atoms[atom] for atom in order), tuple(pairs)))
    return min(forms)


def chi_square(counts: Counter, expected: dict, total: int) -> float:
    """p-value of the counts, rare outcomes taken together."""
    common = [key for key, p in expected.items() if p * total >= 10]
    observed = [counts[key] for key in common]
    wanted = [expected[key] * total for key in common]
    observed, wanted = [*observed, total - sum(observed)], [*wanted, total - sum(wanted)]
    return stats.chisquare(observed, wanted).pvalue


@pytest.mark.parametrize("decision", ["categorical", "modulo"])
def test_unchecked_sampling_has_the_models_law(decision):
    """Frequencies of all molecules of 1 and 2 atoms, summed over their orders, beside `exp(log_prob)`."""
    flow, n = model(decision, atoms=("C", "O"), seed=1, max_atoms=3).double(), 20_000
    got = flow.sample(n, check=False, min_atoms=1, generator=generator())
    found = Counter(
        canonical(*sequence)
        for sequence, loose in zip(sequences(got), got.unattached.tolist(), strict=True)
        if not loose
    )
    expected, not_empty = {}, 1 - flow.log_prob(to_batch(*every_sequence(0, 2))).exp().item()  # STOP is redrawn there
    for size in (1, 2):
        atoms, bonds = every_sequence(size, 2)
        bonded = torch.ones(len(atoms), dtype=torch.bool) if size == 1 else bonds.sum((1, 2)) > 0
        atoms, bonds = atoms[bonded], bonds[bonded]
        for row, log_p in enumerate(flow.log_prob(to_batch(atoms, bonds)).tolist()):
            pairs = tuple((i, j, int(bonds[row, i, j]) - 1) for i, j in bonds[row].tril().nonzero().tolist())
            key = canonical(tuple(atoms[row].tolist()), pairs)
            expected[key] = expected.get(key, 0.0) + torch.tensor(log_p).exp().item() / not_empty
    assert len(expected) > 8 and 0.1 < sum(expected.values()) < 0.999
    assert chi_square(found, expected, n) > 1e-3


def test_checked_sampling_has_the_conditional_law():
    """Of two atoms: each bond as in the model, given that it is one that both valences allow."""
    flow, n = model(atoms=("F", "O", "N"), seed=2, max_atoms=2).double(), 20_000
    got = flow.sample(n, min_atoms=2, generator=generator())
    assert (got.molecules.sizes == 2).all() and not got.unattached.any()
    atoms, bonds = every_sequence(2, 3)
    _, (of_atoms, of_bonds) = flow.log_probs(to_batch(atoms, bonds))
    of_atoms, order = of_atoms.reshape(-1, 3)[:, :2].exp(), bonds[:, 1, 0].long()
    limit = torch.tensor(flow.vocabulary.valences)[atoms].amin(1)
    allowed = (order >= 1) & (order <= limit)
    expected = {}
    weight = of_bonds.exp() * allowed
    for a in range(3):
        first = (atoms[:, 0] == a) & (order == 1)
        p_first = of_atoms[atoms[:, 0] == a][0, 0] / sum(of_atoms[atoms[:, 0] == k][0, 0] for k in range(3))
        p_not_stop = of_atoms[first, 1].sum()
        for b in range(3):
            rows = (atoms[:, 0] == a) & (atoms[:, 1] == b)
            p_second = of_atoms[rows][0, 1] / p_not_stop
            for row in (rows & allowed).nonzero()[:, 0].tolist():
                key = ((a, b), ((1, 0, int(order[row]) - 1),))
                expected[key] = (p_first * p_second * weight[row] / weight[rows].sum()).item()
    assert abs(sum(expected.values()) - 1) < 1e-9
    assert chi_square(Counter(sequences(got)), expected, n) > 1e-3


@pytest.mark.parametrize("decision", DECISIONS)
@pytest.mark.parametrize("options", [{}, {"stop": False}, {"conditioner": "rgcn", "batch_norm": "reference"}])
def test_checked_sampling_keeps_valences_and_bonds(decision, options):
    flow = model(decision, window=3, spread=0.1, **options)
    got = flow.sample(60, temperature=1.2, max_atoms=10, generator=generator())
    atoms, bonds = got.molecules.dense()
    valences = torch.tensor([*flow.vocabulary.valences, 0])
    assert (bonds.long().sum(2) <= valences[atoms]).all()
    assert torch.equal(bonds, bonds.mT) and int(bonds.max()) <= 3
    place = torch.arange(atoms.shape[1])
    assert not bonds[:, (place[:, None] - place).abs() > 3].any()
    assert ((bonds.tril(-1).sum(2) > 0) | (atoms < 0) | (place == 0)).all()  # all but the first have an earlier one
    assert (got.molecules.sizes >= 1).all() and (got.molecules.sizes <= 10).all()


def test_unchecked_sampling_breaks_valences():
    flow = model()
    got = flow.sample(200, check=False, generator=generator())
    atoms, bonds = got.molecules.dense()
    valences = torch.tensor([*flow.vocabulary.valences, 0])
    assert (bonds.long().sum(2) > valences[atoms]).any()


def test_seeds_repeat():
    flow = model()
    one, two, other = (sequences(flow.sample(50, generator=generator(seed))) for seed in (1, 1, 2))
    assert one == two and one != other


def test_temperature_zero_is_one_molecule():
    flow = model("categorical")
    drawn = {
        sequence
        for seed in (0, 1)
        for sequence in sequences(flow.sample(8, temperature=0.0, generator=generator(seed)))
    }
    assert len(drawn) == 1


@pytest.mark.parametrize("check", [True, False])
def test_molecules_do_not_depend_on_the_batch(check):
    flow, n = model("spline", spread=0.1).double(), 12
    atoms, edges = torch.randn(n, 9, 5, generator=generator()), torch.randn(n, 900, 4, generator=generator(1))
    together = flow.sample(n, noise=GivenNoise(atoms, edges), check=check)
    alone = [flow.sample(1, noise=GivenNoise(atoms[i : i + 1], edges[i : i + 1]), check=check) for i in range(n)]
    assert sequences(Generated.join(alone)) == sequences(together)
    assert torch.equal(Generated.join(alone).rejected, together.rejected)


def test_size_limits():
    flow = model(seed=3)
    got = flow.sample(100, max_atoms=5, min_atoms=3, generator=generator())
    free = flow.sample(100, max_atoms=12, generator=generator())
    assert int(got.molecules.sizes.max()) <= 5 and int(free.molecules.sizes.max()) > 5
    assert int(free.molecules.sizes.min()) < 3 <= int(got.molecules.sizes.float().median())
    single = flow.sample(20, max_atoms=1, generator=generator())
    assert (single.molecules.sizes == 1).all() and single.molecules.n_bonds.sum() == 0


def test_min_atoms_holds_where_the_model_would_always_stop():
    flow = model()
    stop = flow.atom_decision.trunk[-1].bias.data[-1:]
    stop.fill_(60.0)
    for temperature in (0.0, 1.0):
        got = flow.sample(10, temperature=temperature, min_atoms=2, check=False, generator=generator())
        assert (got.molecules.sizes + got.unattached >= 2).all()
        assert (flow.sample(10, temperature=temperature, generator=generator()).molecules.sizes == 1).all()


def test_completion_keeps_the_start():
    flow, given = model(seed=4), batch(12, largest=4)
    atoms, bonds = to_dense(given)
    got = flow.sample(12, start=(atoms, bonds), max_atoms=8, generator=generator())
    ours_atoms, ours_bonds = got.molecules.dense(max_atoms=8)
    there = atoms >= 0
    n = atoms.shape[1]
    assert torch.equal(ours_atoms[:, :n][there], atoms[there])
    pairs = there[:, :, None] & there[:, None, :]
    assert torch.equal(ours_bonds[:, :n, :n][pairs], bonds[pairs])
    assert (got.molecules.sizes > there.sum(1)).any()
    with pytest.raises(ValueError, match="start holds 12 molecules"):
        flow.sample(5, start=(atoms, bonds))
    with pytest.raises(ValueError, match="of at most 3"):
        flow.sample(12, start=(atoms, bonds), max_atoms=3)


def test_completion_has_the_law_of_what_follows():
    """From one carbon: the same as all samples that begin with it."""
    flow, n = model(atoms=("C", "O"), seed=1, max_atoms=2).double(), 8000
    start = torch.zeros((n, 1), dtype=torch.long), torch.zeros((n, 1, 1), dtype=torch.uint8)
    completed = Counter(sequences(flow.sample(n, start=start, check=False, generator=generator())))
    free = [s for s in sequences(flow.sample(4 * n, check=False, generator=generator(1))) if s[0][0] == 0]
    expected = {key: count / len(free) for key, count in Counter(free).items()}
    shares = torch.tensor([[completed[key] / n, p] for key, p in expected.items()])
    assert (shares[:, 0] - shares[:, 1]).abs().max() < 0.03


def test_properties_steer():
    flow = model(properties=("size",), spread=0.5)
    context = torch.tensor([[-5.0], [5.0]]).repeat_interleave(200, 0)
    sizes = flow.sample(400, context, generator=generator()).molecules.sizes.float()
    assert (sizes[:200].mean() - sizes[200:].mean()).abs() > 0.3
    with pytest.raises(ValueError, match="expected properties size"):
        flow.sample(3)


@pytest.mark.parametrize(
    ("n", "options", "message"),
    [
        (0, {}, "at least 1 molecule"),
        (2, {"temperature": -1.0}, "temperature >= 0"),
        (2, {"temperature": float("nan")}, "temperature >= 0"),
        (2, {"min_atoms": 9}, "above the largest size"),
    ],
)
def test_bad_arguments(n, options, message):
    with pytest.raises(ValueError, match=message):
        model().sample(n, **options)


class Choices(GivenNoise):
    """Scores themselves instead of noise."""


def choosing(classes: list[int], k: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(classes), k).double()[None]


def scripted(monkeypatch, atoms: list[int], bonds: list[int], **options) -> tuple[Generated, Sampler]:
    """A run in which the n-th atom and the n-th draw of a bond are given."""
    flow = model(stop=False, atoms=("C", "F", "O"), **options)
    for decision in (flow.atom_decision, flow.edge_decision):
        monkeypatch.setattr(decision, "decode", lambda params, noise, temperature: noise)
    noise = Choices(choosing(atoms, 3), choosing(bonds, 4))
    sampler = Sampler(flow, 1, noise=noise, max_atoms=len(atoms))
    return sampler.run(), sampler


def test_refused_classes_are_counted_for_each_bond(monkeypatch):
    """Three refused classes end a decision, refusals of two decisions do not."""
    none, single, double, triple = NO_BOND, 0, 1, 2
    # C=O; then F: no bond to C, and none of the three to O, which is full: F is left without a bond
    got, sampler = scripted(monkeypatch, [0, 2, 1], [double, none, single, double, triple])
    assert got.rejected.item() == 3 and sampler.draws.item() == 5 and got.unattached.item()
    assert got.molecules.sizes.item() == 2
    # F-C; then O: two classes refused by F, then no bond; one refused by C itself, then a single bond
    got, sampler = scripted(monkeypatch, [1, 0, 2], [single, double, triple, none, triple, single])
    assert got.rejected.item() == 3 and not got.unattached.item()
    assert got.molecules.sizes.item() == 3 and sampler.draws.item() == 6


def test_given_noise_may_be_just_enough(monkeypatch):
    """Bonds drawn ahead need no noise, those that count do."""
    got, sampler = scripted(monkeypatch, [0, 0, 0], [0, 0, NO_BOND])
    assert sampler.draws.item() == 3 and got.molecules.sizes.item() == 3
    with pytest.raises(ValueError, match="holds 2 draws of bonds a molecule, 3 were needed"):
        scripted(monkeypatch, [0, 0, 0], [0, 0])


def test_placed_noise_needs_no_count():
    noise = PlacedNoise(torch.zeros(1, 3, 3), torch.randn(1, 2, 2, 4))
    rows = torch.tensor([0])
    assert torch.equal(noise.edges(rows, rows + 1, rows, rows + 99), noise._edges[:, 1, 0])
