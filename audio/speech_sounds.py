"""What a made-up utterance consists of: sounds in a row, and the voice that speaks them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BLOCK = 0.005  # seconds between the values of a control track

# F1, F2, F3 in Hz of a male voice, after Peterson and Barney (1952).
VOWELS = np.array(
    [
        (270, 2290, 3010),
        (390, 1990, 2550),
        (530, 1840, 2480),
        (660, 1720, 2410),
        (730, 1090, 2440),
        (570, 840, 2410),
        (440, 1020, 2240),
        (300, 870, 2240),
        (640, 1190, 2390),
        (490, 1350, 1690),
    ],
    dtype=float,
)
SONORANTS = np.array([(280, 1000, 2200), (280, 1450, 2300), (360, 1100, 2600), (300, 700, 2200), (280, 2250, 3000)])
# Centre and width in Hz, and level, of the noise of s, sh, f, th, h-like sounds and of the bursts of t, k, p.
FRICATIVES = ((6200, 2800, 1.0), (3300, 1700, 1.0), (5000, 5000, 0.25), (5800, 4500, 0.3), (1800, 2000, 0.25))
BURSTS = ((4500, 3000, 0.9), (2000, 1200, 0.8), (900, 1200, 0.6))


@dataclass(frozen=True)
class Speaker:
    """A voice.

    Attributes:
        pitch: middle of its fundamental frequency, Hz.
        liveliness: how far accents raise the logarithm of the pitch.
        tract: factor of all formants; short vocal tracts have high ones.
        open_quotient: share of a period in which the glottis is open.
        brightness: corner of the low-pass that the voice goes through, Hz.
        breath: noise in the voice, relative to it.
        jitter, shimmer: standard deviations of the lengths and amplitudes of neighbouring periods, relative.
        hiss: level of fricatives.
        rate: factor of durations.
    """

    pitch: float
    liveliness: float
    tract: float
    open_quotient: float
    brightness: float
    breath: float
    jitter: float
    shimmer: float
    hiss: float
    rate: float

    @classmethod
    def draw(cls, random: np.random.Generator) -> Speaker:
        height = random.random()  # low voices to high ones
        return cls(
            pitch=105 * 2 ** (height + 0.05 * random.standard_normal()),
            liveliness=random.uniform(0.15, 0.3),
            tract=1.0 + 0.16 * height + 0.02 * random.standard_normal(),
            open_quotient=random.uniform(0.5, 0.7),
            brightness=random.uniform(1200, 2200),
            breath=random.uniform(0.02, 0.08),
            jitter=random.uniform(0.002, 0.006),
            shimmer=random.uniform(0.02, 0.05),
            hiss=random.uniform(0.7, 1.2),
            rate=random.uniform(0.9, 1.2),
        )


@dataclass(frozen=True)
class Noise:
    """A burst of noise: blocks [start, stop), centre and width in Hz, level, and whether it begins at once."""

    start: int
    stop: int
    centre: float
    width: float
    level: float
    sudden: bool


@dataclass(frozen=True)
class Score:
    """The control tracks of an utterance, one value each `BLOCK` seconds.

    Attributes:
        formants: (T, 3) Hz, F1 to F3.
        voice: (T,) amplitude of the voice.
        pitch: (T,) Hz, defined where there is no voice also.
        noises: fricatives and bursts.
    """

    formants: np.ndarray
    voice: np.ndarray
    pitch: np.ndarray
    noises: list[Noise]


class Writer:
    """Puts sounds one behind the other until an utterance is full."""

    def __init__(self, seconds: float, speaker: Speaker, random: np.random.Generator):
        self.blocks = round(seconds / BLOCK)
        self.speaker, self.random = speaker, random
        self.at = 0
        self.formants = np.full((self.blocks, 3), np.nan)
        self.voice = np.zeros(self.blocks)
        self.noises: list[Noise] = []
        self.accents: list[tuple[int, float]] = []

    def length(self, low: float, high: float) -> int:
        """A random duration between two in milliseconds, at this speaker's rate, in blocks."""
        return max(1, round(self.random.uniform(low, high) * 1e-3 * self.speaker.rate / BLOCK))

    def pause(self, low: float, high: float) -> None:
        self.at += self.length(low, high)

    def vowel(self) -> None:
        """A vowel that often glides into another."""
        size, stress = self.length(80, 230), self.random.uniform(0.35, 1.0)
        first, second = VOWELS[self.random.integers(len(VOWELS), size=2)]
        if self.random.random() < 0.4:
            second = first
        glide = np.linspace(0, 1, size)[:, None]
        self.accents.append((self.at + size // 2, stress))
        self.sound(first + (second - first) * glide, stress)

    def sonorant(self) -> None:
        """A nasal, a lateral or a glide."""
        size = self.length(50, 90)
        self.sound(np.tile(SONORANTS[self.random.integers(len(SONORANTS))], (size, 1)), 0.4)

    def sound(self, formants: np.ndarray, level: float) -> None:
        stop = min(self.at + len(formants), self.blocks)
        if stop > self.at:
            self.formants[self.at : stop] = formants[: stop - self.at]
            self.voice[self.at : stop] = level
        self.at += len(formants)

    def fricative(self) -> None:
        """Noise, with some voice in it at times."""
        size = self.length(70, 140)
        centre, width, level = FRICATIVES[self.random.integers(len(FRICATIVES))]
        if self.random.random() < 0.3:
            self.voice[self.at : self.at + size] = 0.2
        self.noise(size, centre, width, level, False)

    def stop(self) -> None:
        """A closure and a burst."""
        self.at += self.length(40, 70)
        self.noise(self.length(10, 30), *BURSTS[self.random.integers(len(BURSTS))], True)

    def noise(self, size: int, centre: float, width: float, level: float, sudden: bool) -> None:
        stop = min(self.at + size, self.blocks)
        if stop > self.at:
            self.noises.append(Noise(self.at, stop, centre, width, level * self.speaker.hiss, sudden))
        self.at += size

    def syllable(self) -> None:
        onset = self.random.random()
        if onset < 0.3:
            self.fricative()
        elif onset < 0.6:
            self.stop()
        elif onset < 0.85:
            self.sonorant()
        self.vowel()
        coda = self.random.random()
        if coda < 0.2:
            self.fricative()
        elif coda < 0.4:
            self.sonorant()


def write_score(seconds: float, speaker: Speaker, random: np.random.Generator) -> Score:
    """A random utterance: words of one to three syllables between pauses."""
    writer = Writer(seconds, speaker, random)
    writer.pause(30, 100)
    end = writer.blocks - round(0.05 / BLOCK)
    while writer.at < end:
        for _ in range(random.integers(1, 4)):
            writer.syllable()
        if random.random() < 0.5:
            writer.pause(40, 220)
    voice = writer.voice
    voice[end:] = 0
    formants = smooth(filled(writer.formants), 9) * speaker.tract
    noises = [noise for noise in writer.noises if noise.stop <= end]
    return Score(formants, smooth(voice[:, None], 5)[:, 0], melody(writer, speaker, random), noises)


def filled(track: np.ndarray) -> np.ndarray:
    """A track whose gaps (NaN) have the value that comes next, or at the end the one before."""
    known = np.flatnonzero(~np.isnan(track[:, 0]))
    if not len(known):
        return np.tile(VOWELS[-2], (len(track), 1))
    following = np.searchsorted(known, np.arange(len(track))).clip(max=len(known) - 1)
    return track[known[following]]


def smooth(track: np.ndarray, size: int) -> np.ndarray:
    """Each column of (T, K) averaged under a Hann window of `size` blocks; the ends go on as constants."""
    window = np.hanning(size + 2)[1:-1]
    padded = np.pad(track, ((size // 2, size // 2), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, window / window.sum(), mode="valid") for column in padded.T], axis=1)


def melody(writer: Writer, speaker: Speaker, random: np.random.Generator) -> np.ndarray:
    """Pitch in Hz: a falling line with an accent on each vowel and slow wandering, between 80 and 300."""
    time = np.arange(writer.blocks)
    line = np.linspace(0.12, -0.15, writer.blocks)
    for centre, stress in writer.accents:
        height = speaker.liveliness * stress * random.uniform(-0.4, 1.0)
        line += height * np.exp(-0.5 * ((time - centre) / random.uniform(12, 24)) ** 2)
    wander = smooth(random.standard_normal((writer.blocks, 1)), 41)[:, 0]
    return np.clip(speaker.pitch * np.exp(line + 0.1 * wander), 80, 300)
