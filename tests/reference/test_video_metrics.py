"""PSNR, SSIM, best of N, Frechet distance and bits/dim against the reference's figures."""

from __future__ import annotations

import pytest
import torch

from flowsuite.video.metrics.best_of_n import best_of_n
from flowsuite.video.metrics.bits import summarize_bits, video_bits_per_dim
from flowsuite.video.metrics.frechet import frechet_distance
from flowsuite.video.metrics.pixels import psnr, psnr_per_channel, ssim_gaussian, ssim_uniform_range2

pytestmark = pytest.mark.reference_kind("video-metrics")

FRAMES = {
    "psnr": psnr,
    "psnr_svg_dialect": psnr_per_channel,
    "ssim": ssim_gaussian,
    "ssim_svg_dialect": ssim_uniform_range2,
    "ssim_finn_float64": ssim_gaussian,
    "ssim_skimage_gaussian_fullimage": ssim_gaussian,
}
CURVES = {"MEAN": "mean", "STD": "std", "MIN": "worst", "MAX": "best"}
CHOICES = {"MIN_DECODE": "worst_sample", "MAX_DECODE": "best_sample"}


def channels_first(frames: torch.Tensor) -> torch.Tensor:
    return frames.movedim(-1, -3)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
@pytest.mark.parametrize("name", FRAMES)
def test_frame_metrics(reference_case, name, dtype):
    expected = reference_case.output[name]
    samples, targets = (channels_first(reference_case.input[f"{k}_uint8"]).to(dtype) for k in ("samples", "targets"))
    ours = FRAMES[name](targets, samples)
    # The official PSNR and SSIM are themselves computed in float32; the others are in float64.
    exact = dtype == torch.float64 and name not in ("psnr", "ssim")
    torch.testing.assert_close(ours.double(), expected.double(), rtol=1e-9 if exact else 5e-5, atol=1e-7)


def test_best_of_n(reference_case):
    for metric in ("PSNR", "SSIM"):
        ours = best_of_n(reference_case.output[metric.lower()])
        for name, field in CURVES.items():
            key = f"best_of_n/{metric}_{name}"
            if key in reference_case.output:
                torch.testing.assert_close(getattr(ours, field), reference_case.output[key], rtol=1e-6, atol=1e-9)
        for name, field in CHOICES.items():
            assert torch.equal(getattr(ours, field), reference_case.output[f"best_of_n/{metric}_{name}"].long())


def test_frechet(reference_case):
    ours = frechet_distance(reference_case.input["features_a"], reference_case.input["features_b"])
    assert ours == pytest.approx(float(reference_case.output["frechet"]), rel=1e-8)


def test_bits_per_dim(reference_case):
    nats = -reference_case.input["nll_nats_per_frame"]
    dims = 64 * 64 * 3  # said in the description of the case
    expected = reference_case.output["bits_per_dim"]
    torch.testing.assert_close(video_bits_per_dim(nats, dims), expected, rtol=1e-9, atol=0)
    assert summarize_bits(nats[None], dims).one_draw == pytest.approx(float(expected.mean()), rel=1e-9)
