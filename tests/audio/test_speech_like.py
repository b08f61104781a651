"""Made-up speech has the levels of real speech, and the pitch that it says it has."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowsuite.audio.data import SpeechLike
from flowsuite.audio.features import MelSpectrogram
from flowsuite.audio.speech_like import corpus, speech_like
from flowsuite.audio.speech_sounds import Speaker, write_score


def longest_silence(samples: torch.Tensor) -> int:
    loud = torch.cat((torch.tensor([-1]), samples.nonzero()[:, 0], torch.tensor([len(samples)])))
    return int(loud.diff().max()) - 1


@pytest.mark.parametrize("rate", [8000, 22050])
def test_levels_are_those_of_lj_speech(rate):
    clips = corpus(0, 24, 0, rate)
    for row in range(len(clips)):
        wave = clips.wave(row)
        assert 1.0 <= len(wave) / rate <= 3.01 and torch.isfinite(wave).all()
        assert 0.07 <= float(wave.square().mean().sqrt()) <= 0.11 and 0.5 <= float(wave.abs().max()) <= 0.97
        assert longest_silence((wave * 32768).short()) <= 9


def test_log_mels_are_like_those_of_speech():
    mel = MelSpectrogram()
    mels = torch.cat([mel(speech_like(i).wave[None])[0] for i in range(16)], dim=1)
    assert abs(mels.mean() + 5.28) < 0.7 and abs(mels.std() - 2.12) < 0.4  # of genuine LJ Speech, specification sheet


def autocorrelation_pitch(wave: np.ndarray, rate: int, centre: int) -> float:
    """Pitch by the first peak of the autocorrelation of 50 ms that is nearly its largest."""
    half = int(0.025 * rate)
    piece = wave[centre - half : centre + half]
    spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece)), 8 * len(piece))) ** 2
    low, high = int(rate / 400), int(rate / 70)
    correlation = (
        np.fft.irfft(spectrum)[: high + 1]
        / np.fft.irfft(np.abs(np.fft.rfft(np.hanning(len(piece)), 8 * len(piece))) ** 2)[: high + 1]
    )
    best = low + np.argmax(correlation[low:])
    while best // 2 >= low and correlation[best // 2 - 2 : best // 2 + 3].max() > 0.93 * correlation[best]:
        best = best // 2 - 2 + int(np.argmax(correlation[best // 2 - 2 : best // 2 + 3]))
    return rate / best


@pytest.mark.parametrize("rate", [8000, 22050])
def test_the_pitch_is_there_and_moves(rate):
    errors, spread = [], []
    for index in range(8):
        clip = speech_like(index, sample_rate=rate)
        pitch, wave = clip.pitch.numpy(), clip.wave.double().numpy()
        voiced = pitch > 0
        assert 0.3 < voiced.mean() < 0.95 and pitch[voiced].min() >= 80 and pitch.max() <= 300
        spread.append(pitch[voiced].max() / pitch[voiced].min())
        half = int(0.03 * rate)
        inside = [c for c in range(half, len(wave) - half, half) if voiced[c - half : c + half].all()]
        errors += [abs(autocorrelation_pitch(wave, rate, c) / pitch[c] - 1) for c in inside]
    errors = np.array(errors)
    assert len(errors) > 100 and np.median(errors) < 0.02 and (errors > 0.2).mean() < 0.05
    assert min(spread) > 1.1 and max(spread) > 1.4


def test_pyin_finds_the_pitch():
    librosa = pytest.importorskip("librosa")
    clip = speech_like(3, sample_rate=8000, seconds=(1.0, 1.2))
    found, voiced, _ = librosa.pyin(clip.wave.numpy(), fmin=65, fmax=500, sr=8000, frame_length=512, hop_length=64)
    true = clip.pitch.numpy()[np.minimum(np.arange(len(found)) * 64, len(clip.pitch) - 1)]
    both = voiced & (true > 0)
    assert both.sum() > 40 and np.median(np.abs(1200 * np.log2(found[both] / true[both]))) < 20
    assert (voiced == (true > 0)).mean() > 0.8


def test_clips_are_a_function_of_seed_and_number():
    assert torch.equal(speech_like(5, 1).wave, corpus_free(5, 1))
    assert not torch.equal(speech_like(5, 1).wave[:20000], speech_like(5, 2).wave[:20000])
    clips = corpus(4, 3, 1, 8000)
    alone = speech_like(5, 1, 8000).wave
    assert torch.equal(clips.wave(1), (alone * 32768).round() / 32768) and corpus(4, 3, 1, 8000) is clips
    assert len({speech_like(i, speakers=3).speaker for i in range(20)}) == 3


def corpus_free(index: int, seed: int) -> torch.Tensor:
    np.random.seed(index)  # global generators have no say
    torch.manual_seed(seed)
    return speech_like(index, seed).wave


def test_fricatives_are_high_and_vowels_low():
    """Where the score has voice alone most energy is below 2 kHz; where it has hiss of s alone, above."""
    random = np.random.default_rng(0)
    score = write_score(2.0, Speaker.draw(random), random)
    assert score.noises and score.voice.max() > 0.3 and (score.voice == 0).any()
    assert np.ptp(score.formants[:, 0]) > 100 and np.ptp(score.formants[:, 1]) > 300
    clip = speech_like(1)
    spectrum = torch.stft(clip.wave, 1024, 256, window=torch.hann_window(1024), return_complex=True).abs().square()
    low = spectrum[:93].sum(0) / spectrum.sum(0)
    voiced = clip.pitch[::256] > 0
    assert low[: len(voiced)][voiced].median() > 0.9 and low[: len(voiced)][~voiced].min() < 0.3


def test_data_module():
    data = SpeechLike(train=12, val=3, test=2, spec="A0-8k", batch_size=4, frames=20)
    again = SpeechLike(train=6, val=3, test=2, spec="A0-8k")
    assert data.clips("train").names == data.split_names("train") and len(data.dataset("train")) == 12
    assert len({name for split in ("train", "val", "test") for name in data.split_names(split)}) == 17
    assert torch.equal(data.clips("val").samples, again.clips("val").samples)
    batch = next(iter(data.train_dataloader()))
    assert batch.segment.shape == (4, 19 * 64 + 256) and (batch.length == 1280).all()
    assert sum(len(b.length) for b in data.test_dataloader()) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": 0}, "expected train, val and test from 1 to a million, got 0, 16, 16"),
        ({"seconds": (2.0, 1.0)}, r"seconds must be the shortest and longest duration.*got \(2\.0, 1\.0\)"),
        ({"speakers": 0}, "speakers >= 1, got 22050, 0"),
        ({"spec": {"sample_rate": 2000, "fmax": None}}, "sample_rate >= 4000"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        SpeechLike(**options)
