"""The molecule benchmark's peer is the same model as ours; nothing here is timed."""

import argparse

import pytest
import torch

pytest.importorskip("rdkit")

from benchmarks import molecules
from benchmarks.peers_molecules import DenseGraphAF, dense_inputs
from flowsuite.molecules.noise import GivenNoise
from flowsuite.molecules.packed import ordered_batch, to_dense
from flowsuite.molecules.prefix import expand

TINY = molecules.Size("tiny", "qm9_train.smi.gz", "qm9", 9, 5, 2, 8, 2)


def random_flow(dtype):
    torch.manual_seed(0)
    flow = TINY.published().to(dtype)
    for parameter in (p for p in flow.parameters() if p.requires_grad):
        parameter.data.add_(0.2 * torch.randn_like(parameter))
    return flow


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
@pytest.mark.parametrize("training", [False, True])
def test_dense_peer_has_our_likelihood(dtype, tolerance, training):
    flow = random_flow(dtype).train(training)
    peer = DenseGraphAF(flow)
    packed = molecules.molecules(TINY, 6)
    atoms, bonds = to_dense(ordered_batch(packed, torch.arange(6), TINY.window))
    prefixes = expand(atoms, bonds, flow.vocabulary, flow.window, False, pad_to=flow.max_atoms)
    encoded, total, values = flow.encode_states(prefixes), 0.0, []
    for decision, steps in flow.decisions(prefixes):
        y = decision.dequantize(steps.target, dtype=dtype)
        terms = decision.log_density(*decision.transform(decision.prepare(encoded, steps), y))
        total = total + torch.zeros(6, dtype=dtype).index_add(0, steps.molecule, terms)
        values.append(y.reshape(6, -1, decision.classes))
    theirs = peer.log_prob(*dense_inputs(atoms, bonds, flow.max_atoms, len(flow.vocabulary), dtype), *values)
    torch.testing.assert_close(total, theirs, rtol=tolerance, atol=tolerance)
    if training:
        torch.testing.assert_close(peer.norm.running_var, flow.conditioner.norm.running_var, rtol=1e-4, atol=1e-5)


def test_peer_draws_our_molecules():
    """From the same noise: RDKit's verdict on every bond is the valence table's."""
    flow = random_flow(torch.float64).eval()
    peer, n = DenseGraphAF(flow), 12
    atoms, edges = torch.randn(n, 9, 4).double(), torch.randn(n, 2000, 4).double()
    ours = flow.sample(n, noise=GivenNoise(atoms, edges)).molecules
    assert molecules.valid(ours) == n
    for index in range(n):
        mol = peer.sample_one(atoms[index], edges[index])
        kinds, bonds = ours.graph(index)
        assert [atom.GetAtomicNum() for atom in mol.GetAtoms()] == [flow.vocabulary.atoms[kind][0] for kind in kinds]
        theirs = {
            (b.GetBeginAtomIdx(), b.GetEndAtomIdx(), molecules.BONDS.index(b.GetBondType())) for b in mol.GetBonds()
        }
        assert theirs == set(bonds)


def test_tables_have_a_row_for_every_contender(monkeypatch):
    monkeypatch.setattr(molecules, "memory_of", lambda *_: 1.0)
    monkeypatch.setattr(molecules, "LOCK_STEP", 4)
    args = argparse.Namespace(device="cpu", rounds=1, seconds=0.5, threads=1)
    text = f"{molecules.training(TINY, args)}\n{molecules.sampling(TINY, args)}"
    for name in (molecules.DENSE, molecules.ONE_BY_ONE, "flowsuite, GINE + spline", "flowsuite, GINE + categorical"):
        assert f"| {name} |" in text


def test_molecules_without_the_data_set(monkeypatch, tmp_path):
    monkeypatch.setattr(molecules, "DATA", tmp_path)
    packed = molecules.molecules(TINY, 5)
    assert len(packed) == 5 and int(packed.sizes.max()) <= 9
