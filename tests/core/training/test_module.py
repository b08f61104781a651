import math

import pytest
import pytorch_lightning as pl
import torch
from toyflow import ToyData, ToyFlow, ToyModule, Vectors

from flowsuite.core.training.callbacks import LastCheckpoint
from flowsuite.core.training.ema import ExponentialMovingAverage
from flowsuite.core.training.finite import NonFiniteError
from flowsuite.core.training.module import FlowModule


def trainer(folder, **options) -> pl.Trainer:
    options = {"max_epochs": 2, "logger": False, "callbacks": [LastCheckpoint(str(folder), 1)], **options}
    return pl.Trainer(
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **options,
    )


def fit(module, folder, data=None, **options) -> pl.Trainer:
    pl.seed_everything(1)
    run = trainer(folder, **options)
    run.fit(module, datamodule=data or ToyData())
    return run


class Recorder(pl.Callback):
    """Parameters and learning rate after every step."""

    def __init__(self):
        self.weights, self.lrs = [], []

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        self.lrs.append(optimizer.param_groups[0]["lr"])

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.weights.append({name: p.detach().clone() for name, p in pl_module.named_parameters()})


def test_training_lowers_the_loss(tmp_path):
    torch.manual_seed(0)
    module = FlowModule(ToyFlow(), lambda p: torch.optim.Adam(p, lr=0.02))
    run = fit(module, tmp_path, ToyData(n=256, batch_size=32), max_epochs=1, limit_train_batches=1)
    first = run.callback_metrics["val/loss"].item()
    run = fit(module, tmp_path, ToyData(n=256, batch_size=32), max_epochs=8)
    assert run.callback_metrics["val/loss"].item() < first - 0.1
    assert {"train/loss", "train/grad_norm"} <= run.callback_metrics.keys()


def test_initialised_once_from_the_first_batch(tmp_path, monkeypatch):
    calls = []
    initialize = ToyFlow.initialize

    def record(self, x, context=None):
        calls.append(len(x))
        initialize(self, x, context)

    monkeypatch.setattr(ToyFlow, "initialize", record)
    module = FlowModule(ToyFlow(noise=False))
    fit(module, tmp_path)
    assert calls == [8]
    calls.clear()
    fit(FlowModule(ToyFlow(), init_batches=3), tmp_path)
    assert calls == [24]


def test_init_batches_do_not_disturb_the_order(tmp_path):
    seen = {}
    for n in (1, 3):

        class Spy(FlowModule):
            def loss(self, x, context, stage):
                if stage == "train":
                    seen.setdefault(self.init_batches, []).append(x.clone())
                return super().loss(x, context, stage)

        fit(Spy(ToyFlow(), init_batches=n), tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(seen[1], seen[3], strict=True))


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_warmup_and_schedule(tmp_path, interval):
    recorder = Recorder()
    lrs = []

    class Spy(FlowModule):
        def on_before_optimizer_step(self, optimizer):
            super().on_before_optimizer_step(optimizer)
            lrs.append(optimizer.param_groups[0]["lr"])

    module = Spy(
        ToyFlow(),
        lambda p: torch.optim.SGD(p, lr=0.01),
        lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5),
        warmup_steps=4,
        lr_interval=interval,
    )
    fit(module, tmp_path, callbacks=[recorder])
    decays = [(i // 6 if interval == "epoch" else i) for i in range(12)]
    expected = [0.01 * 0.5**d * min(1, (i + 1) / 4) for i, d in enumerate(decays)]
    assert lrs == pytest.approx(expected, rel=1e-12)


def test_ema_follows_its_formula(tmp_path):
    recorder = Recorder()
    module = FlowModule(ToyFlow(), ema_decay=0.6)
    fit(module, tmp_path, callbacks=[recorder])
    average = {name: w.clone() for name, w in recorder.weights[0].items()}
    for t, weights in enumerate(recorder.weights):
        d = min(0.6, (1 + t) / (10 + t))
        average = {name: d * average[name] + (1 - d) * weights[name] for name in average}
    for name, value in module.ema.average.items():
        torch.testing.assert_close(value, average[name])
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, recorder.weights[-1][name])


def test_evaluation_uses_the_average_and_gives_the_weights_back(tmp_path):
    seen = []

    class Spy(FlowModule):
        def validation_step(self, batch, batch_idx):
            seen.append(all(torch.equal(p, self.ema.average[name]) for name, p in self.named_parameters()))
            super().validation_step(batch, batch_idx)

    module = Spy(ToyFlow(), ema_decay=0.9)
    fit(module, tmp_path)
    assert seen and all(seen)
    assert not module.ema.swapped_in
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    for name, parameter in module.named_parameters():
        assert torch.equal(checkpoint["state_dict"][name], parameter)
        assert torch.equal(checkpoint["flowsuite"]["ema"]["average"][name], module.ema.average[name])


def test_swapping_is_noticed_by_caches():
    flow = ToyFlow(noise=False)
    ema = ExponentialMovingAverage(flow, 0.9)
    ema.update()
    z = torch.randn(5, 4)
    with torch.no_grad():
        before = flow.decode(z)
        for parameter in flow.parameters():
            parameter.mul_(1.1)
        own = flow.decode(z)
        ema.swap_in()
        torch.testing.assert_close(flow.decode(z), before, rtol=0, atol=0)
        ema.swap_out()
        torch.testing.assert_close(flow.decode(z), own, rtol=0, atol=0)
    assert not torch.equal(before, own)


def test_non_finite_stops_with_the_last_good_checkpoint(tmp_path):
    data = ToyData()
    order = first_order(data)
    data._datasets.clear()
    data.poison = (order[3 * 8],)  # an example of the fourth batch
    module = FlowModule(ToyFlow())
    with pytest.raises(NonFiniteError, match="step 3: train/loss is nan") as error:
        fit(module, tmp_path, data)
    assert "\n" not in str(error.value)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 3
    assert all(torch.isfinite(value).all() for value in checkpoint["state_dict"].values())
    assert all(torch.isfinite(p).all() for p in module.parameters())


def first_order(data: ToyData) -> list[int]:
    """The order of the first epoch."""
    pl.seed_everything(1)
    return data.train_dataloader().order(0).tolist()


def test_non_finite_is_skipped_and_counted(tmp_path):
    data = ToyData()
    order = first_order(data)
    data._datasets.clear()
    data.poison = (order[3 * 8],)
    recorder = Recorder()
    module = FlowModule(ToyFlow(), non_finite="skip", ema_decay=0.9)
    run = fit(module, tmp_path, data, callbacks=[recorder], log_every_n_steps=1)
    assert module.skipped_updates == 2  # the bad example comes once an epoch
    before, after = recorder.weights[2], recorder.weights[3]
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not all(torch.equal(after[name], recorder.weights[4][name]) for name in after)
    assert module.ema.updates == 10
    assert run.callback_metrics["train/skipped_updates"] == 2
    assert all(torch.isfinite(p).all() for p in module.parameters())


def test_a_run_that_skips_every_update_is_an_error(tmp_path):
    module = FlowModule(ToyFlow(), non_finite="skip")
    fit(module, tmp_path, max_epochs=1)
    with pytest.raises(NonFiniteError, match="all 6 updates were skipped") as error:  # of this run, not of both
        trainer(tmp_path).fit(module, datamodule=ToyData(poison=list(range(48))), ckpt_path=tmp_path / "last.ckpt")
    assert "\n" not in str(error.value)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["flowsuite"]["skipped_updates"] == 6
    assert all(torch.isfinite(p).all() for p in module.parameters())


def test_pictures_reach_tensorboard(tmp_path):
    from pytorch_lightning.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, "toy", 0)
    fit(ToyModule(ToyFlow(noise=False)), tmp_path, logger=logger, log_every_n_steps=1)
    events = EventAccumulator(logger.log_dir, size_guidance={"images": 0})
    events.Reload()
    assert len(events.Images("samples")) == 2
    tags = events.Tags()["scalars"]
    assert {"train/loss", "val/loss", "train/grad_norm", "lr"} <= set(tags)
    assert math.isclose(events.Scalars("lr")[0].value, 1e-3, rel_tol=1e-6)


def test_bad_arguments_and_batches():
    with pytest.raises(ValueError, match='"stop" or "skip"'):
        FlowModule(ToyFlow(), non_finite="ignore")
    with pytest.raises(ValueError, match="ema_decay"):
        FlowModule(ToyFlow(), ema_decay=1.5)
    with pytest.raises(ValueError, match="lr_interval"):
        FlowModule(ToyFlow(), lr_interval="hour")
    with pytest.raises(TypeError, match="pair"):
        FlowModule(ToyFlow()).unpack({"x": 1})
    module = FlowModule(ToyFlow())
    x = Vectors(4, 4)[0]
    assert module.unpack(x)[1] is None and module.unpack([x, 3]) == (x, 3)


def test_samples_are_written_whole(tmp_path):
    import numpy as np

    module = FlowModule(ToyFlow())
    samples = module.generate(5, generator=torch.Generator().manual_seed(0))
    (path,) = module.save_samples(samples, tmp_path / "new", 10)
    assert path.name == "samples_000010.npz"
    np.testing.assert_array_equal(np.load(path)["samples"], samples.numpy())
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_compiling_begins_after_the_initialisation(tmp_path, monkeypatch):
    calls = []
    flow = ToyFlow(noise=False)
    monkeypatch.setattr(flow.transform, "compile", lambda **kwargs: calls.append(module.flow_initialized))
    module = FlowModule(flow, compile=True)
    fit(module, tmp_path)
    assert calls == [True]


@pytest.mark.slow
def test_a_compiled_run_is_the_same_run(tmp_path):
    weights = []
    for compiled in (False, True):
        torch.manual_seed(0)
        module = FlowModule(ToyFlow(noise=False), lambda p: torch.optim.SGD(p, lr=0.01), compile=compiled)
        fit(module, tmp_path / str(compiled))
        weights.append(module.state_dict())
    assert weights[0].keys() == weights[1].keys()
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-4, atol=1e-5)


def test_what_cannot_compile_says_so():
    class Stepwise(FlowModule):
        compiles = False

    with pytest.raises(ValueError, match="Stepwise has no compile"):
        Stepwise(ToyFlow(), compile=True)
