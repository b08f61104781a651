"""The tables of the continuous suites on tiny networks, and what is claimed of them; nothing here is timed."""

import argparse

import pytest
import torch

pytest.importorskip("zuko")

from benchmarks import cnf, pointclouds, timing
from benchmarks.claims import CLAIMS
from benchmarks.comparisons import find
from benchmarks.race import Run, race, race_table

ARGS = argparse.Namespace(rounds=1, no_compile=True, seconds=0.05, batch=16, part=None)


@pytest.fixture
def once(monkeypatch):
    """Every contender runs once, and no likelihood is computed in a race."""
    for suite in (cnf, pointclouds):
        monkeypatch.setattr(suite, "medians", lambda contenders, *_: timing.medians(contenders, rounds=1, warmup=0))
        monkeypatch.setattr(suite, "test_nll", lambda *_: 1.0)


def claims_without(suite, tables, left_out):
    """Claims whose figures are not in the tables, those of compiled contenders and of `left_out` aside."""
    results = argparse.Namespace(tables=tables, device="cpu")
    claims = [c for c in CLAIMS[suite]() if not c.ours[0].endswith("compiled") and left_out not in c.what]
    return [c.what for c in claims if find(c, results) is None], len(claims)


def test_a_race():
    runs = {
        "peer": Run([(1.0, 3.0), (4.0, 2.0)], 10),
        "ours": Run([(0.5, 2.5), (2.0, 1.5)], 20),
        "slow": Run([(5.0, 2.1)], 3),
    }
    table = race_table("A race", runs, dict.fromkeys(runs, 1e-3), "peer", 5)
    assert [row[:3] for row in table.rows] == [["peer", 4.0, 1.0], ["ours", 2.0, 2.0], ["slow", "not reached", None]]
    assert "| slow | not reached | - | 2.100 | 2.100 | 3 | 1e-03 |" in str(table) and "time to 2.000 nats, s" in str(
        table
    )


def test_everyone_races_with_the_better_rate():
    ended = {("a", 1.0): 2.0, ("a", 2.0): 1.0, ("b", 1.0): 3.0, ("b", 2.0): float("nan")}
    made = []

    def run(name, rate, seconds, points):
        made.append((name, rate, seconds, points))
        return Run([(seconds, ended[name, rate])], 1)

    runs, rates = race(run, "ab", (1.0, 2.0), 60.0)
    assert rates == {"a": 2.0, "b": 1.0} and runs["b"].curve == [(60.0, 3.0)]
    assert made[:3] == [("a", 1.0, 10.0, 1), ("a", 2.0, 10.0, 1), ("a", 2.0, 60.0, 24)]


def test_tables_of_toy_flows(once, monkeypatch):
    monkeypatch.setattr(cnf, "TOYS", ("8gaussians",))
    monkeypatch.setattr(cnf, "batches", lambda name, size, seed: lambda: cnf.sample_toy(name, min(size, 16)))
    tables = [cnf.step_table(100, 0, ARGS), cnf.toy_race("8gaussians", ARGS)]
    assert len(tables[0].rows) == len(tables[1].rows) == 5
    missing, count = claims_without("cnf", tables, "after 300")
    assert set(missing) == {c.what for c in CLAIMS["cnf"]() if "2spirals" in c.what} and count > 10


def test_tables_of_pointflow(once, monkeypatch):
    tiny = {"zdim": 4, "hidden": (8, 8), "latent_hidden": (8,)}
    monkeypatch.setattr(pointclouds, "PUBLISHED", tiny)
    monkeypatch.setattr(pointclouds, "SMALL", tiny)
    monkeypatch.setattr(pointclouds, "clouds", lambda family, split, n, points: torch.randn(n, 256, 3))
    monkeypatch.setattr(pointclouds, "solver_error", lambda _: 1e-6)
    tables = list(pointclouds.tables(ARGS))
    assert claims_without("pointclouds", tables, "no such") == ([], 12)
