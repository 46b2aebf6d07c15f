"""Another opset for a model, by ONNX's own converter."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.version_converter

from vampconv.errors import UnsupportedModelError, UsageError


def at_opset(proto: onnx.ModelProto, opset: int, path: Path) -> onnx.ModelProto:
    """The model converted to `opset`.

    Raises
    ------
    UsageError
        If there is no such opset.
    UnsupportedModelError
        If ONNX cannot convert the model.

    """
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= opset <= newest:
        raise UsageError(f"--opset {opset} is not between 1 and {newest}", "choose one of these")
    if any(e.domain in ("", "ai.onnx") and e.version == opset for e in proto.opset_import):
        return proto
    try:
        return onnx.version_converter.convert_version(proto, opset)
    except (RuntimeError, onnx.checker.ValidationError) as error:
        told = str(error).strip().splitlines()[0]
        raise UnsupportedModelError(
            f"ONNX cannot convert {path} to opset {opset}: {told}", "leave --opset out"
        ) from error
