"""What a mel spectrogram means: every setting between a waveform and the numbers that a vocoder is conditioned on.

Two public variants go by the name "80-band LJ Speech mel" and are not interchangeable:

- A0 (NVIDIA tacotron2, used by WaveGlow and L0SG/WaveFlow): the clip padded by `n_fft/2` reflected samples, so that
  frame `k` is centred on sample `hop k`; `1 + floor(n / hop)` frames.
- B0 (PaddlePaddle/Parakeet): the clip filled up to `hop ceil(n / hop)` samples, half of it at either end, and padded
  by `(n_fft - hop)/2` more, all by reflection, so that frame `k` is centred on its own `hop` samples; `ceil(n / hop)`
  frames; the clip scaled to a peak of 0.999 first.

Half a hop and a loudness lie between them. The spec is therefore stored in every checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

SCALES = ("slaney", "htk")
LOGS = ("natural", "log10", "db")


@dataclass(frozen=True)
class MelSpec:
    """The settings of a log-mel spectrogram; the default is variant A0.

    `mel = compress(bank |STFT(reflect(wave))|^power)`, with `compress(m) = ln max(m, clamp)` ("natural"),
    `log10 max(m, clamp)` ("log10") or `(20 / power) log10 max(m, clamp)` ("db").

    Args:
        sample_rate: Hz.
        n_fft, hop_length, win_length: samples; the window is a periodic Hann window, centred in `n_fft`.
        n_mels: bands.
        fmin, fmax: Hz; `fmax` None is half the sample rate.
        scale: "slaney" (linear to 1 kHz, then logarithmic) or "htk".
        norm: "slaney" (triangles of equal area) or None (of height 1).
        power: 1 for magnitudes, 2 for power spectra.
        log: see above.
        clamp: the least magnitude (or power) under the logarithm.
        centred: True for A0's padding, False for B0's.
        peak: the absolute peak that every clip is scaled to first; None leaves the loudness alone.
        unit_range: `clip((dB - 10 + 100) / 100, 0, 1)`, Parakeet's option; only with log "db".

    Raises:
        ValueError: a setting is not possible; the message names it.
    """

    sample_rate: int = 22050
    n_fft: int = 1024
    hop_length: int = 256
    win_length: int = 1024
    n_mels: int = 80
    fmin: float = 0.0
    fmax: float | None = 8000.0
    scale: str = "slaney"
    norm: str | None = "slaney"
    power: float = 1.0
    log: str = "natural"
    clamp: float = 1e-5
    centred: bool = True
    peak: float | None = None
    unit_range: bool = False

    def __post_init__(self):
        for name in ("sample_rate", "n_fft", "hop_length", "win_length", "n_mels"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"mel spec: {name} must be a positive integer, got {value!r}")
        for name in ("fmin", "fmax", "power", "clamp", "peak"):
            self._as_float(name, optional=name in ("fmax", "peak"))
        self._check_window()
        self._check_values()

    def _as_float(self, name: str, optional: bool) -> None:
        value = getattr(self, name)
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"mel spec: {name} must be a number{' or null' if optional else ''}, got {value!r}")
        object.__setattr__(self, name, float(value))

    def _check_window(self) -> None:
        if not self.hop_length <= self.win_length <= self.n_fft:
            got = f"{self.hop_length}, {self.win_length}, {self.n_fft}"
            raise ValueError(f"mel spec: expected hop_length <= win_length <= n_fft, got {got}")

    def _check_values(self) -> None:
        if not 0 <= self.fmin < self.highest <= self.sample_rate / 2:
            limit = f"0 <= fmin < fmax <= {self.sample_rate / 2:g} Hz (half the sample rate)"
            raise ValueError(f"mel spec: expected {limit}, got fmin {self.fmin:g} and fmax {self.highest:g}")
        checks = {
            "scale": (self.scale in SCALES, f"one of {', '.join(SCALES)}"),
            "norm": (self.norm in ("slaney", None), "'slaney' or null"),
            "log": (self.log in LOGS, f"one of {', '.join(LOGS)}"),
            "power": (0 < self.power < float("inf"), "a positive number"),
            "clamp": (0 < self.clamp < float("inf"), "a positive number"),
            "peak": (self.peak is None or 0 < self.peak <= 1, "null or in (0, 1]"),
            "centred": (isinstance(self.centred, bool), "true or false"),
            "unit_range": (self.unit_range is False or self.log == "db", "false, or true with log 'db'"),
        }
        for name, (good, expected) in checks.items():
            if not good:
                raise ValueError(f"mel spec: {name} must be {expected}, got {getattr(self, name)!r}")

    @property
    def highest(self) -> float:
        """The upper end of the bank in Hz: `fmax`, or half the sample rate."""
        return self.sample_rate / 2 if self.fmax is None else self.fmax

    @property
    def left(self) -> int:
        """Samples by which the window of a frame begins before the frame's own hop."""
        return self.n_fft // 2 if self.centred else (self.n_fft - self.hop_length) // 2

    def frames(self, samples: int) -> int:
        """How many frames a clip of so many samples has."""
        if samples < 1:
            raise ValueError(f"expected a clip of at least 1 sample, got {samples}")
        return 1 + samples // self.hop_length if self.centred else -(-samples // self.hop_length)

    def lead(self, samples: int) -> int:
        """Samples that frame 0 of a clip begins before its first sample: 0 when centred.

        Variant B0 fills the clip up to whole hops by reflection, half of it at either end.
        """
        return 0 if self.centred else (self.hop_length * self.frames(samples) - samples) // 2

    def span(self, first: int, frames: int, samples: int) -> tuple[int, int]:
        """The samples [start, stop) that frames `first .. first + frames - 1` of a clip of `samples` are made of.

        What lies outside [0, samples) is the reflected clip (`features.reflect.reflected`). The hop of frame `first`
        begins at `start + left`.
        """
        start = self.hop_length * first - self.lead(samples) - self.left
        return start, start + self.hop_length * (frames - 1) + self.n_fft

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for checkpoints and YAML; `from_dict` takes it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> MelSpec:
        """From some settings by name; what is not given is as in A0."""
        known = {field.name for field in fields(cls)}
        unknown = [repr(name) for name in settings if name not in known]
        if unknown:
            raise ValueError(f"mel spec: unknown setting {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        return cls(**settings)

    def differences(self, other: MelSpec) -> list[str]:
        """`"fmax: 8000.0 here, None there"` for every setting in which `other` differs."""
        mine, theirs = self.to_dict(), other.to_dict()
        return [f"{name}: {mine[name]!r} here, {theirs[name]!r} there" for name in mine if mine[name] != theirs[name]]


A0 = MelSpec()
B0 = MelSpec(centred=False, peak=0.999)
PRESETS = {
    "A0": A0,
    "B0": B0,
    "B0-db": replace(B0, log="db", unit_range=True),
    "A0-8k": MelSpec(sample_rate=8000, n_fft=256, hop_length=64, win_length=256, fmax=4000.0),
    "A0-24k": MelSpec(sample_rate=24000),
}


def as_spec(value: MelSpec | str | Mapping[str, Any]) -> MelSpec:
    """A spec from itself, the name of a preset, or a mapping of settings as it stands in YAML."""
    if isinstance(value, MelSpec):
        return value
    if isinstance(value, Mapping):
        return MelSpec.from_dict(value)
    if value not in PRESETS:
        raise ValueError(f"unknown mel preset {value!r}: expected one of {', '.join(PRESETS)}, or the settings by name")
    return PRESETS[value]


def preset_name(spec: MelSpec) -> str | None:
    """The name of the preset that `spec` equals, if any."""
    return next((name for name, preset in PRESETS.items() if preset == spec), None)
