"""SIGTERM as an exception, so that what Ctrl-C cleans up is cleaned up then too. Only the standard library is used."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator


class Terminated(KeyboardInterrupt):
    """SIGTERM was received."""


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Within this block SIGTERM raises `Terminated` in the main thread; processes forked from it end at once, as ever.

    Elsewhere than in the main thread the block changes nothing: signals are not its own there.
    """
    owner = os.getpid()

    def stop(number: int, frame: object) -> None:
        if os.getpid() != owner:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
