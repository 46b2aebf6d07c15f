"""Audio: files, loudness, and what precedes the codec."""

from vampconv.runtime.audio.files import read_audio, write_wav
from vampconv.runtime.audio.loudness import LoudnessMeter, loudness
from vampconv.runtime.audio.preprocess import Preprocessed, QuietAudioWarning, preprocess

__all__ = [
    "LoudnessMeter",
    "Preprocessed",
    "QuietAudioWarning",
    "loudness",
    "preprocess",
    "read_audio",
    "write_wav",
]
