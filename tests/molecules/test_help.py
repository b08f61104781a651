"""Help of the molecule commands answers without what the commands themselves need."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("words", [["molecules", "evaluate"], ["molecules", "encode"], ["optimize"]])
def test_help_needs_neither_torch_nor_rdkit(words):
    code = (
        "import sys; sys.modules.update(rdkit=None, torch=None); from flowsuite.core.training.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout and f"flowsuite {' '.join(words)}" in done.stdout
