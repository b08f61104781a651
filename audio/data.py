"""The audio data modules, by their names in recipes: `data: class_path: flowsuite.audio.data.LJSpeech`."""

from flowsuite.audio.data_base import AudioDataModule
from flowsuite.audio.data_digits import FreeSpokenDigits
from flowsuite.audio.data_folder import AudioFolder
from flowsuite.audio.data_libritts import LibriTTS
from flowsuite.audio.data_ljspeech import LJSpeech
from flowsuite.audio.data_speech_like import SpeechLike
from flowsuite.audio.data_vctk import VCTK
from flowsuite.audio.segments import AudioBatch, SegmentSet

__all__ = [
    "VCTK",
    "AudioBatch",
    "AudioDataModule",
    "AudioFolder",
    "FreeSpokenDigits",
    "LJSpeech",
    "LibriTTS",
    "SegmentSet",
    "SpeechLike",
]
