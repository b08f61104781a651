"""MoFlow: exact both ways, its log-determinant, sampling, training, bad input."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd.functional import jacobian

from flowsuite.core.flow import Flow
from flowsuite.molecules import MoFlow
from flowsuite.molecules.atom_flow import AtomNet, adjacency
from flowsuite.molecules.packed import PackedMolecules, permute, to_batch
from flowsuite.molecules.tables import bond_classes, split_numbers, split_table
from flowsuite.molecules.vocabulary import NO_BOND
from tests.molecules.made import ATOMS, molecules

SMALL = {"atoms": ATOMS, "max_atoms": 4, "squeeze": 2, "bond_flows": 2, "bond_width": 8, "atom_flows": 6}
SMALL |= {"atom_gnn": (6,), "atom_linear": (7, 5)}
VARIANTS = {
    "published": {},
    "conv1x1": {"permutation": "conv1x1", "squeeze": 1, "scale": "tanh"},
    "swap": {"permutation": "swap", "squeeze": 4, "bond_flows": 3},
    "deep": {"atom_gnn": (6, 5), "atom_linear": (), "learn_scale": False, "scale": "bounded_sigmoid"},
}


def model(seed: int = 0, spread: float = 0.1, start: bool = True, **options) -> MoFlow:
    """A small MoFlow, initialised from data, with weights that are far from their start."""
    torch.manual_seed(seed)
    flow = MoFlow(**{**SMALL, **options}).double().eval()
    if start:
        flow.initialize(table(flow))
    with torch.no_grad():
        for parameter in flow.parameters():
            if parameter.requires_grad:
                parameter.add_(spread * torch.randn_like(parameter))
    return flow


def table(flow: MoFlow, count: int = 16) -> torch.Tensor:
    return flow.expand(to_batch(*molecules(count, flow.max_atoms).dense()))


def noise_of(flow: MoFlow, x: torch.Tensor, seed: int = 7) -> torch.Tensor:
    torch.manual_seed(seed)
    return flow.dequantize(x)[0]


@pytest.mark.parametrize("variant", VARIANTS)
def test_log_determinant(variant):
    """Against the Jacobian of the whole map, bonds and atoms, by brute force."""
    flow = model(**VARIANTS[variant])
    y = noise_of(flow, table(flow))[:2]
    z, ladj = flow.body(y)
    assert z.shape == (2, 4 * 16 + 4 * 5) and ladj.abs().min() > 1e-3
    for b in range(2):
        full = jacobian(lambda row: flow.body(row[None])[0][0], y[b])
        torch.testing.assert_close(torch.linalg.slogdet(full)[1], ladj[b])
        assert full[:64, 64:].abs().max() == 0  # bonds do not depend on atoms
    back, inverse_ladj = flow.body.inverse(z)
    torch.testing.assert_close(back, y)
    torch.testing.assert_close(inverse_ladj, -ladj)
    torch.testing.assert_close(flow.body.generate(z), y)


@pytest.mark.parametrize("variant", VARIANTS)
def test_latents_decode_to_the_molecules(variant):
    flow = model(**VARIANTS[variant])
    packed = molecules(16, 4)
    x = table(flow)
    z = flow.encode(x)
    assert z.shape == (16, 84) and torch.equal(flow.decode(z), x)
    again = flow.molecules_of(z, check=False)
    both = flow.molecules_of(z)
    for generated in (again, both):
        assert [generated.molecules.graph(i) for i in range(16)] == [canonical_graph(packed, i) for i in range(16)]
        assert generated.rejected.sum() == 0 and not generated.unattached.any()
    single = MoFlow(**{**SMALL, **VARIANTS[variant]})
    single.load_state_dict(flow.state_dict())
    assert torch.equal(single.decode(single.encode(x)), x)


def canonical_graph(packed: PackedMolecules, i: int):
    atoms, bonds = packed.graph(i)
    return atoms, sorted(bonds)


def test_density_is_the_flows():
    """`log_prob` is base, log-determinants and the volume of the noise; its two terms add up to it."""
    flow = model()
    x = table(flow)
    torch.manual_seed(7)
    total, (atoms, bonds) = flow.log_probs(x)
    torch.testing.assert_close(total, atoms + bonds)
    torch.manual_seed(7)
    torch.testing.assert_close(Flow.log_prob(flow, x), total)
    y = noise_of(flow, x)
    z, ladj = flow.body(y)
    normal = torch.distributions.Normal(0, 1).log_prob(z).sum(1)
    torch.testing.assert_close(normal + ladj + 84 * math.log(0.6), total)
    torch.manual_seed(7)
    torch.testing.assert_close(flow(to_batch(*molecules(16, 4).dense())), total)


def test_density_does_not_depend_on_the_batch():
    flow = model().train()
    y = noise_of(flow, table(flow))
    z, ladj = flow.body(y)
    alone, alone_ladj = flow.body(y[3:4])
    torch.testing.assert_close(alone, z[3:4])
    torch.testing.assert_close(alone_ladj, ladj[3:4])


def test_dequantised_mass_is_a_bound():
    """One place, one class: the density of the unit cell of a molecule integrates to at most its probability."""
    flow = model(atoms=("C",), max_atoms=1, squeeze=1, atom_flows=1, start=False)
    x = torch.tensor([[[0, 0]]], dtype=torch.int16)
    torch.manual_seed(0)
    bound = flow.log_prob(x.expand(4000, 1, 2)).mean().exp().item()
    found = flow.sample(4000, check=False, generator=torch.Generator().manual_seed(0)).molecules.sizes
    assert 0 < bound < found.double().mean().item()


def test_order_of_atoms_is_part_of_the_molecule():
    """Places have parameters of their own: a molecule in another order has another density, and decodes in its own."""
    flow = model()
    atoms, bonds = molecules(16, 4).dense()
    rows = (atoms >= 0).all(1)
    atoms, bonds = atoms[rows], bonds[rows]
    turned = permute(atoms, bonds, torch.tensor([[3, 1, 0, 2]]).expand(len(atoms), -1))
    x, other = flow.expand(to_batch(atoms, bonds)), flow.expand(to_batch(*turned))
    assert len(x) and torch.equal(flow.decode(flow.encode(other)), other)
    assert not torch.allclose(flow.encode(x).norm(dim=1), flow.encode(other).norm(dim=1))


def test_atoms_see_bonds_and_other_atoms_only():
    torch.manual_seed(0)
    net = AtomNet(row=2, features=5, gnn=(6,), linear=(4,)).double()
    torch.nn.init.normal_(net.mlp[-1].weight)
    x, bonds = torch.randn(3, 4, 5).double(), torch.randint(0, 4, (3, 4, 4))
    weights = adjacency(bonds, torch.float64)
    assert torch.equal(weights.argmax(1), bonds) and weights[:, NO_BOND].max() == 0.25
    kept = x.clone()
    kept[:, 2] = 0
    params = net(kept, weights).unflatten(1, (2, 4))
    assert params[:, :, [0, 1, 3]].abs().max() == 0 and params[:, :, 2].abs().min() > 0
    kept[:, 0] += 1
    assert not torch.allclose(net(kept, weights).unflatten(1, (2, 4)), params)
    assert not torch.allclose(net(kept, adjacency((bonds + 1) % 4, torch.float64)), net(kept, weights))


def test_bonds_are_symmetrised():
    y = torch.zeros(1, 4, 3, 3)
    y[0, NO_BOND] = 0.5
    y[0, 1, 0, 1] = 1.2  # averages 0.6 above 0.5
    y[0, 2, 2, 0] = 0.9  # averages 0.45 below
    y[0, 0, 1, 1] = 9.0  # the diagonal is no bond
    wanted = torch.full((3, 3), NO_BOND)
    wanted[0, 1] = wanted[1, 0] = 1
    assert torch.equal(bond_classes(y)[0], wanted)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0, 4.0])
@pytest.mark.parametrize("atoms", [ATOMS, ("C", "N", "O", "N+", "O-", "S", "P", "Cl-")])
def test_samples_are_molecules(temperature, atoms):
    """Of a model that knows nothing: always valid when corrected, seldom otherwise."""
    chemistry = pytest.importorskip("flowsuite.molecules.chemistry")
    flow = MoFlow(**{**SMALL, "max_atoms": 8, "atoms": atoms, "atom_flows": 8}).eval()
    draws = [flow.sample(150, None, temperature, torch.Generator().manual_seed(1), check=c) for c in (True, False)]
    checked, free = (chemistry.smiles_from_packed(part.molecules) for part in draws)
    assert all(text and "." not in text for text in checked)
    clean = draws[0].rejected == 0
    assert not draws[0].unattached[clean].any()
    for i in clean.nonzero()[:, 0].tolist():  # what needed no correction is what comes without
        assert draws[0].molecules.graph(i) == draws[1].molecules.graph(i) and free[i] == checked[i]
    for i in (~clean).nonzero()[:, 0].tolist():
        assert free[i] is None or "." in free[i] or free[i] != checked[i] or atoms is not ATOMS
    assert draws[1].rejected.sum() == 0 and not draws[1].unattached.any()


def test_an_empty_graph_gets_an_atom():
    flow = model()
    nothing = torch.full((2, 4, 5), 0, dtype=torch.int16)
    nothing[:, :, 0] = -1
    generated = flow.molecules_of(flow.encode(nothing))
    assert generated.molecules.sizes.tolist() == [1, 1] and generated.rejected.tolist() == [1, 1]
    assert flow.molecules_of(flow.encode(nothing), check=False).molecules.sizes.tolist() == [0, 0]


def test_corrections_are_counted():
    """F=C, O apart, an absent atom between with a bond to it."""
    flow = model()
    x = torch.zeros(1, 4, 5, dtype=torch.int16)
    x[0, :, 0] = torch.tensor([3, -1, 0, 2])
    for i, j, order in ((0, 2, 2), (1, 3, 1)):
        x[0, i, 1 + j] = x[0, j, 1 + i] = order
    z = flow.encode(x)
    generated = flow.molecules_of(z)
    assert generated.molecules.graph(0) == ([3, 0], [(1, 0, 0)])
    assert generated.rejected.tolist() == [2] and generated.unattached.tolist() == [True]
    assert flow.molecules_of(z, check=False).molecules.graph(0) == ([3, 0, 2], [(1, 0, 1)])


def test_samples_follow_the_seed():
    flow = model()
    first, again, other = (flow.sample(20, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    graphs = [[part.molecules.graph(i) for i in range(20)] for part in (first, again, other)]
    assert graphs[0] == graphs[1] != graphs[2]
    cold = flow.sample(20, temperature=0.0).molecules
    assert len({str(cold.graph(i)) for i in range(20)}) == 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_parameter_learns(variant):
    flow = model(start=False, **VARIANTS[variant]).train()
    (-flow(table(flow)).mean()).backward()
    dead = [n for n, p in flow.named_parameters() if p.requires_grad and not (p.grad is not None and p.grad.any())]
    assert not dead and all(p.grad.isfinite().all() for p in flow.parameters() if p.requires_grad)


def test_training_lowers_the_loss():
    torch.manual_seed(0)
    flow = MoFlow(**{**SMALL, "bond_width": 16})
    x = table(flow, 24)
    flow.initialize(x)
    optimizer = torch.optim.Adam(flow.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = -flow(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) / 10 < losses[0] - 15


def test_initialisation_whitens():
    flow = model(spread=0.0)
    y = noise_of(flow, table(flow), seed=1)
    assert all(layer.initialized for layer in flow.modules() if hasattr(layer, "initialized"))
    first = flow.body.bonds[1][0].actnorm
    h = first(flow.body.bonds[0](split_numbers(y, 4)[0])[0])[0]
    assert h.mean((0, 2, 3)).abs().max() < 0.2


def test_tables_hold_the_molecules():
    flow = model()
    packed = molecules(5, 3)
    atoms, bonds = split_table(flow.expand(to_batch(*packed.dense())))
    wanted = packed.dense(max_atoms=4)
    assert torch.equal(atoms, wanted[0]) and torch.equal(bonds, wanted[1].long())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_atoms": 0}, "max_atoms must be at least 1, got 0"),
        ({"squeeze": 3}, "squeeze must divide max_atoms, got 3 and 4"),
        ({"bond_flows": 0}, "bond_flows must be at least 1"),
        ({"atom_flows": 0}, "atom_flows must be at least 1"),
        ({"atom_gnn": ()}, "at least one graph layer"),
        ({"atom_gnn": (4, 0)}, r"atom_gnn\[1\] must be at least 1"),
        ({"atom_linear": (0,)}, r"atom_linear\[0\] must be at least 1"),
        ({"permutation": "shuffle"}, "permutation must be one of conv1x1, conv1x1_lu, swap, got 'shuffle'"),
        ({"noise": 1.0}, "noise must be between 0 and 1, got 1.0"),
        ({"noise": 0.0}, "noise must be between 0 and 1, got 0.0"),
        ({"scale": "cube"}, "unknown scale map 'cube'"),
        ({"atoms": "zinc"}, "unknown vocabulary 'zinc'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        MoFlow(**{**SMALL, **options})


def test_bad_input():
    flow = model()
    with pytest.raises(ValueError, match="of 5 atoms, the model's largest is 4"):
        flow.log_prob(to_batch(*molecules(4, 5).dense()))
    for wrong in (torch.zeros(2, 4, 4, dtype=torch.int16), torch.zeros(2, 4, 5), torch.zeros(4, dtype=torch.long), "C"):
        with pytest.raises(ValueError, match=r"expected molecules as integers \(B, 4, 5\)"):
            flow.log_prob(wrong)
    for n, temperature in ((0, 1.0), (2, -1.0), (2, float("nan"))):
        with pytest.raises(ValueError, match="at least 1 molecule and a temperature >= 0"):
            flow.sample(n, temperature=temperature)


def test_state_dict_round_trip():
    flow, other = model(), model(seed=5)
    other.load_state_dict(flow.state_dict())
    x = table(flow)
    torch.testing.assert_close(flow.encode(x), other.encode(x), rtol=0, atol=0)
