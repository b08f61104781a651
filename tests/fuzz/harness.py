"""Runs a reader on damaged files, in a process of its own with little memory and time."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import tempfile
import time
import traceback
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.mutations import attacks, mutated

EXAMPLES = int(os.environ.get("FLOWSUITE_FUZZ", "6"))  # random mutations a reader; a deep run takes thousands
SEED = int(os.environ.get("FLOWSUITE_FUZZ_SEED", "0"))  # 0: the same mutations every time
MIB = 1 << 20
TRACED = 192 * MIB  # that Python and NumPy may allocate for a file of some kilobytes
NATIVE = 2048 * MIB  # address space that libraries may map beyond what they have
SLOWEST = 10.0  # seconds for one file, on a machine that does other things too
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where files are written and read fastest
PHASES = (Phase.explicit, Phase.generate)  # no shrinking: the first input that fails is told
OPTIONS = {"database": None, "deadline": None, "suppress_health_check": list(HealthCheck), "phases": PHASES}
ALLOWED = (ValueError, FileNotFoundError)


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Attributes:
        name: of the test.
        file: path of the file that is damaged, in a folder of the test's own.
        make: writes a valid one; it may write other files that the reader needs beside it.
        read: reads the file at a path.
        finite: whether everything that comes out must be finite.
        errors: that the reader may raise.
        share: of the usual number of random mutations, for slow readers.
    random: whether there are random mutations too, besides the attacks.
    valid: whether the file as made can be read.
    refuses: whether some damaged files must be errors; a cache is made anew instead.
    """

    name: str
    file: str
    make: Callable[[Path], Any]
    read: Callable[[Path], Any]
    finite: bool = False
    errors: tuple[type[Exception], ...] = ALLOWED
    share: float = 1.0
    random: bool = True
    valid: bool = True
    refuses: bool = True


def write(content: bytes | str) -> Callable[[Path], None]:
    """A `make` that writes what is given."""
    data = content.encode() if isinstance(content, str) else content
    return lambda path: path.write_bytes(data)


@cache
def warm_up() -> None:
    """What hypothesis does once, it does here, and not in every child."""
    settings(max_examples=20, derandomize=True, **OPTIONS)(given(mutated(b"warm up 123"))(lambda damaged: None))()


def fuzz(reader: Reader) -> None:
    """Fails if any damaged file makes the reader crash, hang, take memory, or fail with anything but a clear error."""
    warm_up()
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path, report = Path(folder, "data", reader.file), Path(folder, "report")
        path.parent.mkdir(parents=True)
        reader.make(path)
        child = os.fork()
        if not child:
            run_and_exit(reader, path, report)
        status = os.waitpid(child, 0)[1]
        text = report.read_text(errors="replace") if report.exists() else ""
        if status:
            end = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "error"
            raise AssertionError(f"{reader.name}: {end}, {path.stat().st_size} bytes\n{text[-6000:]}")


def run_and_exit(reader: Reader, path: Path, report: Path) -> None:
    """In the child: everything, and the reason of a failure into the report."""
    status = 1
    try:
        with open(report, "w") as out:
            os.dup2(out.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            faulthandler.enable(out)
            faulthandler.dump_traceback_later(SLOWEST + 300, exit=True)
            torch.set_num_threads(1)
            try:
                run(reader, path)
                status = 0
            except BaseException:
                out.write(traceback.format_exc())
    finally:
        os._exit(status)


def run(reader: Reader, path: Path) -> None:
    data = path.read_bytes()
    warnings.simplefilter("ignore")
    if reader.valid:
        check_finite(reader, reader.read(path))
    else:
        attempt(reader, path, data)
    limit_memory()
    rejected = sum([attempt(reader, path, damaged) for damaged in dict.fromkeys(attacks(data))])
    assert rejected or not reader.refuses, f"{reader.name}: no damaged file at all was refused"
    if not reader.random:
        return
    count = max(1, round(EXAMPLES * reader.share))

    @settings(max_examples=count, derandomize=not SEED, **OPTIONS)
    @given(mutated(data))
    def mutations(damaged: bytes) -> None:
        attempt(reader, path, damaged)

    (seed(SEED)(mutations) if SEED else mutations)()


def limit_memory() -> None:
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + NATIVE, resource.RLIM_INFINITY))


def attempt(reader: Reader, path: Path, damaged: bytes) -> bool:
    """Whether the reader refuses the bytes; anything else than that or a good result is an AssertionError."""
    path.write_bytes(damaged)
    about = f"{reader.name} on {damaged[:200]!r} ({len(damaged)} bytes)"
    faulthandler.dump_traceback_later(2 * SLOWEST, exit=True)
    tracemalloc.start()  # only while the reader runs: it slows hypothesis down too
    start, refused = time.monotonic(), False
    try:
        check_finite(reader, reader.read(path))
    except reader.errors as error:
        refused = True
        check_message(str(error), path, about)
    except Exception as error:
        raise AssertionError(f"{about}: {type(error).__name__}: {error}") from error
    finally:
        seconds, peak = time.monotonic() - start, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seconds < SLOWEST, f"{about}: took {seconds:.1f} s"
    assert peak < TRACED, f"{about}: allocated {peak / MIB:.0f} MiB"
    return refused


def check_message(text: str, path: Path, about: str) -> None:
    assert "\n" not in text.strip(), f"{about}: more than one line: {text!r}"
    assert path.name in text or str(path.parent) in text, f"{about}: the file is not named: {text!r}"
    assert "allocate" not in text.lower(), f"{about}: tried to take the memory: {text!r}"


def check_finite(reader: Reader, result: Any) -> None:
    if reader.finite:
        for array in arrays(result):
            assert np.isfinite(array).all(), f"{reader.name}: {int((~np.isfinite(array)).sum())} numbers not finite"


def arrays(result: Any) -> Iterator[np.ndarray]:
    """Every array of floating-point numbers in a result."""
    if isinstance(result, torch.Tensor):
        result = result.numpy()
    if isinstance(result, np.ndarray):
        if result.dtype.kind == "f":
            yield result
    elif isinstance(result, dict):
        yield from (array for value in result.values() for array in arrays(value))
    elif isinstance(result, (list, tuple)):
        yield from (array for value in result for array in arrays(value))
