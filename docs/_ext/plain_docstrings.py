"""The suite's docstrings, plain text with `code` in single backticks, as reStructuredText.

Text is escaped, `code` becomes a literal, an indented block after an empty line becomes a literal block, and lists get
the empty lines around them that reStructuredText wants. The sections ("Args:" and so on) are left to napoleon.
"""

from __future__ import annotations

import re

CODE = re.compile(r"(\w?)(`+)(.+?)\2(\w?)", re.DOTALL)
ITEM = re.compile(r"\s*(-|\d+\.) ")


def to_rst(lines: list[str]) -> list[str]:
    """The lines of a docstring, converted."""
    out: list[str] = []
    margin = 0  # indentation of the last line of text, which a literal block stands to the right of
    for block in blocks(lines):
        after_empty = bool(out) and not out[-1].strip()
        if not block[0].strip():
            out.append("")
        elif block[0].lstrip().startswith(">>>"):
            out += block
        elif after_empty and all(indent(line) > margin for line in block):
            out += [" " * margin + "::", "", *block]
        else:
            out += spaced(escape("\n".join(block)).split("\n"))
            margin = indent(block[-1])
    return out


def blocks(lines: list[str]) -> list[list[str]]:
    """Runs of lines with text, and single empty lines."""
    found: list[list[str]] = []
    for line in lines:
        if line.strip() and found and found[-1][0].strip():
            found[-1].append(line)
        else:
            found.append([line])
    return found


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def spaced(lines: list[str]) -> list[str]:
    """Empty lines before and after every list that text touches."""
    out: list[str] = []
    inside = None  # indentation of the list that the last line belongs to
    for line in lines:
        if ITEM.match(line):
            if out and inside is None:
                out.append("")
            inside = indent(line)
        elif inside is not None and indent(line) <= inside:
            out.append("")
            inside = None
        out.append(line)
    return out


def escape(text: str) -> str:
    """Code spans to literals, and everything between them escaped."""
    out, position = "", 0
    for match in CODE.finditer(text):
        before, _, code, after = match.groups()
        out += escape_text(text[position : match.start()] + before)
        code = code.strip()
        out += ("\\ " if before else "") + f"``{code}``" + ("\\ " if after else "")
        position = match.end() - len(after)
    return out + escape_text(text[position:])


def escape_text(text: str) -> str:
    text = re.sub(r"([\\*|`]|_\b)", r"\\\1", text)
    return re.sub(r"(?<=: )([A-Z])\.(?=\s|$)", r"\1\\.", text)  # "dims: D." begins no list that is lettered
