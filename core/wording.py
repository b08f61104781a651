"""Numbers in messages."""

from __future__ import annotations


def plural(number: int, what: str) -> str:
    """`plural(1, "clip")` is "1 clip", `plural(2000, "clip")` "2,000 clips"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
