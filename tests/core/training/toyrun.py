"""Runs command lines in processes forked from one that has imported everything already."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
TOY = [
    "--model=flowsuite.core.training.module.FlowModule",
    "--model.flow=toyflow.ToyFlow",
    "--data=toyflow.ToyData",
    "--trainer.accelerator=cpu",
    "--trainer.enable_model_summary=false",
    "--trainer.enable_progress_bar=false",
]


def child(argv: list[str], cwd: str, log: str, env: dict[str, str]) -> None:
    import torch

    torch.set_num_threads(1)
    os.chdir(cwd)
    os.environ.update(env)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    from flowsuite.core.training.cli import main

    sys.argv = ["flowsuite", *argv]
    code = main(argv)
    sys.stdout.flush()
    sys.exit(code)


def prepare_forkserver(modules: list[str] | None = None) -> None:
    """New processes are forked from one that has imported these modules but computed nothing."""
    paths = [str(HERE), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    preload = ["toyrun", "toyflow", "flowsuite.core.training.lightning_cli", *(modules or [])]
    multiprocessing.get_context("forkserver").set_forkserver_preload(preload)


def run_cli(argv: list[str], cwd: Path, **env: str) -> tuple[int, str]:
    """(exit code, everything printed) of `flowsuite argv...` in the folder `cwd`."""
    prepare_forkserver()
    context = multiprocessing.get_context("forkserver")
    log = cwd / "log.txt"
    process = context.Process(target=child, args=(argv, str(cwd), str(log), env))
    process.start()
    process.join(120)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode, log.read_text() if log.exists() else ""
