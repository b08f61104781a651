"""What is known of clips without decoding them again, kept in a file between runs."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from flowsuite.audio.clip_files import ClipFile, ClipReader
from flowsuite.core.training.files import atomic_write

FORMAT = 1


@dataclass(frozen=True)
class Measured:
    """What decoding a clip has shown.

    Attributes:
        length: samples.
        peak: largest absolute 16-bit sample.
        channels: of the file.
        file_rate: of the file, Hz.
        clipped: samples that were out of range.
    """

    length: int
    peak: int
    channels: int
    file_rate: int
    clipped: int


class Measurements:
    """`Measured` by file; an entry is good as long as the size and time of the file and the reader stay the same.

    Args:
        files: of a data set.
        reader: that decodes them.
        cache: folder of the file they are kept in; None keeps none.
    """

    def __init__(self, files: Sequence[ClipFile], reader: ClipReader, cache: Path | None):
        self.found: dict[ClipFile, Measured] = {}
        self.stamps: dict[Path, list[int]] = {}
        self.path = None
        if cache is None or not files:
            return
        key = json.dumps([FORMAT, astuple(reader), os.path.commonpath([f.path.parent.absolute() for f in files])])
        self.path = Path(cache) / f"clips-{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}.json"
        self.kept = self.read()
        for file in files:
            entry = self.kept.get(self.key(file))
            if entry is not None and entry[0] == self.stamp(file.path):
                self.found[file] = Measured(*entry[1])

    def read(self) -> dict[str, list]:
        try:
            kept = json.loads(self.path.read_text())
            if all(len(stamp) == 2 and len(numbers) == 5 for stamp, numbers in kept.values()):
                return kept
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError):
            pass
        warnings.warn(f"{self.path} cannot be used: measuring the clips again", stacklevel=3)
        return {}

    def save(self) -> None:
        """Keeps all entries; a folder that cannot be written to costs a warning."""
        if self.path is None:
            return
        for file, found in self.found.items():
            self.kept[self.key(file)] = [self.stamp(file.path), list(astuple(found))]
        try:
            with atomic_write(self.path) as out:
                out.write(json.dumps(self.kept).encode())
        except OSError as error:
            warnings.warn(f"the lengths of the clips could not be kept ({error}): set cache to a folder", stacklevel=3)

    def stamp(self, path: Path) -> list[int]:
        if path not in self.stamps:
            try:
                status = path.stat()
                self.stamps[path] = [status.st_size, status.st_mtime_ns]
            except OSError:
                self.stamps[path] = [-1, -1]
        return self.stamps[path]

    @staticmethod
    def key(file: ClipFile) -> str:
        return f"{file.path.absolute()}|{file.member or ''}"
