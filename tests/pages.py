"""What a demo page shows, for tests of it."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
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


# Put at the end of a page, it makes the title say what a browser has made of it.
PROBE = """<script>addEventListener("load", async () => {
  const players = [...document.querySelectorAll("audio")];
  const ready = a => a.readyState || new Promise(done => { a.onloadedmetadata = a.onerror = done; a.load(); });
  await Promise.all(players.map(ready));
  const shares = () => [...document.querySelectorAll("canvas")].map(c => {
    const seen = new OffscreenCanvas(c.width, c.height).getContext("2d", {willReadFrequently: true});
    seen.drawImage(c, 0, 0);
    const pixels = seen.getImageData(0, 0, c.width, c.height).data;
    return [pixels.filter((v, i) => i % 4 == 3 && v > 0).length / (c.width * c.height), pixels.join().length];
  });
  const before = shares(), turned = new KeyboardEvent("keydown", {key: "ArrowLeft", cancelable: true});
  document.querySelectorAll("canvas").forEach(c => c.dispatchEvent(turned));
  setTimeout(() => {
    const pictures = [...document.images].map(i => i.naturalWidth), after = shares();
    document.title = JSON.stringify({before, after, players: players.map(a => a.duration), pictures});
  }, 500);
});</script>"""


def open_in_browser(page: Path) -> tuple[dict[str, list], list[str]]:
    """What a headless Chromium shows of a page, and what its console says.

    `before` and `after` a turn: share of pixels drawn on, and length of all pixels as text, of each canvas; `players`:
    seconds of each sound; `pictures`: the width of each, 0 if it cannot be read.
    """
    probed = page.with_name("probed.html")
    probed.write_text(page.read_text().replace("</body>", f"{PROBE}</body>"))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    command += ["--virtual-time-budget=10000", f"--user-data-dir={page.parent / 'profile'}", probed.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    title = re.search("<title>([^<]*)</title>", done.stdout)[1]
    return json.loads(title), [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
