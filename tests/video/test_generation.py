"""Continuations, and what a test prints of them."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

from flowsuite.video.data import MovingShapes
from flowsuite.video.generation import sample_figures, sample_videos
from flowsuite.video.metrics.pixels import psnr
from tests.video.models_made import make_module


def test_test_prints_the_table(tmp_path, capsys):
    data = MovingShapes(pixels=16, num_frames=3, test_videos=6, batch_size=4)
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    (found,) = trainer.test(make_module(), data)
    assert found["test/psnr_best"] > found["test/psnr_mean"]
    assert found["test/ssim_gaussian_best"] > found["test/ssim_gaussian_mean"]
    assert found["test/pixel_diversity"] > 0 and 0 <= found["test/directions_hit"] <= 8
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("test/bits_per_dim_iw", "test/psnr_best", "test/directions_hit"))


def test_samples_are_a_function_of_the_generator_and_share_the_context():
    module = make_module()
    context = torch.randint(0, 256, (3, 1, 3, 16, 16), dtype=torch.uint8)
    draws = [sample_videos(module, context, 4, 5, 1.0, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert draws[0].shape == (3, 5, 4, 3, 16, 16) and draws[0].dtype == torch.uint8
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    cold = sample_videos(module, context, 4, 5, 0.0, torch.Generator().manual_seed(1))
    assert (cold == cold[:, :1]).all(), "without noise all samples of a context are one"
    few = sample_videos(module, context, 4, 5, 1.0, torch.Generator().manual_seed(1), at_once=4)
    assert few.shape == draws[0].shape


def test_figures_of_the_truth_itself(monkeypatch):
    module = make_module()
    frames = MovingShapes(pixels=32, num_frames=3).dataset("test").__getitems__(range(4)).frames
    truth = frames[:, None, 1:].expand(-1, 3, -1, -1, -1, -1)
    monkeypatch.setattr("flowsuite.video.generation.sample_videos", lambda *_: truth)
    figures = sample_figures(module, frames, 3, True)
    assert figures["psnr_best"] == pytest.approx(float(psnr(frames, frames).mean()))
    assert figures["ssim_gaussian_mean"] == pytest.approx(1, abs=1e-5)
    assert figures["pixel_diversity"] == 0 and figures["shapes_kept"] == 1 and figures["directions_hit"] == 1
    assert "directions_hit" not in sample_figures(module, frames, 3, False)
