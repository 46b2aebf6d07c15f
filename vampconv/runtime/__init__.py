"""Runs converted models: numpy, scipy and ONNX Runtime only; nothing of the converter and no torch."""

from vampconv.runtime.beats import WaveBeat, pick_beats
from vampconv.runtime.codec import Codec
from vampconv.runtime.vamping import Progress, Vamped
from vampconv.runtime.vampnet import VampNet

__all__ = ["Codec", "Progress", "VampNet", "Vamped", "WaveBeat", "pick_beats"]
