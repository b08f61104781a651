"""VideoModule through Lightning, and its figures."""

from __future__ import annotations

import math

import pytest
import pytorch_lightning as pl
import torch

from flowsuite.video.data_base import VideoBatch
from flowsuite.video.data_shapes import MovingShapes
from flowsuite.video.heads import Form
from flowsuite.video.module import VideoModule
from flowsuite.video.quantization import dequantize, quantize
from flowsuite.video.videoflow import VideoFlow
from tests.video.flows_made import clips

SIZES = {"levels": 2, "steps": 1, "width": 4, "prior_blocks": 1, "prior_width": 4}


def module(prior="causal", **arguments) -> VideoModule:
    torch.manual_seed(0)
    return VideoModule(VideoFlow((3, 8, 8), prior=prior, past=2, **SIZES), **{"num_frames": 4, **arguments})


def shapes(**arguments) -> MovingShapes:
    sizes = {"videos": 16, "val_videos": 4, "test_videos": 4, "batch_size": 4}
    return MovingShapes(**{"pixels": 8, "num_frames": 4, "context_frames": 3, **sizes, **arguments})


def trainer(folder, **arguments) -> pl.Trainer:
    options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return pl.Trainer(default_root_dir=folder, max_epochs=1, enable_checkpointing=False, **{**options, **arguments})


@pytest.mark.parametrize("prior", ["window", "causal"])
def test_fit_and_test(prior, tmp_path):
    model, data = module(prior, init_batches=2), shapes()
    run = trainer(tmp_path)
    run.fit(model, data)
    figures = run.callback_metrics
    parts = [figures[f"val/bits_per_dim_{part}"] for part in ("level0", "level1", "flow")]
    torch.testing.assert_close(sum(parts), figures["val/bits_per_dim"], rtol=1e-4, atol=1e-4)
    assert all(actnorm.initialized for name, actnorm in model.named_modules() if hasattr(actnorm, "initialized"))
    (found,) = run.test(model, data, verbose=False)
    assert found["test/bits_per_dim_iw"] <= found["test/bits_per_dim_mean"] + 1e-6
    assert math.isclose(found["test/bits_per_dim"], found["test/bits_per_dim_mean"], rel_tol=0.05)
    nats = torch.cat(run.predict(model, data))
    assert nats.shape == (4,)
    bits = -nats.mean() / (model.flow.dims * math.log(2))
    assert math.isclose(float(bits), found["test/bits_per_dim"], rel_tol=0.05)


def test_loss_scores_what_follows_the_context():
    model = module(train_context=1)
    batch = VideoBatch(torch.randint(256, (2, 4, 3, 8, 8), dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    x, _ = model.unpack(batch)
    model.flow.initialize(x)
    for stage, context in (("train", 1), ("val", 3)):
        nats = model.flow.frame_log_prob(x, context) - model.flow.dims * math.log(256)
        torch.testing.assert_close(model.loss(x, None, stage)[0], -nats.mean() / (model.flow.dims * math.log(2)))
    with pytest.raises(ValueError, match="clips of 3 frames leave none to score after 3"):
        model.loss(x[:, :3], None, "val")


def test_dequantisation_returns_the_same_integers():
    frames = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).expand(50, -1, -1, -1)
    x = dequantize(frames, torch.Generator().manual_seed(0))
    assert x.min() >= -0.5 and x.max() < 0.5 and torch.equal(quantize(x), frames)
    high = torch.full((200, 1, 64, 64), 255, dtype=torch.uint8)
    assert torch.equal(quantize(dequantize(high, torch.Generator().manual_seed(0))), high)


def test_reference_scaling():
    frames = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
    x = dequantize(frames, torch.Generator().manual_seed(0), reference=True)
    u = torch.rand(frames.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(x, frames / 255 - 0.5 + u / 256)


def test_quantisation_of_anything():
    x = torch.tensor([-9.0, -0.5, 0.0, 0.4999, 9.0, math.nan, math.inf, -math.inf])
    assert quantize(x).tolist() == [0, 0, 128, 255, 255, 255, 255, 255]


@pytest.mark.parametrize("context, frozen", [(3, True), (1, False)])
def test_priors_of_first_frames_train_where_they_are_scored(context, frozen):
    model = module("window", context_frames=3, train_context=context)
    batch = VideoBatch(torch.randint(256, (2, 4, 3, 8, 8), dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    x, _ = model.unpack(batch)
    model.flow.initialize(x)
    model.loss(x, None, "train")[0].backward()
    without = [name for name, p in model.flow.named_parameters() if p.requires_grad and p.grad is None]
    assert not without  # DDP would wait for them
    assert model.flow.priors[0].log_std.weight.requires_grad != frozen


def test_standing_videos_are_told_of(tmp_path, capsys):
    model, data = module(context_frames=1), shapes(context_frames=1, speed=0.0)
    model.flow.log_std_bound = 0.1
    for prior in model.flow.priors:
        prior.form = Form(0.1)
        torch.nn.init.constant_(prior.head.maps.bias, -1.0)
    trainer(tmp_path, num_sanity_val_steps=0).fit(model, data)
    assert "near its bound of -0.1" in capsys.readouterr().out


def test_wrong_data(tmp_path):
    with pytest.raises(ValueError, match=r"the data have frames \(3, 16, 16\)"):
        trainer(tmp_path).fit(module(), shapes(pixels=16))
    with pytest.raises(TypeError, match="uint8"):
        module().frames_of(clips())
    with pytest.raises(ValueError, match="context_frames < num_frames"):
        module(context_frames=4)
    with pytest.raises(TypeError, match="must be a VideoFlow"):
        VideoModule(torch.nn.Identity())


def test_balance_of_mixtures_falls_to_nothing(tmp_path):
    model, seen = module(balance_steps=3, context_frames=1), []
    model.on_train_batch_end = lambda *a: seen.append(model.flow.balance)
    trainer(tmp_path).fit(model, shapes(context_frames=1))
    assert seen == pytest.approx([1, 2 / 3, 1 / 3, 0])


def test_examples(tmp_path):
    """A validation clip and four continuations, frame by frame, in TensorBoard and as a GIF in the run's folder."""
    logger = pl.loggers.TensorBoardLogger(tmp_path)
    model = module(context_frames=2)
    trainer(tmp_path, logger=logger, num_sanity_val_steps=0).fit(model, shapes(context_frames=2))
    picture = model.example_images()
    rows, columns = 1 + 4, 4
    assert picture.shape[0] == 3 and picture.shape[1] * columns == pytest.approx(picture.shape[2] * rows, rel=0.05)
    assert list((tmp_path).rglob("examples/step_*.gif"))
