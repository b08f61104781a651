"""The commands that take a trained PointFlow."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from flowsuite.core.training.checkpoint import save_flow_checkpoint
from flowsuite.core.training.cli import main as flowsuite
from flowsuite.pointclouds import PointFlow, commands
from flowsuite.pointclouds.data import Shapes
from tests.pointclouds.clouds_made import boxes
from tests.pointclouds.small import SHAPES, SMALL, normalized, small

DATA = ["--data", "Shapes", "--data_args", json.dumps(SHAPES)]
OTHER = ["--data", "Shapes", "--data_args", json.dumps({**SHAPES, "families": ["mug"]})]


def save(path, **options) -> str:
    arguments = {**SMALL, **options}
    weights = normalized(small(**{k: v for k, v in arguments.items() if k != "eval_solver"})).float().state_dict()
    module = "flowsuite.pointclouds.module.PointFlowModule"
    save_flow_checkpoint(path, "flowsuite.pointclouds.PointFlow", arguments, weights, module)
    return str(path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return save(tmp_path_factory.mktemp("model") / "pointflow.ckpt")


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory) -> str:
    return save(tmp_path_factory.mktemp("model") / "ae.ckpt", deterministic=True)


def run(command, checkpoint, *arguments, data=DATA) -> int:
    return flowsuite(["pointclouds", command, "--ckpt_path", checkpoint, *data, *map(str, arguments)])


def test_sample_writes_clouds(checkpoint, tmp_path):
    out = tmp_path / "samples"
    assert flowsuite(["sample", "--ckpt_path", checkpoint, "--num", "3", "--batch_size", "2", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.glob("*.npy")) == [f"cloud_00000{i}.npy" for i in range(3)]
    assert np.load(out / "cloud_000002.npy").shape == (2048, 3)
    assert len(list(out.glob("*.ply"))) == 3 and len(list(out.glob("*.png"))) == 2


def test_sample_takes_points_and_truncations(checkpoint, tmp_path):
    found = {}
    for name, options in (("all", []), ("points", ["--truncation", "0.5"]), ("codes", ["--latent_truncation", "0.5"])):
        given = ["--num", "1", "--points", "40", "--out", str(tmp_path / name), *options]
        assert flowsuite(["sample", "--ckpt_path", checkpoint, *given]) == 0
        found[name] = np.load(tmp_path / name / "cloud_000000.npy")
        assert found[name].shape == (40, 3)
    for a, b in (("all", "points"), ("all", "codes"), ("points", "codes")):
        assert not np.allclose(found[a], found[b])


def test_sample_says_what_is_wrong_with_its_options(checkpoint, tmp_path, capsys):
    from flowsuite.core.training.module import FlowModule
    from flowsuite.core.training.sampling_options import chosen, parser

    common = ["sample", "--ckpt_path", checkpoint, "--out", str(tmp_path / "out")]
    for option, value in (("--points", "0"), ("--truncation", "-1"), ("--latent_truncation", "nan")):
        with pytest.raises(SystemExit):
            flowsuite([*common, option, value])
        assert f"argument {option}: must be" in capsys.readouterr().err
    options = parser().parse_args([*common[1:], "--points", "3"])
    with pytest.raises(ValueError, match="--points: a FlowModule takes no such option"):
        chosen(FlowModule(torch.nn.Identity()), options)


def test_shapes_normalised_by_themselves_are_taken(checkpoint, capsys):
    data = ["--data", "Shapes", "--data_args", json.dumps({**SHAPES, "families": ["mug"], "normalize": "per_shape"})]
    assert run("evaluate", checkpoint, "--num", 2, "--sets", 1, "--quiet", data=data) == 0


def test_evaluate_prints_and_writes_the_figures(checkpoint, tmp_path, capsys):
    report = tmp_path / "report.json"
    assert run("evaluate", checkpoint, "--sets", 2, "--metrics", "cd", "emd", "jsd", "--json", report, "--quiet") == 0
    printed = capsys.readouterr().out
    assert "1-NNA-CD" in printed and "oracle CD" in printed and "2 sets of 4 shapes" in printed
    figures = json.loads(report.read_text())
    assert figures["shapes"] == 4 and figures["points"] == 24
    assert figures["reconstruction"]["CD"] > figures["reconstruction"]["oracle CD"] > 0
    assert len(figures["generation"]["COV-EMD"]["values"]) == 2
    assert 0 <= figures["generation"]["1-NNA-CD"]["mean"] <= 1


def test_a_pointflow_takes_no_context(checkpoint, tmp_path, capsys):
    np.save(tmp_path / "rows.npy", np.zeros((2, 3)))
    given = ["--context", str(tmp_path / "rows.npy"), "--out", str(tmp_path / "samples")]
    assert flowsuite(["sample", "--ckpt_path", checkpoint, *given]) == 1
    assert "this model takes no context" in capsys.readouterr().err


def test_sample_of_an_auto_encoder_points_to_reconstruct(autoencoder, tmp_path, capsys):
    assert flowsuite(["sample", "--ckpt_path", autoencoder, "--out", str(tmp_path / "samples")]) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and "needs a latent flow" in error[0] and "flowsuite pointclouds reconstruct" in error[0]
    assert run("reconstruct", autoencoder, "--num", 2, "--out", tmp_path / "clouds.png") == 0


def test_evaluate_an_auto_encoder(autoencoder, capsys):
    assert run("evaluate", autoencoder, "--num", 3, "--quiet") == 0
    printed = capsys.readouterr().out
    assert "Reconstruction of 3 shapes" in printed and "Generation" not in printed


def test_pictures(checkpoint, tmp_path, capsys):
    for command, options, shape in (
        ("reconstruct", ["--num", 3, "--points", 30], (2, 3)),
        ("interpolate", ["--first", 1, "--second", 2, "--steps", 4, "--points", 20, "--space", "w", "z"], (2, 4)),
        ("heatmap", ["--num", 4], None),
    ):
        out = tmp_path / f"{command}.png"
        assert run(command, checkpoint, *options, "--out", out) == 0
        height, width = np.asarray(Image.open(out)).shape[:2]
        if shape:
            assert height // 190 == shape[0] and width // 190 == shape[1]
    assert "Chamfer distance to held-out points" in capsys.readouterr().out


def test_heatmap_densities_are_in_the_units_of_the_data(checkpoint, tmp_path):
    arrays = tmp_path / "heat.npz"
    assert run("heatmap", checkpoint, "--num", 2, "--out", tmp_path / "heat.png", "--arrays", arrays) == 0
    with np.load(arrays) as found:
        points, density = found["points"], found["log_density"]
    assert points.shape == (2, 24, 3) and density.shape == (2, 24)
    from flowsuite.core.training.checkpoint import load_module

    flow: PointFlow = load_module(checkpoint).flow
    batch = Shapes(**SHAPES).dataset("test").__getitems__([0, 1])
    x = batch["points"]
    with torch.no_grad():
        expected = flow.log_prob_points(x, flow.encode(x)) - 3 * batch["std"][..., 0].log()
    np.testing.assert_allclose(density, expected.numpy(), rtol=1e-4, atol=1e-4)


def test_probe_scores_the_codes_of_labelled_clouds(autoencoder, capsys):
    assert run("probe", autoencoder, "--quiet") == 0
    assert "of 4 test shapes, 2 classes" in capsys.readouterr().out


def test_clouds_from_files(checkpoint, tmp_path, capsys):
    np.save(tmp_path / "clouds.npy", boxes(3, 40, 0).numpy())
    data = ["--data", str(tmp_path / "clouds.npy")]
    assert run("reconstruct", checkpoint, "--out", tmp_path / "out.png", data=data) == 0
    assert "the clouds themselves" in capsys.readouterr().out
    assert run("evaluate", checkpoint, "--sets", 1, "--quiet", data=data) == 0
    assert "against the given points" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((2, 5, 3), np.nan, np.float32), "cloud 0 has NaN"),
        (np.zeros((2, 5, 2), np.float32), "expected (clouds, points, 3)"),
        (np.zeros((0, 5, 3), np.float32), "expected at least 1"),
        (np.zeros((2, 5, 3), np.int64), "floating point"),
    ],
)
def test_bad_files_are_named(checkpoint, array, message, tmp_path, capsys):
    np.save(tmp_path / "bad.npy", array)
    out = ["--out", tmp_path / "out.png"]
    assert run("reconstruct", checkpoint, *out, data=["--data", str(tmp_path / "bad.npy")]) == 1
    error = capsys.readouterr().err
    assert "bad.npy" in error and message in error and not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("command", "arguments", "data", "message"),
    [
        ("interpolate", ["--second", "9"], DATA, "cloud number 9 does not exist: the set has 4"),
        ("reconstruct", [], ["--data", "Shape"], "one of CloudFolder"),
        ("reconstruct", [], ["--data", "CloudFiles", "--data_args", '{"root": "."}'], "one of CloudFolder"),
        ("reconstruct", [], ["--data", "Shapes", "--data_args", "{"], "data options must be JSON"),
        ("reconstruct", [], ["--data", "Shapes", "--data_args", '{"size": 3}'], "size"),
        ("reconstruct", [], OTHER, "Shapes is normalised with mean "),
        ("evaluate", ["--quiet"], OTHER, "the model was trained with mean "),
        ("probe", ["--quiet"], OTHER, "files, which are normalised as the model was"),
        ("reconstruct", [], ["--data", "images/demo"], "are not of flowsuite.pointclouds.data"),
        ("heatmap", ["--ckpt_path", "gone.ckpt"], DATA, "gone.ckpt"),
    ],
)
def test_bad_arguments_are_named(checkpoint, command, arguments, data, message, tmp_path, capsys):
    out = [] if command in ("evaluate", "probe") else ["--out", tmp_path / "out.png"]
    assert run(command, checkpoint, *arguments, *out, data=data) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_usage_lists_the_commands(capsys):
    assert commands.main([]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("evaluate", "reconstruct", "interpolate", "heatmap", "probe"))
