"""The conversion: checkpoints in, a bundle out."""

from vampconv.convert.conversion import Conversion, Request, convert

__all__ = ["Conversion", "Request", "convert"]
