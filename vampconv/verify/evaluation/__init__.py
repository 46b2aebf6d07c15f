"""ONNX graphs evaluated in torch, in float64 or float32, from their inputs or from whatever is known."""

from vampconv.verify.evaluation.evaluator import Evaluator, MissingValueError
from vampconv.verify.evaluation.operators import UnknownOperatorError

__all__ = ["Evaluator", "MissingValueError", "UnknownOperatorError"]
