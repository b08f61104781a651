"""What a demo page shows, for tests of it."""

from __future__ import annotations

import base64
import re
from pathlib import Path

STARTS = {"image/png": b"\x89PNG", "image/gif": b"GIF8", "audio/wav": b"RIFF"}


def embedded(page: Path) -> dict[str, list[bytes]]:
    """The bytes of all pictures and sounds in a page, by kind and in order; whatever it takes from outside fails."""
    text = page.read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', text) and "@import" not in text and "url(" not in text
    found = {kind: [] for kind in STARTS}
    for kind, data in re.findall(r'src="data:([^;]+);base64,([^"]+)"', text):
        found[kind].append(base64.b64decode(data))
        assert found[kind][-1].startswith(STARTS[kind])
    return found
