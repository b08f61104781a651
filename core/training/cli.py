"""The `flowsuite` command. Only the standard library is imported here: help must answer at once."""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from flowsuite.core.training.interrupts import Terminated

USAGE = """\
flowsuite: normalizing-flow generative models with exact likelihoods

  flowsuite fit       train a model from a recipe           flowsuite fit --config images/demo
  flowsuite validate  figures on the validation set         flowsuite validate --config images/demo --ckpt_path best
  flowsuite test      figures on the test set               flowsuite test --config images/demo --ckpt_path best
  flowsuite predict   log-likelihood of every test example  flowsuite predict --config images/demo --ckpt_path best
  flowsuite sample    generate from a checkpoint            flowsuite sample --ckpt_path model.ckpt --out samples
  flowsuite recipes   list what can be trained              flowsuite recipes, or flowsuite recipes ffjord toy
  flowsuite import    reference weights to a checkpoint     flowsuite import KIND w.pt --config c.json --out model.ckpt
  flowsuite density   steps, certificate, picture           flowsuite density steps --ckpt_path m.ckpt --data rows.npy
  flowsuite variational
                      fit flows to densities, compare       flowsuite variational --targets U1 U4 --layers 2 8
  flowsuite demo      train the demo recipes, make a page   flowsuite demo
{domains}
`flowsuite COMMAND --help` says more. Errors are one line; FLOWSUITE_DEBUG=1 shows where they come from.
"""

TRAIN_HELP = """\
flowsuite {command}: {what}

  flowsuite {command} --config RECIPE [options]

  --config NAME|FILE        a recipe (see `flowsuite recipes`) or a YAML file; may be given more than once
  --ckpt_path last|best|PATH
                            {checkpoint}
  --model CLASS, --model.init_args.NAME VALUE        the model and its options
  --data CLASS, --data.init_args.NAME VALUE          the data and their options
  --trainer.NAME VALUE      options of the Lightning trainer: max_epochs, devices, strategy, precision, ...
  --seed_everything N       the seed (0)
  --allow '[PACKAGE]'       packages besides flowsuite whose classes a checkpoint may name
{more}  --print_config            print the whole configuration and stop
  --help-all                every option there is

Examples:
{examples}
"""

FIT = {
    "what": "train a model",
    "checkpoint": "go on exactly where that checkpoint was written",
    "more": "  --weights CHECKPOINT      start from these weights (fine-tuning)\n",
    "examples": """\
  flowsuite fit --config images/demo
  flowsuite fit --config images/demo --model.init_args.optimizer.init_args.lr 2e-4 --trainer.max_epochs 20
  flowsuite fit --config images/demo --ckpt_path last
  flowsuite fit --config images/demo --trainer.devices 2 --trainer.strategy ddp
Runs are kept under runs/RECIPE/version_N: TensorBoard logs, config.yaml, checkpoints/best.ckpt and last.ckpt.
Ctrl-C writes last.ckpt first.""",
}


def evaluation(command: str, what: str) -> dict[str, str]:
    return {
        "what": what,
        "checkpoint": "the weights; without --config and --model also the model",
        "more": "",
        "examples": f"  flowsuite {command} --config images/demo --ckpt_path best",
    }


TRAIN = {
    "fit": FIT,
    "validate": evaluation("validate", "figures of a checkpoint on the validation set"),
    "test": evaluation("test", "figures of a checkpoint on the test set"),
    "predict": evaluation("predict", "log-likelihood in nats of every test example, to log_prob.npz"),
}

# command -> module with `main(argv) -> int | None`
COMMANDS = {
    "sample": "flowsuite.core.training.sampling_options",
    "import": "flowsuite.core.training.importing",
    "demo": "flowsuite.core.training.demo",
    "density": "flowsuite.core.training.density",
    "variational": "flowsuite.core.variational.experiment",
}


def main(argv: list[str] | None = None) -> int:
    """Runs a command line; the exit code: 0 for success, 1 for an error, 2 for a wrong command, 130 for Ctrl-C, 143
    for SIGTERM where that is caught."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        return dispatch(argv) or 0
    except KeyboardInterrupt as stop:
        print("\ninterrupted", file=sys.stderr)
        return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debugging():
            raise
        print(f"flowsuite: error: {summary(error)}", file=sys.stderr)
        return 1


def debugging() -> bool:
    """Whether errors are to be shown with where they come from."""
    return os.environ.get("FLOWSUITE_DEBUG", "0") not in ("", "0")


def summary(error: Exception) -> str:
    """The message of an error on one line, with the kind of error where the message alone says little."""
    text = " ".join(str(error).split())
    if "Traceback (most recent call last)" in text:  # of a process that torch started: its last line is the error
        text = str(error).strip().splitlines()[-1]
        return text.partition(": ")[2] or text
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror.lower()}"
    written = isinstance(error, OSError) and error.errno is None  # its message is in words already
    if (written or isinstance(error, (ValueError, FileNotFoundError, NotImplementedError))) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def dispatch(argv: list[str]) -> int | None:
    if not argv or argv[0] in ("--help", "-h", "help"):
        print(usage())
        return 0
    command, rest = argv[0], argv[1:]
    find_classes_here()
    if command == "--version":
        from importlib.metadata import version

        print(version("flowsuite"))
        return 0
    if command in TRAIN:
        return train(command, rest)
    if command == "recipes":
        return recipes(rest)
    if command in COMMANDS:
        return call_main(COMMANDS[command], command, rest)
    from flowsuite.core.training.recipes import domains

    known = domains()
    if command in known:
        return call_main(f"flowsuite.{command}.commands", command, rest)
    for domain in known:
        if command in shortcuts(domain):
            return call_main(f"flowsuite.{domain}.commands", command, argv)
    short = [name for domain in known for name in shortcuts(domain)]
    close = difflib.get_close_matches(command, [*TRAIN, *COMMANDS, "recipes", *known, *short], n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "; see flowsuite --help"
    print(f"flowsuite: error: unknown command {command!r}{hint}", file=sys.stderr)
    return 2


def find_classes_here() -> None:
    """Lets configurations name classes of the current folder, as `python` does, but after all that is installed."""
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())


def usage() -> str:
    from flowsuite.core.training.recipes import domains

    found = [name for name in domains() if has_module(f"flowsuite.{name}", "commands")]
    lines = [f"  flowsuite {name:<10}{text}" for domain in found for name, text in shortcuts(domain).items()]
    lines += [f"  flowsuite {f'{name} COMMAND':<22}{tools(name)}" for name in found]
    return USAGE.format(domains="".join(f"{line}\n" for line in lines))


def tools(domain: str) -> str:
    """The names of a domain's commands: the literal `COMMANDS` of its `commands`."""
    path = module_file(f"flowsuite.{domain}", "commands")
    return ", ".join(read_literal(path, "COMMANDS") or ["tools of this domain"])


def shortcuts(domain: str) -> dict[str, str]:
    """Commands of a domain that go without its name, and what they do: the literal `SHORTCUTS` of its `commands`.

    It is read from the source: to import a domain takes seconds, and what the domain depends on.
    """
    path = module_file(f"flowsuite.{domain}", "commands")
    return (read_literal(path, "SHORTCUTS") if path else None) or {}


def read_literal(path: Path, name: str) -> Any:
    """The value that the source of a module gives a name by a literal, None if it does not; it is not imported."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == name for target in node.targets):
            return ast.literal_eval(node.value)
    return None


def module_file(package: str, name: str) -> Path | None:
    """The file of a module of a package; neither is imported."""
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or []
    return next((path for folder in folders if (path := Path(folder, f"{name}.py")).is_file()), None)


def has_module(package: str, name: str) -> bool:
    """Whether a package has a module of this name; neither is imported."""
    return module_file(package, name) is not None


def import_alone(package: str, name: str) -> ModuleType:
    """A module that needs only the standard library, without its package, which may take seconds or not be usable."""
    spec = importlib.util.spec_from_file_location(f"{package}.{name}", module_file(package, name))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call_main(module: str, command: str, argv: list[str]) -> int | None:
    package, _, name = module.rpartition(".")
    if not has_module(package, name):
        raise ValueError(f"there is no command {command!r} in this installation")
    return importlib.import_module(module).main(argv)


def train(command: str, argv: list[str]) -> int:
    if any(argument in ("--help", "-h") for argument in argv):
        print(TRAIN_HELP.format(command=command, **TRAIN[command]))
        return 0
    from flowsuite.core.training.lightning_cli import run

    return run([command, *("--help" if argument == "--help-all" else argument for argument in argv)])


def recipes(argv: list[str]) -> int:
    from flowsuite.core.training.recipes import print_recipes

    if any(argument in ("--help", "-h") for argument in argv):
        print("flowsuite recipes [WORD ...]: name, model, data, hardware and published figure of the packaged recipes,")
        print("all of them or those that have every WORD in their name, model or data")
        print("Example: flowsuite recipes, or flowsuite recipes ffjord toy, then flowsuite fit --config NAME")
        return 0
    if options := [argument for argument in argv if argument.startswith("-")]:
        raise ValueError(f"flowsuite recipes takes words to look for, got {' '.join(options)}")
    print_recipes(argv)
    return 0


if __name__ == "__main__":
    sys.exit(main())
