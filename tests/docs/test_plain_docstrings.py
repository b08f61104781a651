"""Docstrings as reStructuredText."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "docs/_ext/plain_docstrings.py"
spec = importlib.util.spec_from_file_location("plain_docstrings", PATH)
plain_docstrings = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plain_docstrings)


def converted(text: str) -> str:
    return "\n".join(plain_docstrings.to_rst(inspect.cleandoc(text).split("\n")))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The `ladj` of x.", "The ``ladj`` of x."),
        ("`layer`s of |x| and *y*, a_", r"``layer``\ s of \|x\| and \*y\*, a\_"),
        ("`log|det dz/dx|` over\n`a *\nb`", "``log|det dz/dx|`` over\n``a *\nb``"),
        ("first:\n- one\n  more\n- two\nthen", "first:\n\n- one\n  more\n- two\n\nthen"),
        ("dims: D.\nn: size N.", "dims: D\\.\nn: size N."),
        (">>> f(`x`)\n1", ">>> f(`x`)\n1"),
    ],
)
def test_text(text, expected):
    assert converted(text) == expected


def test_an_indented_block_is_literal_and_sections_are_left_alone():
    text = """
    A map:

        z = x * exp(s)

        log|det| = sum s

    with `s` learned.

    Args:
        s: the *scale*.
    """
    expected = """A map:

::

    z = x * exp(s)

::

    log|det| = sum s

with ``s`` learned.

Args:
    s: the \\*scale\\*."""
    lines = [line for line in converted(text).split("\n") if line.strip()]
    assert lines == [line for line in expected.split("\n") if line.strip()]
