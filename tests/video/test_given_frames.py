"""How many frames a windowed model must be given, and what else is refused or said of frames."""

from __future__ import annotations

import pytest
import torch

from flowsuite.video.evaluation import row
from flowsuite.video.tools import load_model, make_parser
from tests.video.flows_made import clips, tiny
from tests.video.models_made import make_module, write_checkpoint
from tests.video.test_module import module, shapes, trainer

WINDOW = {"prior": "window", "past": 2, "train_context": 2}
REFUSED = "--given 1: the model's window needs 2 given frames; fewer only if trained with train_context: 0"


def test_commands_refuse_fewer_frames_than_the_window(tmp_path):
    path = write_checkpoint(tmp_path / "m.ckpt", **WINDOW)
    parser = make_parser("evaluate", "", "", videos=1)
    options = ["--ckpt_path", path, "--data", "MovingShapes", "--device", "cpu"]
    with pytest.raises(ValueError, match=REFUSED):
        load_model(parser.parse_args([*options, "--given", "1"]))
    assert load_model(parser.parse_args([*options, "--given", "2"])).flow.past == 2


@pytest.mark.parametrize("model", [{"train_context": 0}, {"train_context": 1}, {"prior": "causal"}])
def test_generate_refuses_where_first_frames_were_not_trained(model):
    frames = torch.zeros(1, 2, 3, 16, 16, dtype=torch.uint8)
    windowed = make_module(**WINDOW)
    with pytest.raises(ValueError, match=REFUSED):
        windowed.generate(1, frames[:, :1])
    assert windowed.generate(1, frames, frames=1).videos.shape[1] == 3
    assert windowed.flow.sample(windowed.dequantize(frames[:, :1]), 1).shape[2] == 1, "the flow itself is free"
    assert make_module(**{**WINDOW, **model}).generate(1, frames[:, :1], frames=1).videos.shape[1] == 2


def test_lengths_that_differ_are_told_of(tmp_path, capsys):
    trainer(tmp_path, fast_dev_run=True).fit(module(context_frames=1), shapes(context_frames=1))
    assert "note:" not in capsys.readouterr().out
    trainer(tmp_path, fast_dev_run=True).fit(module(context_frames=1, num_frames=5), shapes(context_frames=2))
    printed = capsys.readouterr().out
    assert "note: context_frames is 2 in the data and 1 in the model" in printed
    assert "note: num_frames is 4 in the data and 5 in the model" in printed


def test_other_precision_is_refused():
    flow = tiny("window1", torch.float32)
    with pytest.raises(TypeError, match=r"computes in torch\.float32, got videos of torch\.float64"):
        flow.log_prob(clips(dtype=torch.float64))


def test_a_figure_without_error_has_none():
    assert row("a", 1.0, float("nan")).endswith("1.0000") and row("a", 1.0, 0.5).endswith("+- 0.5000")
