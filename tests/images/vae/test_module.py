"""Training: what is logged, what a test says, pictures, early stopping, continuous posteriors."""

from __future__ import annotations

import math

import pytest
import pytorch_lightning as pl
import torch

from flowsuite.images import ContinuousVAEModule, VAEModule
from flowsuite.images.data import BinaryDigits
from flowsuite.images.vae.callbacks import StopAfterAnnealing
from tests.images.vae.vaes_made import binary, vae


def trainer(tmp_path, **options) -> pl.Trainer:
    settings = {"max_epochs": 2, "limit_train_batches": 3, "limit_val_batches": 1, "limit_test_batches": 2}
    settings |= {"logger": False, "enable_checkpointing": False, "enable_model_summary": False, "accelerator": "cpu"}
    settings |= {"enable_progress_bar": False, "num_sanity_val_steps": 0, "default_root_dir": tmp_path}
    return pl.Trainer(**settings | {"inference_mode": False} | options)


@pytest.mark.parametrize("objective", ["elbo", "stl", "iwae", "dreg"])
def test_training_logs_the_bound_and_its_parts(objective, tmp_path):
    module = VAEModule(vae("planar"), objective, samples=3, anneal_over=4, test_samples=7)
    fit = trainer(tmp_path)
    fit.fit(module, BinaryDigits(batch_size=16))
    figures = fit.callback_metrics
    assert figures["train/beta"] == pytest.approx(0.5)
    for stage in ("train", "val"):
        parts = figures[f"{stage}/reconstruction"] + figures[f"{stage}/kl"]
        torch.testing.assert_close(parts, -figures[f"{stage}/elbo"], rtol=1e-5, atol=1e-4)
    assert figures["val/loss"] == -figures["val/elbo"] and figures["train/iw_bound_3"] >= figures["train/elbo"]
    assert not any("nll" in name or "bits" in name for name in figures)


def test_training_lowers_the_bound(tmp_path):
    module = VAEModule(vae("iaf"), annealing="none", optimizer=lambda p: torch.optim.Adam(p, 1e-2))
    data, before = BinaryDigits(batch_size=64), vae("iaf")
    trainer(tmp_path, max_epochs=4, limit_train_batches=1.0).fit(module, data)
    x = data.dataset("test").__getitems__(range(100))[0]
    with torch.no_grad():
        assert module.flow.eval().terms(x).elbo.mean() > before.terms(x).elbo.mean() + 5


def test_a_test_names_its_samples(tmp_path, capsys):
    module = VAEModule(vae("planar"), test_samples=7)
    test = trainer(tmp_path)
    test.test(module, BinaryDigits(batch_size=16), verbose=False)
    figures = test.callback_metrics
    assert figures["test/nll_is7"] < figures["test/loss"] == -figures["test/elbo"]
    printed = capsys.readouterr().out
    assert f"at most {float(figures['test/loss']):.3f} by the ELBO" in printed and "with 7 draws" in printed


def test_it_is_said_beside_a_progress_bar_too(tmp_path, capsys):
    from flowsuite.core.training.callbacks import FlowProgressBar

    module = VAEModule(vae("gaussian"), test_samples=2)
    test = trainer(tmp_path, enable_progress_bar=True, callbacks=[FlowProgressBar()])
    test.test(module, BinaryDigits(batch_size=16), verbose=False)
    assert "importance sampling with 2 draws" in capsys.readouterr().out


def test_grey_images_get_bits_per_dim(tmp_path):
    flow = vae(image_shape=[1, 4, 4], likelihood="categorical", hidden=[4])
    module = VAEModule(flow, test_samples=3)
    x = torch.randint(0, 256, (4, 1, 4, 4), dtype=torch.uint8)
    loss, figures = module.loss(x, None, "test")
    nats_per_bit = 16 * math.log(2)
    torch.testing.assert_close(figures["bits_per_dim_bound"], loss / nats_per_bit)
    torch.testing.assert_close(figures["bits_per_dim_is3"], figures["nll_is3"] / nats_per_bit)


def test_predictions_are_of_every_image():
    module = VAEModule(vae(), test_samples=5)
    assert module.predict_step((binary(4), torch.zeros(4)), 0).shape == (4,)


def test_pictures_show_samples_images_and_reconstructions(tmp_path):
    module = VAEModule(vae(), examples=4).eval()
    assert torch.equal(module.example_images(), module.example_images())
    module.loss(binary(6), None, "val")
    picture = module.example_images()
    factor = picture.shape[2] // (4 * 9 - 1)
    small = (255 * picture[:, ::factor, ::factor]).round().to(torch.uint8)
    assert small.shape == (1, 3 * 9 - 1, 4 * 9 - 1)
    assert torch.equal(small[:, 9:17, :8], binary(6)[0])
    known = module.flow.decode(module.flow.encode(binary(6)[:4]))
    assert torch.equal(small[:, 18:26, 9:17], known[1])


def test_samples_as_picture_and_array(tmp_path):
    import numpy as np

    module = VAEModule(vae()).eval()
    samples = module.generate(5, generator=torch.Generator().manual_seed(0), pixels=True)
    picture, arrays = module.save_samples(samples, tmp_path, 3)
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.name == "samples_000003.png"
    assert np.array_equal(np.load(arrays)["samples"], samples.numpy())


def test_stopping_waits_for_the_annealing(tmp_path):
    stop = StopAfterAnnealing(patience=1)
    module = VAEModule(vae(), anneal_over=4, optimizer=lambda p: torch.optim.SGD(p, 0.0))  # never better
    fit = trainer(tmp_path, max_epochs=20, callbacks=[stop], limit_train_batches=1)
    fit.fit(module, BinaryDigits(batch_size=16))
    assert 5 <= fit.current_epoch < 20 and stop.stopped_epoch >= 4
    with pytest.raises(ValueError, match="StopAfterAnnealing needs a VAEModule, got Other"):
        stop.on_validation_end(fit, type("Other", (), {})())


def test_continuous_posteriors_count_and_certify(tmp_path, capsys):
    flow = vae("cnf", options={"hidden": (6,), "rank": 2, "tolerance": 1e-5, "eval_tolerance": 1e-7})
    module, run = ContinuousVAEModule(flow, test_samples=3), trainer(tmp_path, max_epochs=1, limit_test_batches=1)
    data = BinaryDigits(batch_size=8)
    run.fit(module, data)
    assert run.callback_metrics["train/nfe_forward"] > 0 and run.callback_metrics["val/nfe"] > 0
    run.test(module, data, verbose=False)
    printed = capsys.readouterr().out
    assert "error of the mean over 8 test examples" in printed and "LOOSE" not in printed
    assert module.certificate.error_of_mean(8) < 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "vr"}, "unknown objective 'vr': expected one of elbo, stl, iwae, dreg"),
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"test_rows": 0}, "test_rows must be at least 1"),
        ({"free_nats": 2.0, "annealing": "joint"}, "free_nats goes with"),
        ({"free_nats": 2.0, "objective": "iwae"}, "free_nats goes with"),
        ({"annealing": "slow"}, "annealing must be one of"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        VAEModule(vae(), **options)
    with pytest.raises(TypeError, match="flow must be a FlowVAE, got Linear"):
        VAEModule(torch.nn.Linear(1, 1))
