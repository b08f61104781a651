"""Every packaged recipe goes through the command line's own parser and trains two steps on made data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

import flowsuite.images
from flowsuite.core.training.recipes import FIELDS, read_header
from tests.images import containers

FOLDER = Path(flowsuite.images.__file__).parent / "recipes"
ALL = sorted(path.stem for path in FOLDER.glob("*.yaml"))
RECIPES = [name for name in ALL if not name.startswith("vae-")]  # those are in vae/test_recipes.py

# Small versions of the models, by class.
SMALL = {
    "Glow": {"steps": 1, "width": 4},
    "RealNVP": {"n_scales": 2, "base_dim": 2, "residual_blocks": 0},
    "NICE": {"hidden_layers": 1, "hidden_units": 8, "whitening": "none"},
    "ImageFFJORD": {"hidden": [2], "num_blocks": 1, "n_scales": 2},
}


def categories(options: dict) -> list[str]:
    return options.get("categories") or ["bedroom"]


def write_data(name: str, options: dict, root: Path) -> dict:
    """Writes what data module `name` reads, and returns the options that lead there."""
    size = options.get("size")
    if name in ("MNIST", "FashionMNIST"):
        containers.write_mnist(root)
    elif name == "CIFAR10":
        containers.write_cifar(root, n=2)
    elif name == "SVHN":
        containers.write_svhn(root, n=10)
    elif name == "CelebA":
        containers.write_celeba(root, n=12)
    elif name == "CelebAHQ":
        containers.write_celebahq(root, size)
    elif name == "DownsampledImageNet":
        containers.write_imagenet(root, size, n=8)
    elif name == "ImageNetBatches":
        containers.write_imagenet_batches(root, size)
    elif name == "LSUN":
        for category in categories(options):
            containers.write_lsun(root, category, n=8, size=(options["resize"] + 10, options["resize"]))
    elif name == "ImageFolder":
        containers.write_folder(root, n=10, size=(size + 6, size))
        return {"root": str(root), "test": 2, "validation": 2}
    elif name == "TFD":
        containers.write_tfd(root, n=24)
        return {"root": str(root)}
    elif name == "Digits":
        return {}
    else:
        raise AssertionError(f"no made data for {name}: add it here")
    return {"root": str(root)} if name == "CelebA" else {"root": str(root), "validation": 2}


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_trains_two_steps(recipe, tmp_path, monkeypatch):
    from flowsuite.core.training.lightning_cli import FlowCLI

    monkeypatch.chdir(tmp_path)
    config = yaml.safe_load((FOLDER / f"{recipe}.yaml").read_text())
    flow, data = config["model"]["init_args"]["flow"], config["data"]
    options = write_data(data["class_path"].rpartition(".")[2], data["init_args"], tmp_path / "set")
    given = config["model"]["init_args"]
    overrides = {f"data.init_args.{key}": value for key, value in options.items()}
    overrides |= {
        f"model.init_args.flow.init_args.{k}": v for k, v in SMALL[flow["class_path"].rpartition(".")[2]].items()
    }
    overrides |= {"data.init_args.batch_size": 2, "data.init_args.num_workers": 0, "model.init_args.init_batches": 1}
    overrides |= {"trainer.accelerator": "cpu", "trainer.devices": 1, "trainer.logger": "false"}
    overrides |= {"trainer.limit_val_batches": 1, "trainer.enable_progress_bar": "false"}
    overrides |= {"trainer.max_steps": 2, "trainer.val_check_interval": "null", "trainer.limit_train_batches": 2}
    overrides |= {"trainer.check_val_every_n_epoch": 1, "trainer.enable_model_summary": "false"}
    arguments = ["fit", "--config", f"images/{recipe}", *(f"--{key}={value}" for key, value in overrides.items())]
    cli = FlowCLI(arguments)
    assert cli.trainer.global_step == 2
    assert type(cli.model.flow).__name__ == flow["class_path"].rpartition(".")[2]
    assert given.get("warmup_steps", 0) == cli.model.warmup_steps
    figures = cli.trainer.callback_metrics
    if "Continuous" in config["model"]["class_path"]:
        assert figures["train/nfe_forward"] > 0 and figures["train/nfe_backward"] > 0 and figures["val/nfe"] > 0
        assert all(torch.isfinite(figures[f"train/{name}"]) == (given[name] > 0) for name in cli.model.penalties)
    assert torch.isfinite(figures["val/loss"]) and torch.isfinite(figures[f"val/{cli.model.bits_name}"])


@pytest.mark.parametrize("recipe", ALL)
def test_recipe_says_what_it_is(recipe):
    header = read_header(FOLDER / f"{recipe}.yaml")
    assert all(header.get(field) for field in FIELDS)


def test_published_glow_set_ups_are_those_of_the_paper():
    table = {  # levels, steps, coupling, bits, batch
        "glow-cifar10": (3, 32, "affine", 8, 64),
        "glow-imagenet32": (3, 48, "affine", 8, 64),
        "glow-imagenet64": (4, 48, "affine", 8, 16),
        "glow-lsun64-bedroom": (3, 48, "affine", 8, 16),
        "glow-lsun64-church": (3, 48, "affine", 8, 16),
        "glow-lsun64-tower": (3, 48, "affine", 8, 16),
        "glow-celebahq256": (6, 32, "additive", 5, 1),
        "glow-lsun128": (5, 64, "additive", 5, 4),
        "glow-cifar10-conditional": (3, 32, "additive", 5, 64),
        "glow-imagenet32-conditional": (3, 48, "additive", 5, 64),
    }
    for name, wanted in table.items():
        config = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
        flow = config["model"]["init_args"]["flow"]["init_args"]
        found = (
            *(flow[key] for key in ("levels", "steps", "coupling", "n_bits")),
            config["data"]["init_args"]["batch_size"],
        )
        assert found == wanted and flow["width"] == 512, name


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["fit", "--model.init_args.flow.init_args.levels", "4"],
            "Glow with 4 levels needs height and width divisible",
        ),
        (["fit", "--model.init_args.flow.init_args.n_bits", "9"], "n_bits must be between 1 and 8, got 9"),
        (["fit", "--data.init_args.batch_size", "0"], "batch_size must be at least 1, got 0"),
        (["test"], "test needs trained weights"),
    ],
)
def test_wrong_options_get_one_short_line(argv, message, tmp_path, monkeypatch, capsys):
    from flowsuite.core.training import cli

    monkeypatch.chdir(tmp_path)
    assert cli.main([argv[0], "--config", "images/demo", *argv[1:]]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert message in error and len(error) < 200


@pytest.mark.parametrize("recipe", ["ffjord-mnist", "ffjord-cifar10"])
def test_published_ffjord_follows_the_rule_of_the_tabular_recipes(recipe):
    text = (FOLDER / f"{recipe}.yaml").read_text()
    flow = yaml.safe_load(text)["model"]["init_args"]["flow"]["init_args"]
    assert flow["train_end_time"] is False and flow["solver"]["init_args"]["seminorm"] is False
    assert "Departures:" in text
