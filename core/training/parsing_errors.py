"""What jsonargparse says of a wrong command line, on one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def constructor_error(error: Exception) -> str:
    """What a class said of its arguments, without the parser's other guesses around it."""
    text = " ".join(str(error).split())
    match = re.search(r"Errors: - (.*?)(?: - Expected a <class 'NoneType'>| Given value type:|$)", text)
    return match[1] if match else text


def one_line(error: Exception, options: Iterable[str]) -> str:
    """An error of the parser on one line: the option it is about, and what is wrong with it."""
    text = " ".join(str(error).split())
    keys = re.findall(r'[Pp]arser key "([^"]+)"', text)
    if keys:
        reason = text.rpartition(f'"{keys[-1]}": ')[2].split(" - Expected a <class 'NoneType'>")[0]
        return f"{'.'.join(keys)}: {reason.lstrip('- ')}"
    unknown = re.search(r"unrecognized arguments: (--[^ =]+)", text, re.IGNORECASE)
    close = difflib.get_close_matches(unknown[1], options, n=1) if unknown else []
    return text + (f"; did you mean {close[0]}?" if close else "")
