"""PSNR and SSIM against their definitions, written out pixel by pixel; best of N by hand."""

from __future__ import annotations

import math

import pytest
import torch

from flowsuite.video.metrics.best_of_n import best_of_n
from flowsuite.video.metrics.pixels import FRAME_METRICS, psnr, psnr_per_channel, ssim_gaussian, ssim_uniform_range2

GENERATOR = torch.Generator().manual_seed(0)
TRUTH = torch.randint(0, 256, (2, 3, 14, 13), dtype=torch.uint8, generator=GENERATOR)
FRAMES = (TRUTH.double() + 20 * torch.randn(TRUTH.shape, generator=GENERATOR)).clamp(0, 255).to(torch.uint8)


def slow_ssim(x, y, window, span, correction):
    """One window at a time."""
    size, total = len(window), 0.0
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    rows, columns = x.shape[-2] - size + 1, x.shape[-1] - size + 1
    for channel in range(len(x)):
        for i in range(rows):
            for j in range(columns):
                a, b = (z[channel, i : i + size, j : j + size].double() for z in (x, y))
                ma, mb = (a * window).sum(), (b * window).sum()
                va, vb, cov = (
                    correction * ((p * q * window).sum() - m)
                    for p, q, m in ((a, a, ma * ma), (b, b, mb * mb), (a, b, ma * mb))
                )
                total += ((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))).item()
    return total / (len(x) * rows * columns)


def test_ssims_are_their_definitions():
    offset = torch.arange(11, dtype=torch.float64) - 5
    gaussian = torch.exp(-(offset[:, None] ** 2 + offset**2) / (2 * 1.5**2))
    ours = ssim_gaussian(TRUTH, FRAMES), ssim_uniform_range2(TRUTH, FRAMES)
    for k in range(2):
        assert ours[0][k] == pytest.approx(slow_ssim(TRUTH[k], FRAMES[k], gaussian / gaussian.sum(), 255, 1), rel=1e-4)
        uniform = torch.full((7, 7), 1 / 49, dtype=torch.float64)
        assert ours[1][k] == pytest.approx(slow_ssim(TRUTH[k], FRAMES[k], uniform, 510, 49 / 48), rel=1e-4)


def test_psnr_is_its_definition():
    errors = (TRUTH.double() - FRAMES.double()).square()
    assert psnr(TRUTH, FRAMES).tolist() == pytest.approx([10 * math.log10(255**2 / e.mean()) for e in errors], rel=1e-5)
    channels = [sum(10 * math.log10(255**2 / c.mean()) for c in e) / 3 for e in errors]
    assert psnr_per_channel(TRUTH, FRAMES).tolist() == pytest.approx(channels, rel=1e-5)


@pytest.mark.parametrize("name", FRAME_METRICS)
def test_equal_frames_are_best_and_samples_broadcast(name):
    metric = FRAME_METRICS[name][1]
    samples = torch.stack([TRUTH, FRAMES])
    values = metric(TRUTH, samples)
    assert values.shape == (2, 2)
    assert torch.isfinite(values).all() and (values[0] > values[1]).all()
    assert torch.allclose(values[0], torch.tensor(100.0 if "psnr" in name else 1.0))
    assert torch.allclose(values[1], metric(TRUTH, FRAMES))


def test_flat_frames_are_no_trouble():
    flat = torch.full((1, 1, 12, 12), 255, dtype=torch.uint8)
    assert ssim_gaussian(flat, flat) == pytest.approx(1, abs=1e-5)
    assert ssim_gaussian(flat, 0 * flat).item() < 0.01


def test_wrong_frames_are_named():
    with pytest.raises(ValueError, match="frames of at least 11x11, got"):
        ssim_gaussian(TRUTH[..., :8, :8], TRUTH[..., :8, :8])
    with pytest.raises(ValueError, match="of one size"):
        psnr(TRUTH, TRUTH[..., :8])


def test_best_of_n_by_hand():
    values = torch.tensor([[[1.0, 5.0], [2.0, 2.0]], [[4.0, 4.0], [1.0, 0.0]]])
    curves = best_of_n(values)
    assert curves.best_sample.tolist() == [1, 0] and curves.worst_sample.tolist() == [0, 1]
    assert curves.best.tolist() == [3.0, 3.0] and curves.worst.tolist() == [1.0, 2.5]
    assert curves.mean.tolist() == [2.0, 2.75] and curves.std.tolist() == [1.0, 0.75]
    with pytest.raises(ValueError, match=r"expected values \(samples, videos, frames\)"):
        best_of_n(values[0])
