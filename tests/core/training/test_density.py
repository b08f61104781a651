"""Few steps, certificates and pictures from the command line; pairs for reflow."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowsuite.core.data import Reflow, Table, Toy
from flowsuite.core.ode import Adaptive, FixedGrid, solver_by_name
from flowsuite.core.training.checkpoint import build_module, load_module, save_module
from flowsuite.core.training.cli import main
from flowsuite.core.training.density import COMPARED, energy_distance, read_rows, steps_table

MODULE = "flowsuite.core.training.continuous.ContinuousFlowModule"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    flow = {"class_path": "flowsuite.core.ffjord.FFJORD", "init_args": {"dim": 2, "hidden": [8, 8]}}
    module = build_module(MODULE, {"flow": flow})
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(1.5)
    path = tmp_path_factory.mktemp("density") / "a.ckpt"
    save_module(path, module)
    return path


def test_solvers_by_name():
    assert solver_by_name("euler:4") == FixedGrid("euler", steps=4)
    assert solver_by_name("heun") == FixedGrid("heun")
    assert solver_by_name("dopri5:1e-7") == Adaptive("dopri5", 1e-7, 1e-7)
    assert solver_by_name("bosh3") == Adaptive("bosh3")
    for text, message in (
        ("rk5", "unknown solver 'rk5'"),
        ("euler:a", "a number of steps after the colon, got 'a'"),
        ("dopri5:x", "a tolerance after the colon"),
        ("euler:0", "steps must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            solver_by_name(text)


def test_energy_distance_is_zero_for_one_distribution_only():
    torch.manual_seed(0)
    a, b = torch.randn(2, 1000, 2)
    assert abs(energy_distance(a, b)) < 0.01
    # between two points at distance 1: 2 - 0 - 0
    assert energy_distance(torch.zeros(5, 1), torch.ones(4, 1)) == pytest.approx(2.0)
    assert energy_distance(a, b + 1) > 0.3


def test_more_steps_come_closer_to_the_path(checkpoint):
    flow = load_module(checkpoint).flow
    rows = steps_table(flow, torch.randn(100, 2), ["euler:1", "euler:4", "euler:16", "rk4:8"], 0)
    assert [nfe for _, nfe, _, _ in rows] == [1, 4, 16, 32]
    errors = [rms for *_, rms in rows]
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.4)  # first order
    assert isinstance(flow.transform[0].eval_solver, Adaptive)


def test_commands(checkpoint, tmp_path, capsys):
    np.save(tmp_path / "rows.npy", np.random.RandomState(0).randn(60, 2))
    common = ["--ckpt_path", str(checkpoint), "--num", "50"]
    assert main(["density", "steps", *common, "--data", "moons", "--solvers", "euler:2", "heun:2"]) == 0
    assert "euler:2" in capsys.readouterr().out
    arguments = ["--data", str(tmp_path / "rows.npy"), "--divergence", "hutchinson", "--probes", "4"]
    assert main(["density", "certificate", *common, *arguments]) == 0
    assert "standard error, hutchinson" in capsys.readouterr().out
    assert main(["density", "picture", *common, "--data", "moons", "--out", str(tmp_path / "a.png")]) == 0
    from PIL import Image

    assert Image.open(tmp_path / "a.png").size == (3 * 256 + 8, 256)
    for wrong, message in (
        (["--data", "moon"], "one of the toy sets"),
        (["--data", "Toy", "--data_args", "{"], "data options must be JSON"),
        (["--data", str(tmp_path / "none.npy")], "none.npy"),
        (["--data", "moons", "--num", "1"], "--num"),
    ):
        assert main(["density", "steps", *common, *wrong]) == 1
        assert message in capsys.readouterr().err


def test_rows_of_data_modules_and_recipes_are_those_that_the_flow_sees(checkpoint, tmp_path, capsys):
    table = 5 + 3 * np.random.RandomState(0).randn(200, 2)
    np.save(tmp_path / "table.npy", table)
    rows = read_rows("Table", 15, 0, 2, "val", f'{{"path": "{tmp_path / "table.npy"}"}}')
    torch.testing.assert_close(rows, Table(str(tmp_path / "table.npy")).dataset("val").x[:15])
    assert abs(rows.mean()) < 1 < read_rows(str(tmp_path / "table.npy"), 15, 0, 2).mean()
    arguments = ["--ckpt_path", str(checkpoint), "--data", "core/ffjord-toy", "--num", "30"]
    assert main(["density", "steps", *arguments, "--solvers", "euler:1"]) == 0
    assert "30 samples" in capsys.readouterr().out


def test_energy_distance_takes_no_more_pairs_than_fit_in_memory():
    a = torch.cat((torch.randn(COMPARED, 1), torch.full((10, 1), 1e9)))
    assert energy_distance(a, torch.randn(COMPARED + 10, 1)) < 1


@pytest.mark.parametrize("command", ["steps", "certificate", "picture"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ({"class_path": "flowsuite.core.ffjord.FFJORD", "init_args": {"dim": 2, "context_features": 3}}, "conditional"),
        ({"class_path": "flowsuite.core.maf.MAF", "init_args": {"dims": 2, "context_features": 3}}, "conditional"),
        ({"class_path": "flowsuite.pointclouds.pointflow.PointFlow", "init_args": {}}, "PointFlow, expected a flow of"),
    ],
    ids=["FFJORD", "MAF", "PointFlow"],
)
def test_other_flows_are_named(tmp_path, capsys, command, kind, message):
    module = "flowsuite.core.training.module.FlowModule"
    save_module(tmp_path / "a.ckpt", build_module(module, {"flow": kind}))
    arguments = ["--out", str(tmp_path / "a.png")] if command == "picture" else []
    assert main(["density", command, "--ckpt_path", str(tmp_path / "a.ckpt"), "--data", "moons", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_samples_with_another_solver(checkpoint, tmp_path, capsys):
    samples = {}
    for solver in ("euler:1", "rk4:8"):
        out = tmp_path / solver.replace(":", "_")
        arguments = ["--ckpt_path", str(checkpoint), "--num", "8", "--out", str(out), "--solver", solver]
        assert main(["sample", *arguments]) == 0
        assert sorted(path.suffix for path in out.iterdir()) == [".npz", ".png"]
        samples[solver] = np.load(out / "samples_000000.npz")["samples"]
    assert samples["euler:1"].shape == (8, 2)
    assert np.abs(samples["euler:1"] - samples["rk4:8"]).max() > 1e-3
    assert main(["sample", *arguments[:-1], "euler:x"]) == 1
    assert "number of steps" in capsys.readouterr().err


def test_pairs_are_what_the_flow_makes_of_the_noise(checkpoint):
    toy = Toy("moons", train=20, val=30, batch_size=5)
    data = Reflow(toy, str(checkpoint), pairs=40, batch_size=8)
    x, noise = next(iter(data.train_dataloader()))
    flow = load_module(checkpoint).flow
    with torch.no_grad():
        torch.testing.assert_close(flow.decode(noise), x, rtol=1e-3, atol=1e-3)
    assert len(data.dataset("train")) == 40 and len(data.dataset("val")) == 30
    assert torch.equal(data.dataset("val")[3], toy.dataset("val")[3])
    with pytest.raises(ValueError, match="pairs must be at least 1"):
        Reflow(toy, str(checkpoint), pairs=0)


def test_reflow_straightens_the_paths(checkpoint):
    """One Euler step of a flow trained on the pairs ends nearer to where they end."""
    from flowsuite.core.matching import FlowMatching

    pairs = Reflow(Toy("moons"), str(checkpoint), pairs=2000).make_pairs()
    flow = load_module(checkpoint).flow
    before = steps_table(flow, pairs.x[:200], ["euler:1"], 0)[0][3]
    optimizer = torch.optim.Adam(flow.transform[0].field.parameters(), lr=5e-3)
    torch.manual_seed(0)
    for _ in range(200):
        index = torch.randint(2000, (256,))
        optimizer.zero_grad()
        FlowMatching().flow_loss(flow, pairs.x[index], noise=pairs.noise[index]).backward()
        optimizer.step()
    assert steps_table(flow, pairs.x[:200], ["euler:1"], 0)[0][3] < 0.6 * before
