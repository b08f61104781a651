"""Means of checkpoints."""

import pytest
import torch
from toyrun import TOY, run_cli

from flowsuite.core.training.averaging import average_checkpoints, find_checkpoints, weights_of
from flowsuite.core.training.checkpoint import build_module, load_module, save_module
from flowsuite.core.training.cli import main as flowsuite

FLOW = "flowsuite.core.maf.MAF"


def module(seed, **settings):
    torch.manual_seed(seed)
    flow = {"class_path": FLOW, "init_args": {"dims": 3, "n_layers": 2, "hidden_features": 8, **settings}}
    return build_module("flowsuite.core.training.module.FlowModule", {"flow": flow})


def write(path, seed, step, ema=False, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    made = module(seed, **settings)
    save_module(path, made)
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["global_step"] = step
    checkpoint["optimizer_states"] = [{"state": {}}]
    if ema:
        average = {name: torch.full_like(p, 9.0) for name, p in made.named_parameters()}
        checkpoint["flowsuite"]["ema"] = {"updates": 3, "decay": 0.9, "average": average}
    torch.save(checkpoint, path)
    return path, made.state_dict()


@pytest.fixture
def run(tmp_path):
    """Checkpoints of steps 30, 10, 20, in the order of their names, beside best and last."""
    folder = tmp_path / "version_0/checkpoints"
    made = {
        step: write(folder / f"{name}.ckpt", step, step, ema=True)
        for name, step in zip("abc", (30, 10, 20), strict=True)
    }
    for name in ("best", "last"):
        write(folder / f"{name}.ckpt", 99, 99)
    return folder, {step: path for step, (path, _) in made.items()}, {step: state for step, (_, state) in made.items()}


def test_shares():
    assert weights_of(4) == [0.25] * 4
    shares = weights_of(3, 0.25)
    assert sum(shares) == pytest.approx(1) and shares[1] / shares[0] == pytest.approx(0.75)
    assert shares[2] / shares[1] == pytest.approx(0.75)
    for wrong in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="between 0 and 1"):
            weights_of(2, wrong)


@pytest.mark.parametrize("exponential", [None, 0.3])
def test_the_mean_of_every_weight(run, exponential):
    _, paths, states = run
    result = average_checkpoints([paths[10], paths[30], paths[20]], exponential)
    shares = dict(zip((30, 20, 10), weights_of(3, exponential), strict=True))
    for name, value in result["state_dict"].items():
        wanted = sum(share * states[step][name].double() for step, share in shares.items())
        if not value.is_floating_point():
            wanted = states[30][name]
        torch.testing.assert_close(value, wanted.to(value.dtype))
        assert value.dtype == states[30][name].dtype
    assert result["global_step"] == 30 and "ema" not in result["flowsuite"] and "optimizer_states" not in result
    assert result["flowsuite"]["averaged"] == [str(paths[step]) for step in (30, 20, 10)]


def test_the_result_loads_as_any_other(run, tmp_path, capsys):
    folder, _, states = run
    out = tmp_path / "mean.ckpt"
    assert flowsuite(["audio", "average", str(folder.parent), "--last", "2", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "0.5000" in said and "the mean of 2 checkpoints of flowsuite.core.maf.MAF, up to step 30" in said
    loaded = load_module(out)
    for name, value in loaded.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (states[30][name] + states[20][name]) / 2)
    assert loaded.flow(torch.zeros(2, 3)).isfinite().all()


def test_best_and_last_count_only_where_there_are_no_others(run, tmp_path):
    folder, paths, _ = run
    assert find_checkpoints([folder], None) == [folder / f"{name}.ckpt" for name in "abc"]
    assert find_checkpoints([folder], 2) == [paths[20], paths[30]]
    assert find_checkpoints([folder / "best.ckpt", folder], 1) == [folder / "best.ckpt"]
    for path in paths.values():
        path.unlink()
    assert find_checkpoints([folder], None) == [folder / "best.ckpt", folder / "last.ckpt"]


def test_errors(run, tmp_path, capsys):
    folder, paths, _ = run
    other, _ = write(tmp_path / "other.ckpt", 0, 5, hidden_features=9)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.ckpt").write_bytes(b"no")
    cases = {
        (paths[10], other): "other.ckpt holds another model than the newest",
        (tmp_path / "empty",): "holds no checkpoints",
        (tmp_path / "none.ckpt",): "no checkpoint at",
        (tmp_path / "bad.ckpt",): "bad.ckpt",
        (folder, "--last", "0"): "--last must be at least 1",
        (folder, "--exponential", "2"): "between 0 and 1",
    }
    for arguments, said in cases.items():
        assert flowsuite(["audio", "average", *map(str, arguments), "--out", str(tmp_path / "mean.ckpt")]) == 1
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
        assert not (tmp_path / "mean.ckpt").exists()


RECIPE = """
trainer:
  max_epochs: 3
  log_every_n_steps: 1
  logger: false
  callbacks:
  - class_path: pytorch_lightning.callbacks.ModelCheckpoint
    init_args: {dirpath: kept, every_n_train_steps: 4, save_top_k: -1, filename: "{step}"}
"""


def test_a_run_that_keeps_several_checkpoints_keeps_its_best_too(tmp_path):
    (tmp_path / "run.yaml").write_text(RECIPE)
    code, output = run_cli(["fit", "--config", "run.yaml", *TOY], tmp_path)
    assert code == 0, output
    kept = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert len(kept) > 1 and all(name.startswith("step=") for name in kept)
    assert len(list(tmp_path.rglob("best.ckpt"))) == 1
    code, output = run_cli(["audio", "average", "kept", "--last", "2", "--out", "mean.ckpt"], tmp_path)
    assert code == 0 and "the mean of 2 checkpoints of toyflow.ToyFlow" in output, output
