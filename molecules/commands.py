"""`flowsuite molecules COMMAND`: tools for molecules. Only the standard library is imported here."""

from __future__ import annotations

from flowsuite.core.training.commands import run_command

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


def main(argv: list[str] | None = None) -> int:
    """Runs one command; errors are exceptions with a message of one line."""
    return run_command("molecules", "tools for molecules", COMMANDS, argv)
