"""Training of continuous flows: objectives, evaluations, failures, resuming, checkpoints."""

from __future__ import annotations

import math

import pytest
import pytorch_lightning as pl
import torch
from toyflow import ToyData

from flowsuite.core.certificate import override_solver
from flowsuite.core.ffjord import FFJORD
from flowsuite.core.layers.continuous import CNF
from flowsuite.core.ode import Adaptive, FixedGrid, SolverError
from flowsuite.core.training.callbacks import AtomicCheckpointIO, LastCheckpoint
from flowsuite.core.training.checkpoint import build_module, load_module
from flowsuite.core.training.continuous import ContinuousFlowModule

SOLVERS = {"recomputed": FixedGrid("heun", steps=2), "adjoint": Adaptive(rtol=1e-4, atol=1e-4)}


class FixedData(ToyData):
    """Without the augmentation, which is drawn anew for every batch."""

    def make_dataset(self, split):
        dataset = super().make_dataset(split)
        dataset.augment = False
        return dataset


class Figures(pl.Callback):
    def __init__(self):
        self.steps, self.weights = [], []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.steps.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        self.weights.append([p.detach().clone() for p in pl_module.parameters()])


def make(solver=None, batch_norm=False, num_blocks=1, eval_solver=None, train_end_time=True, **options):
    torch.manual_seed(0)
    flow = FFJORD(
        4,
        (8, 8),
        num_blocks,
        batch_norm=batch_norm,
        solver=solver or FixedGrid("heun", steps=2),
        eval_solver=eval_solver or FixedGrid(steps=4),
        train_end_time=train_end_time,
    )
    return ContinuousFlowModule(flow, **{"optimizer": lambda p: torch.optim.Adam(p, lr=1e-2), **options})


def fit(module, folder, data=None, ckpt_path=None, callbacks=(), **options):
    pl.seed_everything(1)
    trainer = pl.Trainer(
        **{"max_epochs": 1, "logger": False, **options},
        accelerator="cpu",
        callbacks=[*callbacks, LastCheckpoint(str(folder), 0)],
        plugins=[AtomicCheckpointIO()],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        log_every_n_steps=1,
    )
    trainer.fit(module, datamodule=data or ToyData(n=24), ckpt_path=ckpt_path)
    return trainer


@pytest.mark.parametrize("name", SOLVERS)
def test_evaluations_are_logged_forward_and_backward(tmp_path, name, capsys):
    figures = fit(make(SOLVERS[name]), tmp_path).callback_metrics
    if name == "recomputed":
        assert figures["train/nfe_forward"] == figures["train/nfe_backward"] == 4
    else:
        assert figures["train/nfe_forward"] > 4 and figures["train/nfe_backward"] > 4
    assert figures["val/nfe"] == 16
    assert figures["train/end_time_0"] != 1
    assert figures["val/loss"] * 4 == pytest.approx(figures["val/nats"].item(), rel=1e-5)
    printed = capsys.readouterr().out
    assert printed.count(f"continuous layer 0: in training divergence exact, {SOLVERS[name]}") == 1
    assert printed.count("continuous layer 0: in evaluation divergence exact, FixedGrid(method='rk4', steps=4") == 1


def test_penalties_enter_the_loss_divided_by_the_dimension(tmp_path):
    figures = fit(make(kinetic=0.5, jacobian=0.25), tmp_path).callback_metrics
    expected = figures["train/nats"] / 4 + 0.5 * figures["train/kinetic"] + 0.25 * figures["train/jacobian"]
    torch.testing.assert_close(figures["train/loss"], expected)
    assert figures["train/kinetic"] > 0 and figures["train/jacobian"] > 0


@pytest.mark.parametrize("objective", ["flow_matching", "hybrid", "likelihood"])
def test_every_objective_is_evaluated_by_exact_likelihood(tmp_path, objective):
    """The figure is -log p of the trained weights by a solver far finer than any used in training."""
    module = make(objective=objective, batch_norm=True, eval_solver=Adaptive(rtol=1e-6, atol=1e-6))
    data = FixedData(n=96)
    batches = list(data.val_dataloader())
    with torch.no_grad():
        before = -module.eval().flow(torch.cat(batches)).mean()
    figures = fit(module.train(), tmp_path, data, max_epochs=2).callback_metrics
    module.eval()
    with torch.no_grad(), override_solver(module, lambda _: FixedGrid(steps=64)):
        nats = -module.flow(torch.cat(batches)).mean()
    torch.testing.assert_close(figures["val/nats"], nats, rtol=1e-4, atol=1e-4)
    assert nats < before - 1
    if objective == "hybrid":
        torch.testing.assert_close(figures["train/loss"], figures["train/nats"] / 4 + figures["train/matching"])


def test_hybrid_moves_the_batch_norm_once_a_step(tmp_path):
    counts = []
    for objective in ("likelihood", "hybrid", "flow_matching"):
        module = make(objective=objective, batch_norm=True)
        norm, calls = module.flow.transform[0], []
        norm.register_forward_hook(lambda norm, *_, calls=calls: calls.append(norm.training))
        fit(module, tmp_path, limit_val_batches=0)
        assert norm.training
        counts.append(sum(calls))
    assert counts == [3, 3, 3]


def test_flow_matching_solves_nothing_and_trains_the_field_alone(tmp_path, capsys):
    module = make(objective="flow_matching", batch_norm=True)
    before = {name: p.detach().clone() for name, p in module.named_parameters()}
    trainer = fit(module, tmp_path)
    assert "train/nfe_forward" not in trainer.callback_metrics
    printed = capsys.readouterr().out
    assert "continuous layer 0: in training no likelihood is computed" in printed
    assert "continuous layer 0: in evaluation divergence exact, FixedGrid" in printed
    for name, p in module.named_parameters():
        assert p.requires_grad
        assert torch.equal(p, before[name]) == (".field." not in name), name


def test_fine_tuning_by_likelihood_lowers_nats_from_a_matched_checkpoint(tmp_path):
    from flowsuite.core.training.lightning_cli import start_from

    matched = make(objective="flow_matching")
    first = fit(matched, tmp_path, ToyData(n=256, batch_size=32), max_epochs=3).callback_metrics["val/nats"]
    tuned = make()
    start_from(tuned, str(tmp_path / "last.ckpt"))
    for a, b in zip(matched.parameters(), tuned.parameters(), strict=True):
        assert torch.equal(a, b)
    second = fit(tuned, tmp_path, ToyData(n=256, batch_size=32), max_epochs=3).callback_metrics["val/nats"]
    assert second < first


def fail_at(module, step):
    """The first continuous layer's solve fails in training step number `step`."""
    field = next(m for m in module.modules() if isinstance(m, CNF)).field
    divergence = field.exact_divergence

    def failing(*arguments):
        if module.training and module.global_step + module.skipped_updates == step:
            raise SolverError("out of evaluations")
        return divergence(*arguments)

    field.exact_divergence = failing
    return module


@pytest.mark.parametrize("name", SOLVERS)
def test_a_failing_forward_solve_is_skipped_and_counted(tmp_path, name):
    module = fail_at(make(SOLVERS[name], batch_norm=True, num_blocks=2, non_finite="skip"), 1)
    recorder = Figures()
    fit(module, tmp_path, callbacks=[recorder])
    assert module.skipped_updates == 1
    assert all(torch.equal(a, b) for a, b in zip(recorder.weights[0], recorder.weights[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(recorder.weights[1], recorder.weights[2], strict=True))
    assert all(torch.isfinite(p).all() for p in [*module.parameters(), *module.buffers()])
    assert math.isnan(recorder.steps[1]["train/loss"]) and math.isfinite(recorder.steps[2]["train/loss"])


def test_a_failing_backward_solve_is_skipped_and_counted(tmp_path, monkeypatch):
    from flowsuite.core.ode import adaptive

    module = make(SOLVERS["adjoint"], non_finite="skip")
    guarded = adaptive.Adaptive._guarded

    def failing(self, rhs, evaluations):
        function = guarded(self, rhs, evaluations)

        def wrapped(t, state):
            if evaluations.in_backward and module.global_step + module.skipped_updates == 1:
                raise SolverError("out of evaluations on the way back")
            return function(t, state)

        return wrapped

    monkeypatch.setattr(adaptive.Adaptive, "_guarded", failing)
    recorder = Figures()
    fit(module, tmp_path, callbacks=[recorder])
    assert module.skipped_updates == 1 and len(recorder.steps) == 3
    assert math.isfinite(recorder.steps[1]["train/loss"])
    assert all(torch.equal(a, b) for a, b in zip(recorder.weights[0], recorder.weights[1], strict=True))
    module = make(SOLVERS["adjoint"])
    with pytest.raises(SolverError, match=r"stopped at step 1: out of evaluations on the way back.*non_finite"):
        fit(module, tmp_path)


def test_too_many_evaluations_stop_with_one_line(tmp_path):
    with pytest.raises(SolverError, match="stopped at step 0: dopri5 needed more than max_nfe=7") as error:
        fit(make(Adaptive(max_nfe=7)), tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", SOLVERS)
def test_nan_in_a_batch_is_skipped(tmp_path, name, capsys):
    module = make(SOLVERS[name], batch_norm=True, non_finite="skip")
    fit(module, tmp_path, ToyData(n=24, poison=[3]))
    assert module.skipped_updates == 1
    assert f"1 of {module.global_step} updates were skipped" in capsys.readouterr().out
    assert all(torch.isfinite(p).all() for p in [*module.parameters(), *module.buffers()])


def test_nan_is_named_under_flow_matching_too(tmp_path):
    from flowsuite.core.training.finite import NonFiniteError

    with pytest.raises(NonFiniteError, match="train/loss is nan"):
        fit(make(objective="flow_matching"), tmp_path, ToyData(n=24, poison=[3]))


@pytest.mark.parametrize("objective", ["likelihood", "flow_matching", "hybrid"])
@pytest.mark.parametrize("name", SOLVERS)
def test_bfloat16_step(tmp_path, objective, name):
    module = make(SOLVERS[name], objective=objective)
    figures = fit(module, tmp_path, precision="bf16-mixed").callback_metrics
    assert figures["train/loss"].dtype == torch.float32 and torch.isfinite(figures["train/loss"])
    assert torch.isfinite(figures["val/nats"])


@pytest.mark.parametrize(
    "options",
    [{"solver": SOLVERS["adjoint"]}, {"objective": "flow_matching"}, {"kinetic": 0.1, "batch_norm": True}],
    ids=["adjoint", "flow_matching", "penalised"],
)
def test_resumed_runs_end_with_the_same_weights(tmp_path, options):
    whole = make(**options, ema_decay=0.9)
    fit(whole, tmp_path / "whole", max_epochs=2)
    fit(make(**options, ema_decay=0.9), tmp_path / "part", max_epochs=1)
    resumed = make(**options, ema_decay=0.9)
    fit(resumed, tmp_path / "part", max_epochs=2, ckpt_path=str(tmp_path / "part" / "last.ckpt"))
    assert resumed.trainer.global_step == 6
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_solvers_survive_the_checkpoint(tmp_path):
    solver = {"class_path": "flowsuite.core.ode.FixedGrid", "init_args": {"method": "midpoint", "steps": 3}}
    eval_solver = {"class_path": "flowsuite.core.ode.Adaptive", "init_args": {"rtol": 1e-7, "atol": 1e-8}}
    flow = {"dim": 4, "hidden": [8], "solver": solver, "eval_solver": eval_solver}
    init_args = {"flow": {"class_path": "flowsuite.core.ffjord.FFJORD", "init_args": flow}, "kinetic": 0.01}
    module = build_module("flowsuite.core.training.continuous.ContinuousFlowModule", init_args)
    fit(module, tmp_path)
    again = load_module(tmp_path / "last.ckpt")
    assert again.flow.transform[0].solver == FixedGrid("midpoint", steps=3)
    assert again.flow.transform[0].eval_solver == Adaptive(rtol=1e-7, atol=1e-8)
    assert again.penalty_weights == {"kinetic": 0.01}
    assert again.generate(3).shape == (3, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "matching"}, "unknown objective 'matching'"),
        ({"kinetic": -1.0}, "kinetic must be at least 0"),
        ({"objective": "flow_matching", "kinetic": 0.1}, "solves nothing"),
        ({"objective": "flow_matching", "num_blocks": 2}, "exactly one continuous layer, got 2"),
        ({"tight": 0.0}, "tight must be positive"),
    ],
)
def test_wrong_settings_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_reflow_wants_pairs(tmp_path):
    with pytest.raises(ValueError, match=r"batches \(x, noise\)"):
        fit(make(objective="reflow"), tmp_path)


def run_test(module, folder, data=None):
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, default_root_dir=folder)
    trainer.test(module, datamodule=data or ToyData(n=24), verbose=False)
    return trainer.callback_metrics


class FailsOn(ContinuousFlowModule):
    """Solves of batches `failing` give up."""

    failing: tuple[int, ...] = ()

    def _evaluate(self, batch, stage):
        batch_idx = self.batch_number = getattr(self, "batch_number", -1) + 1
        cnf = self.flow.transform[0]
        solver = cnf.eval_solver
        if batch_idx in self.failing:
            cnf.eval_solver = Adaptive(max_nfe=3)
        try:
            super()._evaluate(batch, stage)
        finally:
            cnf.eval_solver = solver


@pytest.mark.parametrize("stage", ["val", "test"])
def test_batches_that_cannot_be_solved_are_counted_and_left_out(tmp_path, stage, capsys):
    """Twenty examples in batches of 8, 8 and 4: the means are those of the 12 that are solved."""

    def run(failing, non_finite="skip"):
        module = make(non_finite=non_finite)
        module.__class__, module.failing = FailsOn, failing
        if stage == "test":
            return module, run_test(module, tmp_path, FixedData(n=24))
        options = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
        trainer = pl.Trainer(**options, default_root_dir=tmp_path)
        trainer.validate(module, datamodule=FixedData(n=24), verbose=False)
        return module, trainer.callback_metrics

    module, figures = run((1,))
    x = FixedData(n=24).dataset("val").x
    with torch.no_grad():
        log_prob = module.eval().flow(x)
    solved = torch.cat((log_prob[:8], log_prob[16:]))
    assert figures[f"{stage}/nats"] == pytest.approx(-solved.mean().item(), rel=1e-5)
    assert figures[f"{stage}/failed_batches"] == 1
    assert f"a {stage} batch could not be solved, it is left out of the means: dopri5" in capsys.readouterr().out
    assert run(())[1][f"{stage}/failed_batches"] == 0
    figures = run((0, 1, 2))[1]
    assert torch.isnan(figures[f"{stage}/nats"]) and figures[f"{stage}/failed_batches"] == 3
    with pytest.raises(SolverError, match="max_nfe=3"):
        run((1,), "stop")


def test_test_figures_come_with_a_certificate(tmp_path, capsys):
    module = make(eval_solver=Adaptive(rtol=1e-6, atol=1e-6), ema_decay=0.9)
    run_test(module, tmp_path)
    printed = capsys.readouterr().out
    assert "likelihood certificate, 8 examples" in printed and "LOOSE" not in printed
    assert module.certificate.is_tight()
    loose = make(eval_solver=FixedGrid("euler", steps=1))
    with torch.no_grad():
        for p in loose.parameters():
            p.mul_(3)
    run_test(loose, tmp_path)
    printed = capsys.readouterr().out
    assert "error of the mean over 20 test examples" in printed and "!!! LOOSE" in printed


def test_probes_matter_less_in_the_mean_over_many_test_examples(tmp_path, capsys):
    module = make(eval_solver=Adaptive(rtol=1e-6, atol=1e-6))
    module.flow.transform[0].eval_divergence = "hutchinson"
    run_test(module, tmp_path)
    error = 2 * module.certificate.standard_error
    assert module.certificate.examples == 8 and error > 0
    module.tight = 0.7 * error  # between the error of 8 and that of 20
    capsys.readouterr()
    run_test(module, tmp_path)
    assert "LOOSE" not in capsys.readouterr().out and not module.certificate.is_tight(module.tight)


def test_pictures_of_flows_in_the_plane(tmp_path):
    from flowsuite.core.data import Toy

    torch.manual_seed(0)
    flow = FFJORD(2, (4, 4), eval_solver=FixedGrid(steps=2))
    module = ContinuousFlowModule(flow)
    fit(module, tmp_path, Toy("moons", train=16, val=40, batch_size=8), limit_val_batches=1)
    module.eval()
    picture = module.example_images()
    assert picture.ndim == 3 and picture.shape[0] == 3 and 0 <= picture.min() < picture.max() <= 1
    assert make().flow.base.shape == (4,)
    four = make()
    assert four.example_images() is None
