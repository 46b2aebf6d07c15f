"""Runs converted models: numpy, scipy and ONNX Runtime only; nothing of the converter and no torch."""

from vampconv.runtime.beats import WaveBeat, pick_beats
from vampconv.runtime.codec import Codec

__all__ = ["Codec", "WaveBeat", "pick_beats"]
