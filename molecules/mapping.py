"""A function of a molecule over many molecules: in chunks, in several processes, with a progress bar.

Results come in the order of the input. What a function raises is caught and told with the molecule it happened on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Any

from rdkit import Chem

from flowsuite.molecules.smiles import parse, quiet

CHUNK = 200  # molecules sent to a worker at a time
AHEAD = 8  # chunks that wait for each worker
Molecule = str | Chem.Mol | None


@dataclass(frozen=True)
class Failure:
    """A function raised `error` on `smiles`, number `index` of the list."""

    index: int
    smiles: str
    error: str

    def __str__(self) -> str:
        return f"molecule {self.index} ({self.smiles}): {self.error}"


def map_molecules(
    function: Callable[[Chem.Mol], Any],
    smiles: Sequence[Molecule],
    workers: int = 0,
    progress: str = "",
) -> list[Any]:
    """`function(mol)` of each molecule, given as SMILES or as RDKit's object; None for those that are no molecules.

    Args:
        function: with `workers`, something that pickle can send: a function at the top of a module, a `partial` of one.
        smiles: any number of them.
        workers: processes; 0 for this process. A script that asks for some needs `if __name__ == "__main__":`.
        progress: what the progress bar says; none if empty.

    Raises:
        ValueError: `function` raised; the message names the first molecule it happened on.
    """
    values, failures, _ = run(function, smiles, workers, progress)
    if failures:
        raise ValueError(f"{name_of(function)} failed on {failures[0]}")
    return values


def run(
    function: Callable, smiles: Sequence[Molecule], workers: int = 0, progress: str = ""
) -> tuple[list[Any], list[Failure], int]:
    """`(values, failures, number of SMILES that are no molecules)`; a value is None where there is none."""
    if workers < 0:
        raise ValueError(f"workers must be 0 or more, got {workers}")
    smiles = as_list(smiles)
    starts = range(0, len(smiles), CHUNK)
    chunks = [smiles[start : start + CHUNK] for start in starts]
    values, failures, invalid = [], [], 0
    workers = min(workers, len(chunks))
    work = partial(run_chunk, function)
    results = in_processes(work, chunks, workers, function) if workers else (work(chunk) for chunk in chunks)
    with contextlib.closing(results), bar(progress, len(smiles)) as advance:
        for start, chunk, (found, errors, unparsed) in zip(starts, chunks, results, strict=True):
            values += found
            failures += [Failure(start + i, as_text(chunk[i]), error) for i, error in errors]
            invalid += unparsed
            advance(len(chunk))
    return values, failures, invalid


def as_list(smiles: Iterable[Molecule]) -> list[Molecule]:
    """A list of molecules; one string, which would be taken for many of one letter, is refused."""
    if isinstance(smiles, str):
        raise TypeError(f"expected a list of SMILES, got one string, {smiles[:40]!r}")
    return list(smiles)


def as_text(molecule: Molecule) -> str:
    return Chem.MolToSmiles(molecule) if isinstance(molecule, Chem.Mol) else str(molecule)


def run_chunk(function: Callable, smiles: list[Molecule]) -> tuple[list[Any], list[tuple[int, str]], int]:
    """Values, errors by place in the chunk, and how many were no molecules."""
    values, errors, invalid = [], [], 0
    for i, text in enumerate(smiles):
        value, mol = None, text if isinstance(text, Chem.Mol) else parse(text)
        if mol is None:
            invalid += 1
        else:
            try:
                with quiet():
                    value = function(mol)
            except Exception as error:
                errors.append((i, f"{type(error).__name__}: {' '.join(str(error).split())}"))
        values.append(value)
    return values, errors, invalid


def in_processes(
    work: Callable[[Any], Any], chunks: Iterable[Any], workers: int, function: Callable | None = None
) -> Iterator[Any]:
    """`work(chunk)` of each chunk, in order, computed a few chunks ahead of what has been taken.

    Args:
        work: something that pickle can send.
        chunks: read as they are needed.
        workers: processes.
        function: what messages name; `work` if None.
    """
    function = function or work
    check_picklable(function)
    pool = process_pool(workers)
    waiting = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(work, chunk))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise worker_died(f"computing {name_of(function)}") from None
    finally:
        pool.shutdown(cancel_futures=True)


def process_pool(workers: int) -> ProcessPoolExecutor:
    """Worker processes that import anew rather than fork, and leave Ctrl-C to this process."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    return ProcessPoolExecutor(workers, context, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN))


def worker_died(doing: str) -> RuntimeError:
    """The error to raise for a `BrokenProcessPool`."""
    return RuntimeError(
        f"a worker process died while {doing}: out of memory, a crash, or a script without "
        'if __name__ == "__main__"; workers 0 does it in this process'
    )


def default_workers() -> int:
    """Processes where nobody said how many: one a core that this process may use, none for a single core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if cores > 1 else 0


def check_picklable(function: Callable) -> None:
    try:
        pickle.dumps(function)
    except Exception as error:
        raise ValueError(
            f"{name_of(function)} cannot be sent to worker processes ({error}): "
            "define it at the top of a module, or use workers=0"
        ) from None


def name_of(function: Callable) -> str:
    inner = getattr(function, "function", getattr(function, "func", function))
    return getattr(inner, "__name__", type(inner).__name__)


@contextlib.contextmanager
def bar(what: str, total: int | None) -> Iterator[Callable[..., None]]:
    """A progress bar on stderr, as a function to call with the number of items done, and with figures to show behind
    it if there are any; none if `what` is empty."""
    if not what:
        yield lambda n, figures="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    columns = (*columns, TextColumn("{task.fields[figures]}"))
    with Progress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(what, total=total, figures="")
        yield lambda n, figures="": shown.update(task, advance=n, figures=figures)
