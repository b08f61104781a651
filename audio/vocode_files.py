"""Many files to speech: read, grouped by length, synthesised, written; failures counted."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from flowsuite.audio.clip_files import ClipFile
from flowsuite.audio.sources import Source
from flowsuite.audio.synthesis import Synthesizer
from flowsuite.audio.wave_files import SUFFIXES
from flowsuite.audio.wave_writer import Written, write_pieces
from flowsuite.core.wording import plural

POOL = 8  # batches' worth of clips that are read before they are grouped by length
ON_ERROR = ("stop", "skip")


@dataclass(frozen=True)
class Job:
    """A file to synthesise from, and the one to write."""

    file: ClipFile
    out: Path


@dataclass
class Tally:
    """What became of the files.

    Attributes:
        done: written; skipped: were there already; failures: one line each.
        clipped: samples, and clipped_files: files that had such.
        audio, seconds: length of what was written, and the time that its synthesis took.
    """

    done: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    clipped: int = 0
    clipped_files: int = 0
    audio: float = 0.0
    seconds: float = 0.0

    def add(self, written: Written, sample_rate: int) -> None:
        self.done += 1
        self.audio += written.samples / sample_rate
        self.clipped += written.clipped
        self.clipped_files += written.clipped > 0

    def text(self) -> str:
        """One line."""
        parts = [f"{plural(self.done, 'file')}, {self.audio:.1f} s of audio"]
        if self.done and self.seconds:
            parts[0] += f" in {self.seconds:.1f} s ({self.audio / self.seconds:.3g}x real time)"
        if self.clipped:
            parts.append(f"{plural(self.clipped, 'sample')} clipped in {plural(self.clipped_files, 'file')}")
        if self.skipped:
            parts.append(f"{plural(self.skipped, 'file')} already there (--overwrite makes them anew)")
        if self.failures:
            parts.append(f"{plural(len(self.failures), 'file')} failed")
        return "; ".join(parts)


def plan(files: Sequence[ClipFile], out: Path, overwrite: bool = False) -> tuple[list[Job], int]:
    """What is to be done, and how many results are there already.

    `out` is a file to write if it ends in .wav, for one file, else a folder.

    Raises:
        ValueError: a result would replace what it is made from, or there are several files for one result.
    """
    single = out.suffix.lower() == ".wav" and not out.is_dir()
    if single and len(files) != 1:
        raise ValueError(f"--out must be a folder for {len(files)} files, got {out}")
    if not single and out.suffix.lower() in SUFFIXES and not out.is_dir():
        raise ValueError(f"results are WAV: --out must end in .wav or be a folder, got {out}")
    if not single and out.exists() and not out.is_dir():
        raise ValueError(f"--out must be a folder or end in .wav, {out} is a file")
    jobs = [Job(file, out if single else out / f"{file.name}.wav") for file in files]
    sources = {job.file.path.resolve() for job in jobs}
    for job in jobs:
        if job.out.resolve() in sources:
            raise ValueError(f"{job.out} would replace what it is made from: give another --out")
    todo = [job for job in jobs if overwrite or not job.out.exists()]
    return todo, len(jobs) - len(todo)


class Bulk:
    """Synthesises jobs and writes their waves.

    Args:
        synthesizer: the model.
        read: what gives a file's source, such as a `SourceReader`.
        batch_seconds: of audio in one go.
        on_error: "stop" at the first file that cannot be used, or "skip" it, say so and count it.
        after: called with each job, its source and its wave (n,) once that is written; None keeps no long wave.
        advance: called once for every job.
    """

    def __init__(
        self,
        synthesizer: Synthesizer,
        read: Callable[[ClipFile], Source],
        batch_seconds: float = 60.0,
        on_error: str = "stop",
        after: Callable[[Job, Source, Tensor], None] | None = None,
        advance: Callable[[], None] = lambda: None,
    ):
        if on_error not in ON_ERROR:
            raise ValueError(f"on_error must be one of {', '.join(ON_ERROR)}, got {on_error!r}")
        if not 0 < batch_seconds < float("inf"):
            raise ValueError(f"batch_seconds must be positive, got {batch_seconds}")
        self.synthesizer, self.read, self.on_error = synthesizer, read, on_error
        self.rate = synthesizer.spec.sample_rate
        self.batch_samples = batch_seconds * self.rate
        self.after, self.advance = after, advance
        self.tally = Tally()

    def run(self, jobs: Iterable[Job]) -> Tally:
        """All of them; see `plan`."""
        for pool in self.pools(jobs):
            for batch in batches(pool, self.batch_samples):
                self.synthesise(batch)
        return self.tally

    def pools(self, jobs: Iterable[Job]) -> Iterator[list[tuple[Job, Source]]]:
        """The jobs read, some batches' worth at a time; clips to be synthesised in pieces are done at once."""
        pool, samples = [], 0
        for job in jobs:
            source = self.attempt(job, self.read, job.file)
            if source is None:
                continue
            if self.synthesizer.in_pieces(source):
                self.attempt(job, self.write, job, source, self.synthesizer.pieces(source))
                continue
            pool.append((job, source))
            samples += source.samples
            if samples >= POOL * self.batch_samples:
                yield pool
                pool, samples = [], 0
        if pool:
            yield pool

    def synthesise(self, batch: Sequence[tuple[Job, Source]]) -> None:
        """Clips in one go."""
        begin = time.perf_counter()
        waves = self.synthesizer.batch([source for _, source in batch])
        self.tally.seconds += time.perf_counter() - begin
        for (job, source), wave in zip(batch, waves, strict=True):
            self.attempt(job, self.write, job, source, [wave])

    def write(self, job: Job, source: Source, pieces: Iterable[Tensor]) -> None:
        kept: list[Tensor] = []
        written = write_pieces(job.out, self.timed(pieces, kept), self.rate)
        self.tally.add(written, self.rate)
        if self.after is not None:
            self.after(job, source, torch.cat(kept))
        self.advance()

    def timed(self, pieces: Iterable[Tensor], kept: list[Tensor]) -> Iterator[Tensor]:
        """The pieces, the time that they take counted; kept where they are needed later."""
        pieces = iter(pieces)
        while True:
            begin = time.perf_counter()
            piece = next(pieces, None)
            self.tally.seconds += time.perf_counter() - begin
            if piece is None:
                return
            if self.after is not None:
                kept.append(piece)
            yield piece

    def attempt(self, job: Job, work: Callable, *arguments):
        """What `work` returns; None if it fails and failures are skipped."""
        try:
            return work(*arguments)
        except (ValueError, FileNotFoundError) as error:
            if self.on_error == "stop":
                raise
            text = str(error)
            self.tally.failures.append(text if str(job.file.path) in text else f"{job.file.path}: {text}")
            print(f"skipped: {self.tally.failures[-1]}", file=sys.stderr)
            self.advance()
            return None


def batches(pool: Sequence[tuple[Job, Source]], most: float) -> Iterator[list[tuple[Job, Source]]]:
    """The clips in the order of their lengths, as many together as have `most` samples, padding included."""
    batch: list[tuple[Job, Source]] = []
    for item in sorted(pool, key=lambda item: item[1].samples):
        if batch and (len(batch) + 1) * item[1].samples > most:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch
