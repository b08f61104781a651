"""`flowsuite DOMAIN COMMAND`: a domain's table of commands. Only the standard library is imported here."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping


def usage(domain: str, what: str, commands: Mapping[str, tuple[str, str]]) -> str:
    width = max(map(len, commands)) + 1
    lines = [f"  {name:<{width}}{text}" for name, (text, _) in commands.items()]
    head, tail = f"flowsuite {domain}: {what}", f"`flowsuite {domain} COMMAND --help` says more, with examples."
    return "\n".join([head, "", *lines, "", tail])


def run_command(domain: str, what: str, commands: Mapping[str, tuple[str, str]], argv: list[str] | None) -> int:
    """Runs one command of a domain, or prints what there is; errors are exceptions with a message of one line.

    Args:
        domain: its name.
        what: what its commands are for.
        commands: command -> (what it does, module with `main(argv) -> int | None`).
        argv: the command and its arguments.
    """
    if not argv or argv[0] in ("--help", "-h", "help"):
        print(usage(domain, what, commands))
        return 0
    command, rest = argv[0], argv[1:]
    if command not in commands:
        close = difflib.get_close_matches(command, commands, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(commands)}"
        raise ValueError(f"unknown command {command!r} of flowsuite {domain}; {hint}")
    return importlib.import_module(commands[command][1]).main(rest) or 0
