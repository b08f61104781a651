"""`flowsuite sample` of a video model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from flowsuite.core.training import cli
from flowsuite.core.training.checkpoint import save_flow_checkpoint
from flowsuite.video.gif import write_gif
from flowsuite.video.module import VideoModule
from flowsuite.video.videoflow import VideoFlow

ARGUMENTS = {"video_shape": [3, 8, 8], "levels": 2, "steps": 1, "width": 4, "prior_blocks": 1, "prior_width": 4}


def checkpoint(folder, **module):
    arguments = {**ARGUMENTS, "prior": "causal"}
    torch.manual_seed(0)
    flow = VideoFlow(**arguments)
    path = folder / "model.ckpt"
    names = ("flowsuite.video.VideoFlow", arguments, flow.state_dict(), "flowsuite.video.module.VideoModule")
    save_flow_checkpoint(path, *names, {"context_frames": 2, "num_frames": 5, **module})
    return path


def clip(folder, frames=6):
    video = torch.randint(256, (frames, 3, 8, 8), dtype=torch.uint8)
    np.save(folder / "clip.npy", video.permute(0, 2, 3, 1).numpy())
    return folder / "clip.npy", video


def grey(level, frames):
    """Frames of one grey each, a little brighter from one to the next."""
    levels = (level + torch.arange(frames)).to(torch.uint8)
    return levels.view(-1, 1, 1, 1).expand(-1, 3, 8, 8)


def test_continues_a_clip(tmp_path):
    path, video = clip(tmp_path)
    out = tmp_path / "out"
    argv = ["sample", "--ckpt_path", str(checkpoint(tmp_path)), "--clips", str(path), "--num", "4", "--out", str(out)]
    assert cli.main([*argv, "--each", "2", "--temperature", "0.5"]) == 0
    with np.load(out / "samples_000000.npz") as arrays:
        samples, given = arrays["samples"], arrays["given"]
    assert samples.shape == (4, 5, 3, 8, 8) and given == 2
    assert all(np.array_equal(sample[:2], video[:2]) for sample in samples)
    assert not np.array_equal(samples[0, 2:], samples[1, 2:])
    assert Image.open(out / "000003.gif").n_frames >= 2 and (out / "samples_000000.png").exists()


def test_frames_and_given(tmp_path):
    path, _ = clip(tmp_path)
    out = tmp_path / "out"
    argv = ["sample", "--ckpt_path", str(checkpoint(tmp_path)), "--clips", str(path), "--num", "1", "--out", str(out)]
    assert cli.main([*argv, "--frames", "4", "--given", "3"]) == 0
    with np.load(out / "samples_000000.npz") as arrays:
        assert arrays["samples"].shape == (1, 7, 3, 8, 8)


def test_folder_in_turn_and_data_module(tmp_path):
    model = VideoModule(VideoFlow(**ARGUMENTS, prior="causal"), context_frames=2, num_frames=3)
    for i in range(2):
        write_gif(tmp_path / f"clip{i}.gif", grey(100 * i, 3))
    found = model.generate(3, clips=str(tmp_path), first=1)
    assert [int(video[0].max()) for video in found.videos] == [100, 0, 100]
    with pytest.raises(ValueError, match=r"frames are \(3, 64, 64\), the model wants \(3, 8, 8\)"):
        model.generate(1, clips="MovingShapes")


def test_without_context(tmp_path):
    model = VideoModule(VideoFlow(**ARGUMENTS, prior="causal"), context_frames=2, num_frames=5, train_context=0)
    found = model.generate(2, frames=3)
    assert found.videos.shape == (2, 3, 3, 8, 8) and found.given == 0
    model = VideoModule(VideoFlow(**ARGUMENTS, prior="causal"), context_frames=2, num_frames=5)
    with pytest.raises(ValueError, match="trained to continue videos from 2 frames"):
        model.generate(2)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--clips", "nothing.mp4"], "no video at nothing.mp4"),
        (["--clips", "{clip}", "--given", "7"], "the clip has 6 frames, fewer than the 7"),
        (["--clips", "Shapes"], "unknown recipe 'Shapes'"),
        ([], "trained to continue videos"),
    ],
)
def test_errors_are_one_line(options, message, tmp_path, capsys):
    path, _ = clip(tmp_path)
    options = [option.format(clip=path) for option in options]
    argv = ["sample", "--ckpt_path", str(checkpoint(tmp_path)), "--num", "1", "--out", str(tmp_path / "out")]
    assert cli.main([*argv, *options]) == 1
    assert message in capsys.readouterr().err.strip().splitlines()[-1]
