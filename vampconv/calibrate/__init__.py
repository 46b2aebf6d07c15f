"""What a precision costs in each product with a weight, and which of them are better left in float32."""

from vampconv.calibrate.calibrate import Calibration, Request, calibrate

__all__ = ["Calibration", "Request", "calibrate"]
