from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from flowsuite.core.training.checkpoint import save_flow_checkpoint
from flowsuite.core.training.cli import main as flowsuite
from flowsuite.images import Glow, commands
from flowsuite.images.data import Digits
from flowsuite.images.latent import attribute_direction, conv1x1_conditions, interpolate, moments
from tests.images import containers

SMALL = {"image_shape": [1, 8, 8], "levels": 2, "steps": 2, "width": 8, "n_bits": 4}


def save(path, **options) -> str:
    arguments = SMALL | options
    torch.manual_seed(0)
    flow = Glow(**arguments)
    flow.initialize(Digits().dataset("train").__getitems__(range(64))[0], torch.zeros(64, dtype=torch.int64))
    save_flow_checkpoint(
        path, "flowsuite.images.Glow", arguments, flow.state_dict(), "flowsuite.images.module.ImageFlowModule"
    )
    return str(path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return save(tmp_path_factory.mktemp("model") / "glow.ckpt")


@pytest.fixture(scope="module")
def conditional(tmp_path_factory) -> str:
    return save(tmp_path_factory.mktemp("model") / "conditional.ckpt", n_classes=10)


def picture(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_evaluate_prints_and_writes_the_figures(checkpoint, tmp_path, capsys):
    report = tmp_path / "report.json"
    arguments = ["--ckpt_path", checkpoint, "--data", "images/demo", "--draws", "2", "--json", str(report), "--quiet"]
    assert flowsuite(["images", "evaluate", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "bits/dim at 4 bits" in printed and "importance-weighted, K=2" in printed and "level 2" in printed
    figures = json.loads(report.read_text())
    assert figures["images"] == 300 and figures["n_bits"] == 4 and figures["wrong_pixels"] == 0
    assert f"{figures['one_draw']:.4f}" in printed


def test_fid_with_a_network_of_ones_own(checkpoint, tmp_path, capsys):
    class Features(torch.nn.Module):
        def forward(self, x):
            return torch.stack((x.float().mean((1, 2, 3)), x.float().std((1, 2, 3))), dim=1)

    torch.jit.script(Features()).save(str(tmp_path / "features.pt"))
    arguments = ["--ckpt_path", checkpoint, "--data", "Digits", "--quiet", "--fid_samples", "100"]
    assert flowsuite(["images", "evaluate", *arguments, "--fid", str(tmp_path / "features.pt")]) == 0
    assert "FID" in capsys.readouterr().out
    assert flowsuite(["images", "evaluate", *arguments, "--fid", "nothing.pt"]) == 1
    assert "no feature network at nothing.pt" in capsys.readouterr().err


def test_reconstruction_is_exact(checkpoint, tmp_path, capsys):
    out = tmp_path / "r.png"
    assert (
        commands.main(["reconstruct", "--ckpt_path", checkpoint, "--data", "Digits", "--out", str(out), "--num", "4"])
        == 0
    )
    rows = picture(out)
    factor = round(384 / 35)
    small = rows[::factor, ::factor]
    assert small.shape == (26, 35)
    images = Digits().dataset("test").__getitems__(range(4))[0] >> 4 << 4
    assert np.array_equal(small[:8, :8], images[0, 0].numpy())
    assert np.array_equal(small[9:17], small[:8]) and (small[18:26, :8] == 0).all()
    assert "0.00% of pixels differ" in capsys.readouterr().out


def test_interpolation_ends_at_the_two_images(checkpoint, tmp_path):
    for i, image in enumerate(containers.pixels(2, 8, 8)):
        (tmp_path / f"{i}.png").write_bytes(containers.encoded(image))
    out = tmp_path / "i.png"
    files = [str(tmp_path / f"{i}.png") for i in range(2)]
    commands.main(["interpolate", "--ckpt_path", checkpoint, "--data", *files, "--out", str(out), "--steps", "5"])
    factor = round(384 / 44)
    small = picture(out)[::factor, ::factor]
    first, second = (containers.pixels(2, 8, 8) >> 4 << 4).astype(int)
    for row in (small[:8].astype(int), small[9:17].astype(int)):
        assert (row[:, :8] == first).all() and (row[:, 36:44] == second).all()


def test_attribute_sweep_grid_and_diagnosis(checkpoint, conditional, tmp_path, capsys):
    for model in (checkpoint, conditional):
        common = ["--ckpt_path", model, "--quiet"]
        out = str(tmp_path / "p.png")
        commands.main(["attribute", *common, "--data", "Digits", "--positive", "3", "--out", out, "--num", "2"])
        factor = round(384 / 44)
        assert picture(out).shape == (17 * factor, 44 * factor)
        commands.main(["sweep", *common, "--out", out, "--num", "3"])
        factor = round(384 / 71)
        assert picture(out).shape == (71 * factor, 26 * factor)
        commands.main(["sample-grid", *common, "--out", out, "--num", "10", "--batch_size", "4"])
        first = picture(out)
        commands.main(["sample-grid", *common, "--out", out, "--num", "10", "--batch_size", "4"])
        assert np.array_equal(first, picture(out))
        commands.main(["diagnose", *common, "--data", "Digits"])
        printed = capsys.readouterr().out
        assert printed.count("condition number") == 4 and "bits/dim @4" in printed and "worst of 4" in printed
    commands.main(["sample-grid", "--ckpt_path", conditional, "--out", out, "--num", "4", "--class", "7"])
    assert flowsuite(["images", "sample-grid", "--ckpt_path", conditional, "--out", out, "--class", "11"]) == 1
    assert "0..9" in capsys.readouterr().err


def write_wrong_inputs(root) -> None:
    (root / "big.png").write_bytes(containers.encoded(containers.pixels(16, 12)))
    (root / "broken.png").write_bytes(b"no image")
    np.savez(root / "floats.npz", images=np.zeros((2, 8, 8, 1)))
    np.savez(root / "nothing.npz", other=np.zeros(3))
    torch.save({"weights": torch.zeros(1)}, root / "foreign.ckpt")


WRONG = {
    "shape": (["big.png"], r"big\.png: images are \(1, 16, 12\), the model wants \(1, 8, 8\).*--resize"),
    "corrupt": (["broken.png"], r"broken\.png: cannot be read as an image"),
    "missing": (["gone.png"], r"gone\.png not found"),
    "dtype": (["floats.npz"], r"floats\.npz.*uint8.*float64"),
    "archive": (["nothing.npz"], r"nothing\.npz: no array test_images"),
    "recipe": (["images/dmeo"], r"unknown recipe 'images/dmeo'.*images/demo.*CIFAR10"),
    "mixed": (["big.png", "CIFAR10"], r"expected image files"),
    "options": (["CIFAR10", "--data_args", "root"], r"must be JSON"),
    "argument": (["CIFAR10", "--data_args", '{"rot": 1}'], r"CIFAR10: .*rot"),
    "no data": (["CIFAR10"], r"test_batch not found.*download"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(case, checkpoint, tmp_path, monkeypatch, capsys):
    import re

    monkeypatch.chdir(tmp_path)
    write_wrong_inputs(tmp_path)
    specs, message = WRONG[case]
    assert flowsuite(["images", "reconstruct", "--ckpt_path", checkpoint, "--out", "o.png", "--data", *specs]) == 1
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and re.search(message, error), error
    assert not (tmp_path / "o.png").exists()


def test_files_of_other_sizes_can_be_resized(checkpoint, tmp_path):
    write_wrong_inputs(tmp_path)
    out = tmp_path / "o.png"
    arguments = ["--ckpt_path", checkpoint, "--data", str(tmp_path / "big.png"), "--resize", "--out", str(out)]
    assert commands.main(["reconstruct", *arguments]) == 0 and out.exists()


def test_wrong_checkpoint_is_one_line(tmp_path, capsys):
    write_wrong_inputs(tmp_path)
    for name, message in (("foreign.ckpt", "not a flowsuite checkpoint"), ("none.ckpt", "no checkpoint at")):
        assert (
            flowsuite(["images", "sweep", "--ckpt_path", str(tmp_path / name), "--out", str(tmp_path / "o.png")]) == 1
        )
        assert message in capsys.readouterr().err


def test_interpolation_in_latent_space():
    a, b = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0])
    assert torch.allclose(interpolate(a, b, 3)[1], torch.tensor([1.5, 1.5]))
    arc = interpolate(a, b, 5, spherical=True)
    assert torch.allclose(arc.norm(dim=1), torch.full((5,), 3.0))
    assert torch.allclose(arc[2], torch.full((2,), 3 / math.sqrt(2)))
    assert torch.allclose(interpolate(a, 2 * a, 3, spherical=True)[1], 1.5 * a)
    with pytest.raises(ValueError, match="steps"):
        interpolate(a, b, 1)


def test_attribute_direction_is_a_difference_of_means():
    flow = Glow(**SMALL).eval()
    images, labels = Digits().dataset("test").__getitems__(range(50))
    eps = flow.encode(images)
    wanted = eps[labels == 3].mean(0) - eps[labels != 3].mean(0)
    halves = [(images[:20], labels[:20]), (images[20:], labels[20:])]
    assert torch.allclose(attribute_direction(flow, halves, positive=3), wanted, atol=1e-5)
    with pytest.raises(ValueError, match="label 77"):
        attribute_direction(flow, halves, positive=77)


def test_statistics():
    m = moments(torch.randn(200000, generator=torch.Generator().manual_seed(0)))
    assert abs(m["mean"]) < 0.01 and abs(m["std"] - 1) < 0.01 and abs(m["kurtosis"] - 3) < 0.1
    assert abs(m["beyond_2"] - 0.0455) < 0.003
    flow = Glow(**SMALL)
    with torch.no_grad():
        mixer = flow.body.levels[0][1][0].mixer
        mixer.weight.copy_(torch.diag(torch.tensor([8.0, 1.0, 2.0, 4.0])))
    conditions = conv1x1_conditions(flow)
    assert len(conditions) == 4 and sorted(conditions.values())[-1] == pytest.approx(8.0)
    assert sorted(conditions.values())[0] == pytest.approx(1.0, abs=1e-5)
