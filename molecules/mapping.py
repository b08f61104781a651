"""A function of a molecule over many molecules: in chunks, in several processes, with a progress bar.

Results come in the order of the input. What a function raises is caught and told with the molecule it happened on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rdkit import Chem

from flowsuite.molecules.processes import in_processes, name_of
from flowsuite.molecules.smiles import parse, quiet

CHUNK = 200  # molecules sent to a worker at a time
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
    smiles = as_list(smiles)
    starts = range(0, len(smiles), CHUNK)
    chunks = [smiles[start : start + CHUNK] for start in starts]
    values, failures, invalid = [], [], 0
    results = in_processes(partial(run_chunk, function), chunks, min(workers, len(chunks)), function)
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
