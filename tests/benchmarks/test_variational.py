"""The peers of the variational benchmark minimise what we do; nothing here is timed."""

from __future__ import annotations

import argparse
import itertools
import math

import pytest
import torch

pytest.importorskip("normflows")
pytest.importorskip("zuko")

from benchmarks import variational
from benchmarks.claims import CLAIMS
from benchmarks.comparisons import find
from benchmarks.peers_variational import MAKERS, Fitted
from flowsuite.core.variational.quadrature import log_normalizer


@pytest.mark.parametrize("kind", variational.STEPS)
def test_losses_are_reverse_divergences(kind):
    """Free energies of a normalised density are divergences: not negative, and lowered by the same steps."""
    target = variational.target_of("U1")
    log_z = log_normalizer(target, target.support)
    for who in variational.STEPS[kind]:
        fitted = variational.make(who, kind, 4, target, "cpu")
        before = log_z + fitted.negative_elbo(2000)
        racer = variational.Racer(fitted, math.inf, 64)
        optimizer = racer.optimizer
        for _ in range(60):
            variational.step_of(fitted.loss, optimizer, 64)
        after = log_z + fitted.negative_elbo(2000)
        assert -0.05 < after < before, who


def test_planar_peers_have_our_loss_at_equal_parameters():
    """normflows' planar layers with our parameters: the same density of the same noise."""
    target = variational.target_of("U4")
    own, peer = (variational.make(who, "planar", 3, target, "cpu") for who in ("ours", "normflows"))
    layer = own.module.layers[-1]
    with torch.no_grad():
        for k, flow in enumerate(peer.module.flows):
            flow.w.copy_(layer.w[k])
            flow.u.copy_(layer.u[k])
            flow.b.copy_(layer.b[k])
        for parameter in own.module.layers[0].parameters():
            parameter.zero_()
        for parameter in peer.module.q0.parameters():
            parameter.zero_()
        z = torch.randn(7, 2)
        ours = layer(z)
        theirs, ladj = z, torch.zeros(7)
        for flow in peer.module.flows:
            theirs, part = flow(theirs)
            ladj = ladj + part
    torch.testing.assert_close(ours[0], theirs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ours[1], ladj, rtol=1e-4, atol=1e-4)


def test_both_peers_have_networks_of_our_size():
    target = variational.target_of("U1")
    for kind, close in (("spline", 0.01), ("affine", 0.05)):
        sizes = [sum(p.numel() for p in MAKERS[who](kind, 4, target).module.parameters()) for who in ("ours", "zuko")]
        assert abs(sizes[0] / sizes[1] - 1) < close, (kind, sizes)


def test_a_racer_keeps_to_its_time(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(variational.time, "perf_counter", lambda: 0.005 * next(ticks))  # a step takes one tick
    calls = []

    def loss(n: int, beta: float) -> torch.Tensor:
        calls.append(beta)
        return module.weight.square().sum()

    module = torch.nn.Linear(1, 1)
    racer = variational.Racer(Fitted(module, loss), 0.2, 8)
    racer.run(0.1)
    first = racer.steps
    racer.run(10)
    assert racer.clock == pytest.approx(0.2, abs=0.006) and first == pytest.approx(20, abs=1)
    assert racer.steps == len(calls) == pytest.approx(40, abs=1)
    assert calls == sorted(calls) and calls[0] == 0.01 and calls[-1] == 1
    assert racer.optimizer.param_groups[0]["lr"] < 0.02 * variational.LR


def test_tables(monkeypatch):
    monkeypatch.setattr(variational, "STEPS", {"planar": ("ours", "normflows")})
    monkeypatch.setattr(variational, "SAMPLES", 100)
    args = argparse.Namespace(device="cpu", rounds=1, seconds=0.06, part=None, no_compile=True)
    tables = list(variational.tables(args))
    claims = [c for c in CLAIMS["variational"]() if c.table == "KL(q||p)" or c.ours[0].startswith("planar")]
    compiled = [c for c in claims if c.ours[-1] == "ours, compiled"]
    found = [c for c in claims if find(c, argparse.Namespace(tables=tables, device="cpu"))]
    assert len(found) == 2 + 4 * 3 and set(claims) == {*found, *compiled}
    steps, races = map(str, tables)
    assert steps.count("\n| planar, batch") == 4 and "| normflows |" in steps
    rows = [line.split(" | ") for line in races.splitlines() if line.startswith("| U")]
    assert len(rows) == 4 * len(variational.RACERS) and all(math.isfinite(float(row[3])) for row in rows)
