"""`flowsuite molecules COMMAND`: tools for molecules. Only the standard library is imported here."""

from __future__ import annotations

import difflib
import importlib

# command -> (what it does, module with `main(argv) -> int | None`)
COMMANDS = {
    "encode": (
        "a file of molecules to packed graphs, with a report of what is lost",
        "flowsuite.molecules.encode_command",
    ),
    "optimize": (
        "better molecules: fine-tuning, constrained improvement",
        "flowsuite.molecules.optimize.command",
    ),
    "evaluate": ("every metric of a file of SMILES, against data", "flowsuite.molecules.evaluate"),
}

SHORTCUTS = {
    "optimize": "fine-tune GraphAF towards a property  flowsuite optimize --ckpt_path m.ckpt --target qed --out qed"
}


def usage() -> str:
    lines = [f"  {name:<12}{what}" for name, (what, _) in COMMANDS.items()]
    return "\n".join(
        [
            "flowsuite molecules: tools for molecules",
            "",
            *lines,
            "",
            "`flowsuite molecules COMMAND --help` says more, with examples.",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Runs one command; errors are exceptions with a message of one line."""
    if not argv or argv[0] in ("--help", "-h", "help"):
        print(usage())
        return 0
    command, rest = argv[0], argv[1:]
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(COMMANDS)}"
        raise ValueError(f"unknown command {command!r} of flowsuite molecules; {hint}")
    return importlib.import_module(COMMANDS[command][1]).main(rest) or 0
