"""GIFs that show what they were given, and videos side by side."""

from __future__ import annotations

import pytest
import torch

from flowsuite.video.gif import GENERATED, GIVEN, contact_sheet, context_truth_samples, side_by_side, write_gif
from flowsuite.video.shapes import draw_shapes, render


def read_back(path) -> torch.Tensor:
    import numpy as np
    from PIL import Image, ImageSequence

    with Image.open(path) as image:
        frames = [np.array(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def test_few_colours_are_exact(tmp_path):
    video = render(draw_shapes(0, [5]), 4, pixels=32)[0]
    path = write_gif(tmp_path / "a.gif", video)
    assert torch.equal(read_back(path), video)


def test_grey_is_exact(tmp_path):
    video = torch.randint(0, 256, (3, 1, 9, 11), dtype=torch.uint8)
    assert torch.equal(read_back(write_gif(tmp_path / "a.gif", video)), video.expand(-1, 3, -1, -1))


def test_many_colours_are_close(tmp_path):
    ramp = torch.linspace(0, 255, 64)
    first = torch.stack([ramp.expand(64, 64), ramp[:, None].expand(64, 64), (ramp[:, None] + ramp) / 2])
    video = torch.stack([first, first.flip(-1), first.flip(0)]).to(torch.uint8)
    error = (read_back(write_gif(tmp_path / "a.gif", video)).double() - video).abs()
    assert error.mean() < 6
    blurred = torch.nn.functional.avg_pool2d(read_back(tmp_path / "a.gif").double() - video, 8)
    assert blurred.abs().mean() < 2


def test_time_is_kept(tmp_path):
    from PIL import Image

    moving = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1).expand(5, 1, 4, 4) * 20
    with Image.open(write_gif(tmp_path / "a.gif", moving, fps=5)) as image:
        assert image.n_frames == 5 and image.info["duration"] == 200 and image.info["loop"] == 0


def test_borders_tell_what_was_given():
    video = torch.zeros(4, 3, 16, 16, dtype=torch.uint8)
    shown = side_by_side([video, video], given=[4, 1], at_least=16, gap=3)
    assert shown.shape == (4, 3, 20, 20 + 3 + 20)
    assert (shown[:, :, 0, 0] == torch.tensor(GIVEN)).all()
    assert (shown[0, :, 0, 30] == torch.tensor(GIVEN)).all()
    assert (shown[1:, :, 0, 30] == torch.tensor(GENERATED)).all()
    assert not shown[:, :, 2:18, 2:18].any()


def test_titles_and_samples_are_in_the_picture():
    truth = torch.full((3, 1, 8, 8), 50, dtype=torch.uint8)
    samples = torch.stack([torch.full((2, 1, 8, 8), value, dtype=torch.uint8) for value in (100, 200)])
    shown = context_truth_samples(truth, samples, 1, at_least=40)
    assert shown.shape == (3, 3, 14 + 44, 3 * 44 + 2 * 4)
    middles = shown[:, 0, 14 + 20, [22, 70, 118]]
    assert middles.tolist() == [[50, 50, 50], [50, 100, 200], [50, 100, 200]]
    assert (shown[:, :, :14] < 100).any(), "titles are written"


def test_contact_sheet_has_a_row_a_video():
    videos = [torch.full((3, 1, 8, 8), value, dtype=torch.uint8) for value in (10, 20)]
    sheet = contact_sheet(videos, [1, 3], at_least=8)
    assert sheet.shape == (3, 2 * 12 + 2, 3 * 12 + 2 * 2)
    assert sheet[0, 6, [6, 20, 34]].tolist() == [10, 10, 10] and sheet[0, 20, 6] == 20
    assert sheet[:, 0, 0].tolist() == list(GIVEN) and sheet[:, 0, 14].tolist() == list(GENERATED)


def test_wrong_videos_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected uint8 frames"):
        write_gif(tmp_path / "a.gif", torch.zeros(3, 3, 8, 8))
    with pytest.raises(ValueError, match="expected uint8 frames"):
        write_gif(tmp_path / "a.gif", torch.zeros(3, 2, 8, 8, dtype=torch.uint8))
    assert not list(tmp_path.iterdir())
    video = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match="one size and length"):
        side_by_side([video, video[:2]])
    with pytest.raises(ValueError, match="one of titles for each of the 1 videos"):
        side_by_side([video], ["a", "b"])
