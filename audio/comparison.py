"""Copy-syntheses held against their recordings, clip by clip, beside Griffin-Lim's."""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor

from flowsuite.audio.features.spec import MelSpec
from flowsuite.audio.griffin_lim import mel_griffin_lim
from flowsuite.audio.metrics.table import Average, average, copy_synthesis_metrics, format_table
from flowsuite.audio.sources import Source
from flowsuite.core.training.files import write_json

MODEL, BASELINE = "this model", "Griffin-Lim"


class Comparison:
    """Collects the metrics of a model's copy-syntheses.

    Args:
        spec: features of the model.
        height: rows of its squeezed waveform, for the line tones; None leaves them out.
        baseline: whether Griffin-Lim makes the same clips from the same mels.
        pitch: whether to track F0 and voicing, which take about a second for five seconds of audio.
    """

    def __init__(self, spec: MelSpec, height: int | None, baseline: bool = True, pitch: bool = True):
        self.spec, self.pitch = spec, pitch
        self.height = height if height is not None and height >= 3 else None
        self.rows: dict[str, list[dict[str, float]]] = {MODEL: []} | ({BASELINE: []} if baseline else {})

    def __len__(self) -> int:
        return len(self.rows[MODEL])

    def add(self, source: Source, wave: Tensor) -> None:
        """One clip that has a recording, and what the model made of it."""
        self.rows[MODEL].append(self._metrics(source, wave, self.height))
        if BASELINE in self.rows:
            made = mel_griffin_lim(source.mel[None], self.spec, source.samples)[0]
            self.rows[BASELINE].append(self._metrics(source, source.finished(made), None))

    def _metrics(self, source: Source, wave: Tensor, height: int | None) -> dict[str, float]:
        return copy_synthesis_metrics(source.recording, wave, self.spec, pitch=self.pitch, height=height)

    def averages(self) -> dict[str, dict[str, Average]]:
        """By system and metric."""
        return {system: average(rows) for system, rows in self.rows.items()}

    def table(self) -> str:
        """In Markdown."""
        return format_table(self.averages())

    def save(self, path: str | Path, **more: object) -> Path:
        """The means as JSON, null where no clip has the metric, with `more` beside them."""
        means = {
            system: {name: None if math.isnan(value.mean) else value.mean for name, value in found.items()}
            for system, found in self.averages().items()
        }
        write_json(path, {"systems": means, "clips": len(self), **more})
        return Path(path)
