"""The embedded default: made-up speech."""

from __future__ import annotations

from typing import Any

from flowsuite.audio.clip_loading import LoadReport
from flowsuite.audio.data_base import AudioDataModule
from flowsuite.audio.features.spec import MelSpec
from flowsuite.audio.speech_like import check_settings, corpus, name_of

FIRST = {"train": 0, "val": 1_000_000, "test": 2_000_000}  # utterance of each split


class SpeechLike(AudioDataModule):
    """Utterances of `speech_like`, made on the spot at the sample rate of `spec`.

    All splits have the same speakers and different utterances.

    Args:
        train: training utterances.
        val: validation utterances.
        test: test utterances.
        seconds: shortest and longest duration.
        speakers: how many voices there are.
        seed: another seed makes other speakers and utterances.
        spec: of the mels, see `AudioDataModule`: "A0" makes speech at 22,050 Hz, "A0-8k" at 8,000.
        kwargs: those of `AudioDataModule`.
    """

    def __init__(
        self,
        train: int = 256,
        val: int = 16,
        test: int = 16,
        seconds: tuple[float, float] = (1.0, 3.0),
        speakers: int = 6,
        seed: int = 0,
        spec: MelSpec | dict[str, Any] | str = "A0",
        **kwargs,
    ):
        super().__init__(spec=spec, **kwargs)
        if min(train, val, test) < 1 or max(train, val, test) > FIRST["val"]:
            raise ValueError(f"expected train, val and test from 1 to a million, got {train}, {val}, {test}")
        check_settings(self.spec.sample_rate, seconds, speakers)
        self.sizes = {"train": train, "val": val, "test": test}
        self.seconds, self.speakers, self.seed = tuple(seconds), speakers, seed

    def split_names(self, split):
        return [name_of(FIRST[split] + i) for i in range(self.sizes[split])]

    def clips(self, split):
        rate, size = self.spec.sample_rate, self.sizes[split]
        self.reports[split] = LoadReport(size)
        return corpus(FIRST[split], size, self.seed, rate, self.seconds, self.speakers)
