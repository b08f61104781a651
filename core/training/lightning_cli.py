"""`flowsuite fit|validate|test|predict`: LightningCLI with recipes, runs that resume, and checkpoints that are safe."""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jsonargparse import ArgumentError
from pytorch_lightning.callbacks import ModelCheckpoint, ProgressBar
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins import CheckpointIO

from flowsuite.core.training.callbacks import AtomicCheckpointIO, FlowProgressBar, LastCheckpoint
from flowsuite.core.training.checkpoint import check_same_model, load_module, plain, read_checkpoint
from flowsuite.core.training.data import FlowDataModule
from flowsuite.core.training.files import make_folder, write_npz
from flowsuite.core.training.module import FlowModule
from flowsuite.core.training.parsing_errors import constructor_error, one_line
from flowsuite.core.training.recipes import find_recipe, recipe_name
from flowsuite.core.training.runs import check_run, choose_version, newest_checkpoint

SHARDED = ("fsdp", "deepspeed", "xla")  # strategies that write checkpoints in their own way


def expand_recipes(argv: list[str]) -> tuple[list[str], str]:
    """`--config` arguments with recipe names replaced by their files, and the name of the run."""
    expanded, name = list(argv), "run"
    for i, argument in enumerate(argv):
        flag, equals, value = argument.partition("=")
        if flag not in ("--config", "-c"):
            continue
        if equals:
            path = find_recipe(value)
            expanded[i] = f"{flag}={path}"
        elif i + 1 < len(argv):
            path = find_recipe(argv[i + 1])
            expanded[i + 1] = str(path)
        else:
            raise ValueError("--config needs the name of a recipe or a file")
        name = recipe_name(path)
    return expanded, name


class FlowCLI(LightningCLI):
    """Builds trainer, model and data from the command line, and runs `fit`, `validate`, `test` or `predict`."""

    def __init__(self, argv: list[str]):
        self.arguments, self.run_name = expand_recipes(argv)
        self.checkpoint: Path | None = None
        self.resumed_version: int | None = None
        self.new_run: Path | None = None
        self.exit_code = 0
        super().__init__(
            FlowModule,
            FlowDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            # Inference mode would rule out divergences by autograd.
            trainer_defaults={"default_root_dir": "runs", "num_sanity_val_steps": 0, "inference_mode": False},
            parser_kwargs={"exit_on_error": False, argv[0]: {"exit_on_error": False}},
        )

    # The parser

    def subcommands(self) -> dict[str, set[str]]:
        # Only the one that is asked for: a parser of all trainer options takes its time. `weights_only` is not for the
        # user to switch off.
        name = self.arguments[0]
        return {name: LightningCLI.subcommands()[name] | {"weights_only"}}

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(self.trainer_class, "trainer")
        parser.set_defaults({f"trainer.{name}": value for name, value in self.trainer_defaults.items()})
        # Neither is required here: the model may come from a checkpoint, and what lacks is said in one line.
        parser.add_lightning_class_args(FlowModule, "model", subclass_mode=True, required=False)
        parser.add_lightning_class_args(FlowDataModule, "data", subclass_mode=True, required=False)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--weights", type=str | None, help="Start from this checkpoint's weights (fine-tuning).")
        parser.add_argument("--allow", type=list[str], default=[], help="Packages whose classes a checkpoint may name.")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        try:
            self.config = parser.parse_args(self.arguments)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{' '.join(map(str, self.arguments))}: a file named there is not UTF-8 ({error})"
            ) from None
        except ArgumentError as error:
            options = self._subcommand_parsers[self.arguments[0]]._option_string_actions
            raise ValueError(one_line(error, options)) from None

    def _parse_ckpt_path(self) -> None:
        """What a checkpoint says of its model never overrides the command line."""
        subcommand = self.config["subcommand"]
        options = self.config[subcommand]
        if subcommand != "fit" and options.get("weights"):
            raise ValueError(f"--weights is for fit; {subcommand} takes --ckpt_path")
        self._find_checkpoint(subcommand, options)

    def _find_checkpoint(self, subcommand: str, options: Any) -> None:
        wanted = options.get("ckpt_path")
        if not wanted:
            return
        if wanted in ("best", "last"):
            root = Path(options["trainer"]["default_root_dir"]) / self.run_name
            found = newest_checkpoint(root, wanted)
            if found is None:
                if subcommand == "fit" and wanted == "last":
                    print(f"nothing to resume under {root}: starting afresh")
                    options["ckpt_path"] = None
                    return
                advice = "train first, or give --ckpt_path a path"
                if wanted == "best" and newest_checkpoint(root, "last"):
                    advice = "no validation has run; --ckpt_path last takes last.ckpt"
                raise FileNotFoundError(f"no {wanted}.ckpt under {root}: {advice}")
            wanted, version = found
            check_run(wanted, subcommand, options.get("data"))
            if subcommand == "fit":
                self.resumed_version = version
        elif not Path(wanted).is_file():
            raise FileNotFoundError(f"no checkpoint at {wanted}: give a path, or best or last")
        self.checkpoint = Path(wanted)
        options["ckpt_path"] = str(wanted)

    # The objects

    def instantiate_classes(self) -> None:
        options = self.config[self.subcommand]
        if not options.get("data"):
            raise ValueError(f"{self.subcommand} needs data: give --config RECIPE or --data CLASS")
        source = options.get("weights") or (self.checkpoint and str(self.checkpoint))
        if self.subcommand != "fit" and not source:
            raise ValueError(f"{self.subcommand} needs trained weights: give --ckpt_path best, last or a path")
        if not options.get("model") and not source:
            raise ValueError(f"{self.subcommand} needs a model: give --config RECIPE, --model CLASS or a checkpoint")
        try:
            self.config_init = self.parser.instantiate_classes(self.config)
        except (ArgumentError, ValueError, TypeError) as error:
            raise ValueError(constructor_error(error)) from None
        self.datamodule = self._get(self.config_init, "data")
        if options.get("model"):
            self.model = self._get(self.config_init, "model")
            self.model.config = config_of(options["model"])
        else:
            self.model = load_module(source, use_ema=False, allow=options["allow"]).train()
            self.model.flow_initialized = bool(options.get("weights"))
        if options.get("weights"):
            start_from(self.model, options["weights"])
        self.trainer = self.instantiate_trainer()

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        config = self.config_init[self.subcommand]["trainer"]
        fitting = self.subcommand == "fit"
        folder = None
        if config.get("logger") in (None, True) and not config.get("fast_dev_run"):
            kwargs["logger"] = False
            if fitting:
                root = Path(config["default_root_dir"])
                version = choose_version(make_folder(root / self.run_name), self.resumed_version)
                kwargs["logger"] = TensorBoardLogger(root, self.run_name, version)
                run = Path(kwargs["logger"].log_dir)
                self.new_run = None if run.exists() else run
                folder = run / "checkpoints"
        if not fitting:
            self.save_config_callback = None
        kwargs["callbacks"] = self._callbacks(config, fitting, folder)
        kwargs["plugins"] = self._plugins(config)
        return super().instantiate_trainer(**kwargs)

    def _callbacks(self, config: Any, fitting: bool, folder: Path | None) -> list[pl.Callback]:
        callbacks = list(config.get("callbacks") or [])

        def lacks(kind: type) -> bool:
            return not any(isinstance(callback, kind) for callback in callbacks)

        if config.get("enable_progress_bar") is not False and lacks(ProgressBar):
            callbacks.append(FlowProgressBar())
        if fitting and config.get("enable_checkpointing") is not False and not config.get("fast_dev_run"):
            chooses = any(isinstance(callback, ModelCheckpoint) and callback.monitor for callback in callbacks)
            if not chooses and config.get("limit_val_batches") != 0:
                callbacks.append(best_checkpoint(folder))
            if lacks(LastCheckpoint):
                callbacks.append(LastCheckpoint(None if folder is None else str(folder)))
        return callbacks

    def _plugins(self, config: Any) -> list[Any]:
        plugins = config.get("plugins") or []
        plugins = list(plugins) if isinstance(plugins, (list, tuple)) else [plugins]
        strategy = config.get("strategy")
        name = strategy if isinstance(strategy, str) else type(strategy).__name__.lower()
        if any(isinstance(plugin, CheckpointIO) for plugin in plugins) or name.startswith(SHARDED):
            return plugins
        return [*plugins, AtomicCheckpointIO()]

    # The run

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
            if subcommand == "fit" and self.trainer.is_global_zero:
                self._say_where()
        except SystemExit:  # what Lightning makes of Ctrl-C
            self.exit_code = self._say_how_to_resume()
        except Exception:
            self._remove_what_never_began()
            raise

    def _remove_what_never_began(self) -> None:
        """A new run's folder, where the run failed before its first step and so holds nothing of worth."""
        logger = self.trainer.logger
        if self.new_run is None or self.trainer.global_step or not self.trainer.is_global_zero:
            return
        logger.finalize("failed")
        if not any(self.new_run.rglob("*.ckpt")):
            shutil.rmtree(self.new_run, ignore_errors=True)

    def _say_where(self) -> None:
        """Where the best checkpoint is, or that there was nothing left to train."""
        if not self.model.latest:
            steps = self.trainer.max_steps
            limit = "max_steps" if 0 <= steps <= self.trainer.global_step else "max_epochs"
            where = f"epoch {self.trainer.current_epoch}, step {self.trainer.global_step}"
            print(f"nothing left to train at {where}: raise --trainer.{limit} to go on")
            return
        for callback in self.trainer.callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.monitor and callback.best_model_path:
                print(f"best checkpoint: {callback.best_model_path}")

    def _say_how_to_resume(self) -> int:
        """The exit code after an interrupt."""
        callback = next((c for c in self.trainer.callbacks if isinstance(c, LastCheckpoint)), None)
        if callback is None or callback.interrupted is None:
            return 130
        number, path = callback.interrupted
        if self.trainer.is_global_zero:
            print(f"\ninterrupted; {path} is written: the same command with --ckpt_path last (or that path) goes on")
        return 128 + int(number)

    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        options = super()._prepare_subcommand_kwargs(subcommand)
        return {**options, "weights_only": True}

    def predict(self, **kwargs: Any) -> None:
        """Log-likelihoods of the test set, in nats, written beside the run as `log_prob.npz`."""
        parts = self.trainer.predict(**{**kwargs, "return_predictions": True})
        suffix = f"_rank{self.trainer.global_rank}" if self.trainer.world_size > 1 else ""
        path = Path(self.trainer.default_root_dir) / self.run_name / f"log_prob{suffix}.npz"
        write_npz(path, log_prob=np.concatenate([np.asarray(part.float().cpu()) for part in parts]))
        print(f"log-likelihoods in nats: {path}")


def best_checkpoint(folder: Path | None) -> ModelCheckpoint:
    """Keeps `best.ckpt`, the lowest `val/loss` so far."""
    return ModelCheckpoint(
        dirpath=folder,
        filename="best",
        monitor="val/loss",
        mode="min",
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )


def config_of(options: Any) -> dict[str, Any] | None:
    """The model's configuration as plain data; None where it holds something that is not."""
    try:
        return plain(options.as_dict() if hasattr(options, "as_dict") else options)
    except TypeError as error:
        warnings.warn(f"checkpoints of this run cannot be loaded by name: {error}", stacklevel=2)
        return None


def start_from(module: FlowModule, path: str) -> None:
    """Fine-tuning: weights from a checkpoint, averaged ones where it has them; training itself starts at step 0."""
    checkpoint = read_checkpoint(path)
    check_same_model(checkpoint, module)
    module.load_state_dict({**checkpoint["state_dict"], **checkpoint["flowsuite"].get("ema", {}).get("average", {})})
    module.flow_initialized = True


def run(argv: list[str]) -> int:
    """Runs `fit`, `validate`, `test` or `predict` with LightningCLI's options; the exit code."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")
    warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")
    warnings.filterwarnings("ignore", ".*treespec.*")
    warnings.filterwarnings("ignore", ".*overridden `on_before_batch_transfer`.*")
    warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint.*")
    warnings.filterwarnings("ignore", ".*overridden `on_before_batch_transfer`.*")
    for name in ("utilities.rank_zero", "trainer.connectors.checkpoint_connector"):
        logging.getLogger(f"pytorch_lightning.{name}").setLevel(logging.WARNING)
    torch.set_float32_matmul_precision("high")
    return FlowCLI(argv).exit_code
