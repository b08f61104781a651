"""What is measured of moving shapes is what was drawn."""

from __future__ import annotations

import math

import pytest
import torch

from flowsuite.video.metrics.shapes import directions, read_shapes, shape_report
from flowsuite.video.shapes import COLOURS, Shapes, draw_shapes, render


@pytest.mark.parametrize("background", ["black", "grey"])
@pytest.mark.parametrize("noise", [0, 4])
def test_readings_are_what_was_drawn(background, noise):
    shapes = draw_shapes(0, range(96))
    video = render(shapes, 4, pixels=32, background=background)
    generator = torch.Generator().manual_seed(0)
    video = (video + noise * torch.randn(video.shape, generator=generator)).clamp(0, 255).to(torch.uint8)
    first, last = read_shapes(video[:, 0]), read_shapes(video[:, 3])
    assert torch.equal(directions(first, last), shapes.direction)
    for reading in (first, last):
        assert reading.found.all() and (reading.kind == shapes.kind).float().mean() > 0.98
        assert (reading.size - shapes.size).abs().max() < 0.1
        assert (reading.rgb - torch.tensor(tuple(COLOURS.values()))[shapes.colour]).abs().max() < 30


def every_direction(size: float = 1.0, kind: int = 0, colour: int = 2, ways=range(8)) -> Shapes:
    n = len(ways)
    return Shapes(torch.full((n,), kind), torch.full((n,), colour), torch.full((n,), size), torch.tensor(list(ways)))


def frames_of(shapes: Shapes) -> tuple[torch.Tensor, torch.Tensor]:
    video = render(shapes, 3, pixels=32)
    return video[:1, 0], video[None, :, 2]


def test_all_directions_are_full_coverage():
    context, samples = frames_of(every_direction())
    report = shape_report(context, samples)
    assert report.coverage == 1 and report.entropy == pytest.approx(math.log(8)) and report.counts == [1] * 8
    assert report.moved == report.all_kept == report.shape_kept == report.colour_kept == report.size_kept == 1


def test_few_directions_are_counted():
    context, samples = frames_of(every_direction(ways=[0, 0, 0, 4]))
    report = shape_report(context, samples)
    assert report.coverage == 0.25 and report.counts == [3, 0, 0, 0, 1, 0, 0, 0]
    assert report.entropy == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


@pytest.mark.parametrize(
    ("change", "lost"), [({"kind": 1}, "shape"), ({"colour": 0}, "colour"), ({"size": 1.4}, "size")]
)
def test_what_is_lost_is_told(change, lost):
    context, _ = frames_of(every_direction())
    _, samples = frames_of(every_direction(**change))
    report = shape_report(context, samples).as_dict()
    assert report[f"{lost}_kept"] == 0 and report["all_kept"] == 0 and report["coverage"] == 1
    assert all(report[f"{name}_kept"] == 1 for name in ("shape", "colour", "size") if name != lost)


def test_no_shape_has_no_direction():
    context, samples = frames_of(every_direction())
    report = shape_report(context, torch.zeros_like(samples))
    assert report.moved == report.coverage == report.shape_kept == report.colour_kept == report.entropy == 0
    still = shape_report(context, context[:, None].expand(-1, 5, -1, -1, -1))
    assert still.moved == 0 and still.shape_kept == 1


def test_noise_has_no_direction():
    context, samples = frames_of(every_direction())
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (1, 50, 3, 32, 32), dtype=torch.uint8, generator=generator)
    spots = torch.where(torch.rand(1, 50, 1, 32, 32, generator=generator) < 0.02, noise, 0)
    for wrong in (noise, spots):
        report = shape_report(context, wrong)
        assert report.moved < 0.05 and report.shape_kept == 0
    assert shape_report(context, samples).moved == 1


def test_ghosts_and_smears_are_no_shapes():
    context, samples = frames_of(every_direction(kind=1))
    ghost = torch.maximum(samples, samples.flip(1))
    assert shape_report(context, ghost).shape_kept == 0
    smeared = torch.nn.functional.avg_pool2d(samples[0].float(), (1, 9), 1, (0, 4))[None].to(torch.uint8) * 3
    assert shape_report(context, smeared).all_kept == 0


def test_wrong_frames_are_refused():
    with pytest.raises(ValueError, match="expected colour frames"):
        shape_report(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), torch.zeros(1, 2, 1, 8, 8, dtype=torch.uint8))
