"""The command line as a user meets it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from toyrun import TOY, run_cli

from flowsuite.core.training import recipes, sampling, sampling_options
from flowsuite.core.training.cli import main


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which `fit` has run."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "toy.yaml").write_text(
        """\
# what: toy flow
model:
  class_path: flowsuite.core.training.module.FlowModule
  init_args:
    flow:
      class_path: toyflow.ToyFlow
    ema_decay: 0.9
data:
  class_path: toyflow.ToyData
trainer:
  max_epochs: 2
  accelerator: cpu
  enable_model_summary: false
""",
        encoding="utf-8",
    )
    code, output = run_cli(["fit", "--config", "toy.yaml", "--model.init_args.optimizer.init_args.lr=0.02"], folder)
    assert code == 0, output
    return folder


def read(path):
    return torch.load(path, weights_only=True)


def test_help_is_quick_and_imports_little(tmp_path):
    code = (
        "import sys; from flowsuite.core.training.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    for arguments in (["--help"], ["recipes"], ["fit", "--help"], ["sample", "--help"]):
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "flowsuite" in done.stdout or "recipe" in done.stdout
        assert time.perf_counter() - begin < 2


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict", "sample", "import", "recipes"])
def test_help_has_an_example(command, capsys):
    try:
        main([command, "--help"])
    except SystemExit as end:
        assert not end.code
    output = capsys.readouterr().out
    assert "example" in output.lower() and f"flowsuite {command}" in output


def test_fit_leaves_its_files(trained):
    run = trained / "runs/toy/version_0"
    assert {"config.yaml", "checkpoints"} <= {path.name for path in run.iterdir()}
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    checkpoint = read(run / "checkpoints/last.ckpt")
    config = checkpoint["flowsuite"]["config"]
    assert config["init_args"]["optimizer"]["init_args"]["lr"] == 0.02
    assert checkpoint["flowsuite"]["ema"]["updates"] == checkpoint["global_step"] == 12


@pytest.mark.parametrize("which", ["best", "last", "runs/toy/version_0/checkpoints/best.ckpt"])
def test_test_and_its_model(trained, which):
    code, output = run_cli(["test", "--config", "toy.yaml", "--ckpt_path", which], trained)
    assert code == 0 and "test/loss" in output


def test_model_from_the_checkpoint(trained):
    path = "runs/toy/version_0/checkpoints/best.ckpt"
    arguments = ["test", "--data=toyflow.ToyData", "--trainer.accelerator=cpu", "--ckpt_path", path]
    code, output = run_cli([*arguments, "--allow", "[toyflow]"], trained)
    assert code == 0 and "test/loss" in output, output
    code, output = run_cli(arguments, trained)
    assert code == 1 and "--allow toyflow" in output.splitlines()[-1]


def test_predict_writes_log_likelihoods(trained):
    code, output = run_cli(["predict", "--config", "toy.yaml", "--ckpt_path", "last"], trained)
    assert code == 0, output
    log_prob = np.load(trained / "runs/toy/log_prob.npz")["log_prob"]
    assert log_prob.shape == (20,) and np.isfinite(log_prob).all()


def test_fine_tuning_starts_from_the_averaged_weights(trained):
    source = "runs/toy/version_0/checkpoints/last.ckpt"
    arguments = ["fit", "--config", "toy.yaml", "--weights", source, "--trainer.default_root_dir=tuned"]
    one_empty_step = ["--trainer.max_steps=1", "--model.init_args.optimizer.init_args.lr=0"]
    code, output = run_cli([*arguments, *one_empty_step], trained)
    assert code == 0, output
    before, after = read(trained / source), read(trained / "tuned/toy/version_0/checkpoints/last.ckpt")
    average = before["flowsuite"]["ema"]["average"]
    assert after["global_step"] == 1
    assert all(torch.equal(after["state_dict"][name], average[name]) for name in average)


def same_samples(a, b):
    files = sorted(path.name for path in a.iterdir())
    assert files == ["samples_000000.npz", "samples_000004.npz", "samples_000008.npz"]
    assert files == sorted(path.name for path in b.iterdir())
    for name in files:
        np.testing.assert_array_equal(np.load(a / name)["samples"], np.load(b / name)["samples"])


def test_samples_do_not_depend_on_the_shards(trained):
    common = ["--ckpt_path", str(trained / "runs/toy/version_0/checkpoints/best.ckpt"), "--num=10", "--batch_size=4"]
    for n in (1, 3):
        options = sampling_options.parser().parse_args(
            [*common, "--allow=toyflow", f"--devices={n}", f"--out={trained}/r{n}"]
        )
        for rank in range(n):
            done = list(sampling.batches(sampling.load(options, 0), options, rank))
            assert done == [(0, 4), (4, 4), (8, 2)][rank::n]
    same_samples(trained / "r1", trained / "r3")


@pytest.mark.slow
def test_samples_do_not_depend_on_the_number_of_processes(trained):
    common = ["sample", "--ckpt_path", "runs/toy/version_0/checkpoints/best.ckpt", "--num=10", "--batch_size=4"]
    for n in (1, 2):
        code, output = run_cli([*common, "--allow=toyflow", f"--devices={n}", f"--out=s{n}"], trained)
        assert code == 0, output
    same_samples(trained / "s1", trained / "s2")


def test_ctrl_c_leaves_a_resumable_checkpoint(tmp_path):
    arguments = ["fit", *TOY, "--trainer.max_epochs=2"]
    interrupt = ["--trainer.callbacks+=toyflow.SignalAt", "--trainer.callbacks.batch=4"]
    code, output = run_cli([*arguments, *interrupt, "--trainer.callbacks.name=SIGINT"], tmp_path)
    assert code == 130, output
    assert "--ckpt_path last" in output.splitlines()[-1]
    assert read(tmp_path / "runs/run/version_0/checkpoints/last.ckpt")["global_step"] == 4
    code, output = run_cli([*arguments, "--ckpt_path=last"], tmp_path)
    assert code == 0, output
    assert read(tmp_path / "runs/run/version_0/checkpoints/last.ckpt")["global_step"] == 12


def test_nan_is_one_line(tmp_path):
    code, output = run_cli(["fit", *TOY, "--data.poison=[1, 2, 3]", "--trainer.max_epochs=1"], tmp_path)
    assert code == 1
    last = output.splitlines()[-1]
    assert last.startswith("flowsuite: error:") and "train/loss is nan" in last and "Traceback" not in output


def test_nothing_but_skipped_updates_is_one_line(tmp_path):
    poison = f"--data.poison={list(range(48))}"
    code, output = run_cli(["fit", *TOY, "--model.non_finite=skip", poison, "--trainer.max_epochs=1"], tmp_path)
    assert code == 1 and "Traceback" not in output and "best checkpoint" not in output
    last = output.splitlines()[-1]
    assert last.startswith("flowsuite: error:") and "all 6 updates were skipped" in last


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "--config", "images/nosuchthing"], "unknown recipe 'images/nosuchthing'"),
        (["fit", *TOY, "--trainer.max_epochz=1"], "did you mean --trainer.max_epochs?"),
        (
            ["fit", "--config", "near.yaml"],
            "does not accept option 'trainer.max_epoch'; did you mean --trainer.max_epochs?",
        ),
        (["fit", "--config", "latin1.yaml"], "latin1.yaml: a file named there is not UTF-8"),
        (["fit", *TOY, "--model.flow.width=x"], "model.flow.width: Expected a <class 'int'>. Got value: x"),
        (["fit", *TOY, "--model.flow.widht=3"], "toyflow.ToyFlow has no option 'widht'; did you mean width?"),
        (["fit", *TOY, "--model.emma_decay=0.9"], "FlowModule has no option 'emma_decay'; did you mean ema_decay?"),
        (["fit", *TOY, "--model.optimizer=torch.optim.SGD", "--model.optimizer.lrr=1"], "SGD has no option 'lrr'; did"),
        (["fit", *TOY, "--model.flow=toyflow.ToyFlwo"], "no class toyflow.ToyFlwo; did you mean toyflow.ToyFlow?"),
        (["fit", *TOY, "--data=nosuch.Data"], "data: there is no class nosuch.Data"),
        (["fit", "--data=toyflow.ToyData"], "needs a model"),
        (["test", *TOY, "--ckpt_path=best"], "no best.ckpt under runs/run"),
        (["test", *TOY, "--ckpt_path=absent.ckpt"], "no checkpoint at absent.ckpt"),
        (["test", *TOY, "--weights=absent.ckpt"], "--weights is for fit"),
        (["sample", "--ckpt_path=absent.ckpt", "--out=s"], "no checkpoint at absent.ckpt"),
        (["sample", "--ckpt_path=absent.ckpt", "--out=s", "--num=0"], "--num must be at least 1"),
        (["sample", "--ckpt_path=x", "--out=s", "--temperature=nan"], "--temperature must be"),
        (["import", "nokind", "a.pt", "--config=a.json", "--out=b.ckpt"], "unknown kind 'nokind'"),
        (["recipes", "--json"], "takes words to look for, got --json"),
        (["recipes", "ffjord", "nosuchthing"], "no recipe has 'ffjord' and 'nosuchthing' in its name, what"),
    ],
)
def test_errors_are_one_line(arguments, message, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    Path("near.yaml").write_text("trainer: {max_epoch: 1}")
    Path("latin1.yaml").write_bytes(b"trainer: {max_epochs: 1} # \xe5")
    assert main(arguments) == 1
    error = capfd.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("flowsuite: error:") and message in error


def test_what_fails_before_its_first_step_leaves_no_run(tmp_path):
    code, output = run_cli(["fit", *TOY, "--data.n=0"], tmp_path)
    assert code == 1 and not list((tmp_path / "runs").glob("*/*")), output


def test_best_without_validation_points_to_last(tmp_path):
    code, output = run_cli(["fit", *TOY, "--trainer.max_steps=1", "--trainer.limit_val_batches=0"], tmp_path)
    assert code == 0, output
    code, output = run_cli(["test", *TOY, "--ckpt_path=best"], tmp_path)
    assert code == 1
    message = "no best.ckpt under runs/run: no validation has run; --ckpt_path last takes last.ckpt"
    assert output.splitlines()[-1] == f"flowsuite: error: {message}"
    code, output = run_cli(["test", *TOY, "--ckpt_path=last"], tmp_path)
    assert code == 0 and "test/loss" in output


def test_unknown_command(capsys):
    assert main(["fti"]) == 2
    assert "did you mean 'fit'" in capsys.readouterr().err


def test_checkpoint_of_another_model(trained):
    arguments = ["test", "--config", "toy.yaml", "--model.init_args.flow.init_args.width=5", "--ckpt_path=last"]
    code, output = run_cli(arguments, trained)
    assert code == 1 and "another model (toyflow.ToyFlow)" in output.splitlines()[-1]


def test_weights_alone_do_not_resume(trained, tmp_path):
    checkpoint = read(trained / "runs/toy/version_0/checkpoints/last.ckpt")
    del checkpoint["optimizer_states"]
    torch.save(checkpoint, tmp_path / "weights.ckpt")
    arguments = ["fit", "--config", str(trained / "toy.yaml"), "--ckpt_path", "weights.ckpt"]
    code, output = run_cli(arguments, tmp_path)
    assert code == 1 and "--weights" in output.splitlines()[-1]


def test_recipes_by_name(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "images" / "recipes"
    folder.mkdir(parents=True)
    (folder / "glow-cifar10.yaml").write_text("# what: Glow\n# data: CIFAR-10\n# published: 3.35 bits/dim\nmodel: 1\n")
    monkeypatch.setattr(recipes, "domains", lambda: ["images"])
    monkeypatch.setattr(recipes, "package_folder", lambda domain: tmp_path / domain)
    assert recipes.find_recipe("images/glow-cifar10") == folder / "glow-cifar10.yaml"
    assert recipes.recipe_name(folder / "glow-cifar10.yaml") == "images/glow-cifar10"
    with pytest.raises(ValueError, match="did you mean images/glow-cifar10"):
        recipes.find_recipe("images/glow-cifar")
    assert main(["recipes"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[2].split("  ")[0] == "images/glow-cifar10" and "3.35 bits/dim" in table[2] and " - " in table[2]


def test_recipes_by_words(tmp_path, monkeypatch, capsys):
    headers = {
        "images/glow-cifar10": "# what: Glow\n# data: CIFAR-10\n# published: FFJORD is at 3.40\n",
        "images/ffjord-mnist": "# what: multi-scale FFJORD\n# data: MNIST\n",
        "core/maf-power": "# what: MAF\n# data: POWER\n",
    }
    for name, header in headers.items():
        room, _, stem = name.partition("/")
        (tmp_path / room / "recipes").mkdir(parents=True, exist_ok=True)
        (tmp_path / room / "recipes" / f"{stem}.yaml").write_text(header)
    monkeypatch.setattr(recipes, "domains", lambda: ["images"])
    monkeypatch.setattr(recipes, "package_folder", lambda room: tmp_path / room)
    for words, expected in (
        (["ffjord"], ["images/ffjord-mnist"]),  # not what is published
        (["Power"], ["core/maf-power"]),
        (["images", "CIFAR"], ["images/glow-cifar10"]),
        ([], ["core/maf-power", "images/ffjord-mnist", "images/glow-cifar10"]),
    ):
        assert main(["recipes", *words]) == 0
        output = capsys.readouterr().out
        assert [name for name in sorted(headers) if name in output] == expected
    assert main(["recipes", "glow", "power"]) == 1
    assert capsys.readouterr().err.strip().endswith("what or data; rooms: core (1), images (2)")


def test_recipes_of_core(tmp_path, monkeypatch):
    folder = tmp_path / "core" / "recipes"
    folder.mkdir(parents=True)
    (folder / "ffjord-power.yaml").write_text("# what: FFJORD\n")
    assert "core" not in recipes.domains() and recipes.package_folder("core").name == "core"
    monkeypatch.setattr(recipes, "package_folder", lambda room: tmp_path / room)
    assert recipes.find_recipe("core/ffjord-power") == folder / "ffjord-power.yaml"
    assert recipes.recipe_name(folder / "ffjord-power.yaml") == "core/ffjord-power"
    assert list(recipes.list_recipes()) == ["core/ffjord-power"]


def test_weights_that_are_no_archive_are_named(tmp_path, capsys):
    (tmp_path / "junk.npz").write_bytes(b"junk")
    (tmp_path / "config.json").write_text("{}")
    argv = ["import", "maf", str(tmp_path / "junk.npz"), "--config", str(tmp_path / "config.json")]
    assert main([*argv, "--out", str(tmp_path / "model.ckpt")]) == 1
    assert "junk.npz is refused: expected an .npz of plain arrays" in capsys.readouterr().err
    assert not (tmp_path / "model.ckpt").exists()


def test_an_error_in_a_loaders_worker_is_its_last_line():
    from flowsuite.core.training.cli import summary

    text = "Caught ValueError in DataLoader worker process 1.\nOriginal Traceback (most recent call last):\n  File\n"
    assert summary(ValueError(f"{text}ValueError: a.png: cannot be read\n")) == "a.png: cannot be read"
