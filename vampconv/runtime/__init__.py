"""Runs converted models: numpy, scipy and ONNX Runtime only; nothing of the converter and no torch.

Names are imported when they are first used: what needs a session alone does not wait for scipy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vampconv.runtime.beats import WaveBeat, pick_beats
    from vampconv.runtime.codec import Codec
    from vampconv.runtime.streaming import stream_audio
    from vampconv.runtime.vamping import Progress, Vamped
    from vampconv.runtime.vampnet import VampNet

__all__ = ["Codec", "Progress", "VampNet", "Vamped", "WaveBeat", "pick_beats", "stream_audio"]

_MODULES = {
    "Codec": "codec",
    "Progress": "vamping",
    "VampNet": "vampnet",
    "Vamped": "vamping",
    "WaveBeat": "beats",
    "pick_beats": "beats",
    "stream_audio": "streaming",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
