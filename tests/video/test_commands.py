"""Every command runs on a small model, writes what it says, and says what is wrong in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from flowsuite.core.training.cli import main as flowsuite
from flowsuite.video import evaluate as evaluate_command
from flowsuite.video.commands import COMMANDS, main
from flowsuite.video.metrics.bits import discrete_log_prob, video_bits_per_dim
from flowsuite.video.out_of_sequence import bits_as_next
from tests.video.models_made import SHAPES, make_module, write_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return write_checkpoint(tmp_path_factory.mktemp("model") / "model.ckpt")


def run(command: str, checkpoint: str, out, *options: str) -> None:
    shared = ["--ckpt_path", checkpoint, "--data", "MovingShapes", "--data_args", SHAPES, "--device", "cpu", "--quiet"]
    assert main([command, *shared, "--out", str(out), *options]) == 0


def frames_of(path) -> int:
    with Image.open(path) as image:
        return image.n_frames


EVALUATE = ("--num", "5", "--samples", "4", "--draws", "2", "--batch_size", "2")


def test_evaluate_reports(checkpoint, tmp_path, capsys):
    run("evaluate", checkpoint, tmp_path, *EVALUATE, "--json", str(tmp_path / "copy.json"))
    report = json.loads((tmp_path / "report.json").read_text())
    assert report == json.loads((tmp_path / "copy.json").read_text())
    assert (report["videos"], report["given"], report["frames"], report["samples"]) == (5, 1, 2, 4)
    bits = report["bits_per_dim"]
    assert bits["importance_weighted"] <= bits["mean"] and len(bits["by_frame"]) == 2
    for name in ("psnr", "ssim_gaussian", "ssim_uniform_range2", "psnr_per_channel"):
        figures = report["best_of_n"][name]
        assert figures["worst"] <= figures["mean"] <= figures["best"] and len(figures["best_by_frame"]) == 2
    assert report["pixel_diversity"] > 0 and report["random_3d_frechet"] > 0
    assert 0 <= report["shapes"]["coverage"] <= 1 and report["shapes"]["contexts"] == 5
    assert frames_of(tmp_path / "samples.gif") == 3 and (tmp_path / "curves.png").is_file()
    assert (tmp_path / "directions.png").is_file()
    printed = capsys.readouterr().out
    for words in ("bits/dim, one draw", "importance-weighted, K=2", "PSNR dB", "directions hit", "not FVD"):
        assert words in printed


def test_overlay_shows_every_sample():
    from flowsuite.video.shapes import Shapes, render

    ways = torch.arange(8)
    shapes = Shapes(torch.zeros(8).long(), torch.full((8,), 2), torch.full((8,), 0.6), ways)
    samples = render(shapes, 4, pixels=32, background="grey")[:, 3]
    laid = evaluate_command.overlay(samples, torch.full((3,), 128))
    for sample in samples:
        drawn = (sample != 128).any(0)
        assert torch.equal(laid[:, drawn], sample[:, drawn])
    assert ((laid != 128).any(0).sum() == (samples != 128).any(1).sum()).item()


def test_evaluate_is_the_bits_of_the_model(checkpoint, tmp_path):
    run("evaluate", checkpoint, tmp_path, "--samples", "0", "--num", "4", "--draws", "3")
    found = json.loads((tmp_path / "report.json").read_text())["bits_per_dim"]["mean"]
    from flowsuite.video.data import MovingShapes

    module = make_module()
    frames = MovingShapes(**json.loads(SHAPES)).dataset("test").__getitems__(range(4)).frames
    torch.manual_seed(5)
    with torch.no_grad():
        nats = [module.flow.frame_log_prob(module.dequantize(frames), 1) for _ in range(3)]
    expected = video_bits_per_dim(discrete_log_prob(torch.stack(nats), 768), 768).mean()
    assert found == pytest.approx(float(expected), abs=0.02)


def test_evaluate_goes_on_where_it_was_interrupted(checkpoint, tmp_path, monkeypatch):
    run("evaluate", checkpoint, tmp_path / "whole", *EVALUATE)
    done = []
    original = evaluate_command.evaluate_part

    def interrupted(*arguments):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(arguments[-1])
        return original(*arguments)

    monkeypatch.setattr(evaluate_command, "evaluate_part", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("evaluate", checkpoint, tmp_path / "parts", *EVALUATE)
    assert done == [0, 2]
    monkeypatch.setattr(
        evaluate_command, "evaluate_part", lambda *arguments: done.append(arguments[-1]) or original(*arguments)
    )
    run("evaluate", checkpoint, tmp_path / "parts", *EVALUATE)
    assert done == [0, 2, 4]
    assert (tmp_path / "parts" / "report.json").read_text() == (tmp_path / "whole" / "report.json").read_text()
    with pytest.raises(ValueError, match="holds an evaluation with another samples"):
        run("evaluate", checkpoint, tmp_path / "parts", *EVALUATE, "--samples", "3")
    run("evaluate", checkpoint, tmp_path / "parts", *EVALUATE, "--samples", "3", "--overwrite")
    assert json.loads((tmp_path / "parts" / "report.json").read_text())["samples"] == 3


def test_evaluate_takes_networks(checkpoint, tmp_path):
    from tests.video.metrics.test_sets import Logits, Maps, saved

    networks = ["--vgg", saved(tmp_path / "v.pt", Maps()), "--i3d", saved(tmp_path / "i.pt", Logits())]
    run("evaluate", checkpoint, tmp_path / "out", *EVALUATE, *networks)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["fvd"] > 0 and report["vgg_diversity"] > 0 and report["best_of_n"]["vgg_cosine"]["best"] <= 1
    with pytest.raises(FileNotFoundError, match="VGG similarity needs your own"):
        run("evaluate", checkpoint, tmp_path / "no", *EVALUATE, "--vgg", str(tmp_path / "no.pt"))


def test_sweep_has_a_row_a_temperature(checkpoint, tmp_path, capsys):
    run("sweep", checkpoint, tmp_path, "--num", "3", "--samples", "3", "--temperatures", "0,0.5,1")
    rows = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert [row["temperature"] for row in rows] == [0, 0.5, 1]
    assert rows[0]["pixel_diversity"] <= rows[1]["pixel_diversity"] <= rows[2]["pixel_diversity"]
    assert rows[0]["psnr_best"] == pytest.approx(rows[0]["psnr_mean"], abs=1.0)
    assert frames_of(tmp_path / "sweep.gif") == 3 and (tmp_path / "curves.png").is_file()
    assert "ssim_gaussian_best" in capsys.readouterr().out


@pytest.mark.parametrize("space", ["residual", "latent"])
def test_interpolation_meets_its_ends(space):
    from flowsuite.video.interpolate import interpolate

    flow = make_module(train_context=0).double().flow
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64) - 0.5
    way = interpolate(flow, *x, 5, "all", space)
    assert way.shape == (5, 3, 16, 16)
    assert torch.allclose(way[[0, -1]], x, atol=1e-8)
    for parts in ("top", "bottom"):
        partly = interpolate(flow, *x, 5, parts, space)
        assert torch.allclose(partly[0], x[0], atol=1e-8) and not torch.allclose(partly[-1], x[1], atol=1e-2)


@pytest.mark.parametrize(("model", "space"), [({}, "latent"), ({"train_context": 0}, "residual")])
def test_interpolate_writes_its_pictures(tmp_path, capsys, model, space):
    path = write_checkpoint(tmp_path / "m.ckpt", **model)
    run("interpolate", path, tmp_path / "way", "--steps", "5")
    assert frames_of(tmp_path / "way.gif") >= 5 and (tmp_path / "way.png").is_file()
    assert f"space of the lower levels: {space}" in capsys.readouterr().out


def test_mixtures_have_no_residuals(tmp_path, capsys):
    path = write_checkpoint(tmp_path / "m.ckpt", train_context=0, mixture=3)
    with pytest.raises(ValueError, match="is a mixture, which has no residuals: choose --space latent"):
        run("interpolate", path, tmp_path / "way", "--space", "residual")
    run("interpolate", path, tmp_path / "way")
    assert "levels: latent" in capsys.readouterr().out


def test_out_of_sequence_scores_each_frame_as_the_next(checkpoint, tmp_path):
    module = make_module()
    frames = torch.randint(0, 256, (2, 5, 3, 16, 16), dtype=torch.uint8)
    found = bits_as_next(module, frames, 2, torch.Generator().manual_seed(3))
    x = module.dequantize(frames, torch.Generator().manual_seed(3))
    with torch.no_grad():
        for k, t in enumerate((2, 3, 4)):
            nats = module.flow.frame_log_prob(torch.cat([x[:, :2], x[:, t : t + 1]], 1), 2)
            expected = video_bits_per_dim(discrete_log_prob(nats, 768), 768)
            assert torch.allclose(found[:, k].float(), expected, atol=1e-4)
    run("out-of-sequence", checkpoint, tmp_path, "--frames", "4", "--num", "5", "--batch_size", "2")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["t"] == [2, 3, 4, 5] and len(report["bits_per_dim"]) == 4 and report["videos"] == 5
    assert (tmp_path / "bits.png").is_file()


def test_rollout_goes_on_and_on(checkpoint, tmp_path):
    run("rollout", checkpoint, tmp_path, "--frames", "20", "--samples", "2", "--num", "2")
    for name in ("video_000000", "video_000001"):
        with np.load(tmp_path / f"{name}.npz") as arrays:
            assert arrays["samples"].shape == (2, 21, 3, 16, 16) and arrays["samples"].dtype == np.uint8
            assert (arrays["samples"][0, 0] == arrays["samples"][1, 0]).all(), "both go on from the same frame"
            assert (arrays["samples"][0, -1] != arrays["samples"][1, -1]).any()
        assert frames_of(tmp_path / f"{name}.gif") > 10 and (tmp_path / f"{name}.png").is_file()


def test_wrong_input_is_one_line(checkpoint, tmp_path, capsys):
    cases = {
        "frames are": ["--data_args", '{"pixels": 32}'],
        "the clip has 6 frames, fewer than the 9": ["--frames", "8"],
        "did you mean|unknown recipe": ["--data", "MovingShape"],
        "--start must be at least 0": ["--start", "-1"],
    }
    for message, options in cases.items():
        with pytest.raises(ValueError, match=message) as caught:
            run("evaluate", checkpoint, tmp_path, "--num", "1", "--samples", "1", *options)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="video number 7 does not exist: the set has 5"):
        run("interpolate", checkpoint, tmp_path / "way", "--video", "7")
    assert flowsuite(["video", "evalute"]) == 1
    assert "did you mean 'evaluate'" in capsys.readouterr().err


def test_commands_are_listed(capsys):
    assert flowsuite(["video"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)
