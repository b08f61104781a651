"""Worker processes. Only the standard library is imported here."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

AHEAD = 8  # chunks that wait for each worker


def in_processes(
    work: Callable[[Any], Any], chunks: Iterable[Any], workers: int, function: Callable | None = None
) -> Iterator[Any]:
    """As `Pool.imap`, by a pool for the occasion."""
    with Pool(workers) as pool:
        yield from pool.imap(work, chunks, function)


class Pool:
    """Worker processes that stay; with 0 workers everything is done in this process.

    Workers import anew rather than fork, and leave Ctrl-C to this process.

    Args:
        workers: processes.
    """

    def __init__(self, workers: int = 0):
        if workers < 0:
            raise ValueError(f"workers must be 0 or more, got {workers}")
        self.workers, self._processes = workers, None
        if workers:
            method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
            context = multiprocessing.get_context(method)
            ignore = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_IGN)}
            self._processes = ProcessPoolExecutor(workers, context, **ignore)

    def imap(
        self, work: Callable[[Any], Any], chunks: Iterable[Any], function: Callable | None = None
    ) -> Iterator[Any]:
        """`work(chunk)` of each chunk, in order, computed a few chunks ahead of what has been taken.

        Args:
            work: with workers, something that pickle can send.
            chunks: read as they are needed.
            function: what messages name; `work` if None.
        """
        if self._processes is None:
            yield from map(work, chunks)
            return
        function = function or work
        check_picklable(function)
        waiting = deque()
        try:
            for chunk in chunks:
                waiting.append(self._processes.submit(work, chunk))
                if len(waiting) > AHEAD * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise worker_died(f"computing {name_of(function)}") from None
        finally:
            for future in waiting:
                future.cancel()

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        """`function(item)` of each, in order; with workers, the function is one that pickle can send."""
        return list(self.imap(function, items))

    def close(self) -> None:
        if self._processes is not None:
            self._processes.shutdown(cancel_futures=True)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
