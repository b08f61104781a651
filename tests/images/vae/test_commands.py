"""The commands from the shell: figures, reconstructions, traversals, samples."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from flowsuite.core.training.cli import main as flowsuite
from flowsuite.images.data import BinaryDigits
from flowsuite.images.vae.evaluation import evaluate, measure
from flowsuite.images.vae.traverse import traverse
from tests.images.vae.vaes_made import binary, save, vae


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return save(tmp_path_factory.mktemp("vae") / "vae.ckpt")


def run(command: str, checkpoint: str, *arguments: str) -> int:
    return flowsuite(["images", "vae", command, "--ckpt_path", checkpoint, *arguments])


def small(path, columns: int) -> np.ndarray:
    picture = np.asarray(Image.open(path))
    factor = picture.shape[1] // (9 * columns - 1)
    return picture[::factor, ::factor]


def test_evaluate(checkpoint, tmp_path, capsys):
    report = tmp_path / "r.json"
    assert (
        run("evaluate", checkpoint, "--data", "BinaryDigits", "--samples", "20", "--quiet", "--json", str(report)) == 0
    )
    figures, printed = json.loads(report.read_text()), capsys.readouterr().out
    assert figures["images"] == 300 and figures["samples"] == 20 and figures["active_units"][1] == 3
    assert figures["reconstruction"] + figures["kl"] == pytest.approx(-figures["elbo"])
    assert figures["nll"] < -figures["elbo"] and f"{figures['nll']:.3f}" in printed


def test_figures_are_repeatable_and_leave_the_generator():
    flow, dataset = vae("planar"), BinaryDigits().dataset("val")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = measure(flow, dataset, 8)
    assert torch.equal(before, torch.get_rng_state()) and torch.equal(first, measure(flow, dataset, 8))
    assert not torch.equal(first[:, 2], measure(flow, dataset, 8, seed=1)[:, 2]) and first.shape == (200, 6)
    report = evaluate(flow, dataset, 8)
    assert report.nll == pytest.approx(-float(first[:, 2].mean())) and report.elbo_error > 0
    with pytest.raises(ValueError, match="evaluation mode"):
        measure(vae().train(), dataset, 8)


def test_reconstruct(checkpoint, tmp_path):
    out = tmp_path / "r.png"
    assert (
        run("reconstruct", checkpoint, "--data", "BinaryDigits", "--num", "4", "--draws", "3", "--out", str(out)) == 0
    )
    rows = small(out, 4)
    assert rows.shape == (5 * 9 - 1, 4 * 9 - 1)
    given = BinaryDigits().dataset("test").__getitems__(range(4))[0]
    flow = vae(n_layers=2)
    assert np.array_equal(rows[:8, :8], given[0, 0].numpy())
    assert np.array_equal(rows[9:17, 9:17], flow.decode(flow.encode(given))[1, 0].numpy())


def test_traverse(checkpoint, tmp_path, capsys):
    out = tmp_path / "t.png"
    options = ["--data", "BinaryDigits", "--steps", "5", "--out", str(out), "--quiet"]
    assert run("traverse", checkpoint, *options) == 0
    assert small(out, 5).shape == (3 * 9 - 1, 5 * 9 - 1) and "variance" in capsys.readouterr().out
    assert run("traverse", checkpoint, *options, "--latents", "2", "--range", "1.5") == 0
    flow, given = vae(n_layers=2), BinaryDigits().dataset("test").__getitems__([0])[0]
    code = flow.encode(given)[0]
    code[2] = -1.5
    assert np.array_equal(small(out, 5)[:8, :8], flow.decode(code[None])[0, 0].numpy())
    assert run("traverse", checkpoint, *options, "--latents", "3") == 1
    assert "latent 3 does not exist: there are 3, numbered from 0" in capsys.readouterr().err


def test_traversal_moves_one_latent_at_a_time():
    moved = traverse(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2, 0]), torch.tensor([-9.0, 9.0]))
    assert moved.tolist() == [[1, 2, -9], [1, 2, 9], [-9, 2, 3], [9, 2, 3]]


def test_sample_draws_means_or_pixels(checkpoint, tmp_path):
    for option, binary_only in (([], False), (["--pixels"], True)):
        out = tmp_path / f"s{len(option)}"
        assert flowsuite(["sample", "--ckpt_path", checkpoint, "--num", "6", "--out", str(out), *option]) == 0
        samples = np.load(out / "samples_000000.npz")["samples"]
        assert samples.shape == (6, 1, 8, 8) and (set(np.unique(samples)) <= {0, 255}) == binary_only
        assert (out / "samples_000000.png").read_bytes().startswith(b"\x89PNG")


def test_images_from_files_and_folders(checkpoint, tmp_path):
    for i, image in enumerate(binary(3)[:, 0].numpy()):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    out = tmp_path / "out" / "r.png"
    out.parent.mkdir()
    assert run("reconstruct", checkpoint, "--data", str(tmp_path / "1.png"), "--out", str(out)) == 0
    assert np.array_equal(small(out, 1)[:8, :8], binary(3)[1, 0].numpy())


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["images", "vae", "evalute"], "did you mean 'evaluate'"),
        (["images", "vae", "reconstruct", "--ckpt_path", "no.ckpt", "--data", "Digits", "--out", "a.png"], "no.ckpt"),
        (["images", "vae", "traverse", "--ckpt_path", "CKPT", "--data", "Digits", "--out", "a.png"], "binary images"),
    ],
)
def test_errors_are_one_line(argv, message, checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert flowsuite([checkpoint if word == "CKPT" else word for word in argv]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("flowsuite: error:") and message in error


def test_other_models_are_refused(tmp_path, capsys):
    from tests.images.test_commands import save as save_glow

    glow = save_glow(tmp_path / "glow.ckpt")
    assert run("evaluate", glow, "--data", "BinaryDigits") == 1
    assert "holds a ImageFlowModule, expected a variational autoencoder" in capsys.readouterr().err
    ours = save(tmp_path / "vae.ckpt")
    assert flowsuite(["images", "diagnose", "--ckpt_path", ours, "--data", "Digits"]) == 1
    assert "VAEModule" in capsys.readouterr().err


def test_help_lists_the_commands(capsys):
    assert flowsuite(["images", "vae"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("evaluate", "reconstruct", "traverse", "table"))
