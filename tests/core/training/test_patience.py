import math
from types import SimpleNamespace

import pytest

from flowsuite.core.training.patience import Patience


def trainer(lr=1.0):
    groups = [{"lr": lr}, {"lr": 2 * lr}]
    return SimpleNamespace(
        sanity_checking=False,
        state=SimpleNamespace(fn="fit"),
        callback_metrics={},
        optimizers=[SimpleNamespace(param_groups=groups)],
        should_stop=False,
        lr_scheduler_configs=[],
    )


def run(patience, values, run_trainer=None):
    """Learning rate after every validation, and whether training stopped."""
    run_trainer = run_trainer or trainer()
    rates = []
    for value in values:
        run_trainer.callback_metrics["val/loss"] = value
        patience.on_validation_end(run_trainer, None)
        rates.append(run_trainer.optimizers[0].param_groups[0]["lr"])
    return rates, run_trainer


def test_rate_falls_at_thirds_and_training_stops():
    rates, ended = run(Patience(6), [1.0] + [2.0] * 7)
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.01, 0.01])
    assert ended.should_stop and ended.optimizers[0].param_groups[1]["lr"] == pytest.approx(0.02)
    assert not run(Patience(6), [1.0] + [2.0] * 6)[1].should_stop


def test_improvement_restarts_the_count_but_not_the_rate():
    rates, ended = run(Patience(3), [1.0, 2.0, 2.0, 0.5, 0.6, 0.6, 0.6])
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.1, 0.1, 0.01])
    assert not ended.should_stop


def test_nan_is_no_improvement():
    assert run(Patience(1), [1.0, math.nan, math.nan])[1].should_stop


def test_resumed_state_goes_on():
    values = [1.0, 2.0, 2.0, 2.0]
    whole, _ = run(Patience(3), values)
    first, again, state = Patience(3), Patience(3), trainer()
    part, _ = run(first, values[:3], state)
    again.load_state_dict(first.state_dict())
    assert part + run(again, values[3:], state)[0] == whole


def test_what_it_refuses():
    with pytest.raises(ValueError, match="at least 1"):
        Patience(0)
    with pytest.raises(ValueError, match="not logged"):
        Patience(monitor="val/x").on_validation_end(trainer(), None)
    busy = trainer()
    busy.lr_scheduler_configs = [1]
    with pytest.raises(ValueError, match="leave lr_scheduler out"):
        Patience().on_fit_start(busy, None)
