"""Another opset for a model, by ONNX's own converter."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.inliner
import onnx.version_converter

from vampconv.errors import UnsupportedModelError, UsageError


def at_opset(proto: onnx.ModelProto, opset: int, path: Path) -> onnx.ModelProto:
    """The model converted to `opset`; functions of its own become part of its graph.

    Raises
    ------
    UsageError
        If there is no such opset.
    UnsupportedModelError
        If ONNX cannot convert the model, or only with loss.

    """
    newest = onnx.defs.onnx_opset_version()
    if not 1 <= opset <= newest:
        raise UsageError(f"--opset {opset} is not between 1 and {newest}", "choose one of these")
    if any(e.domain in ("", "ai.onnx") and e.version == opset for e in proto.opset_import):
        return proto
    if proto.training_info:
        raise UnsupportedModelError(
            f"{path} holds training information, which ONNX's converter would lose", "leave --opset out"
        )
    try:
        whole = onnx.inliner.inline_local_functions(proto) if proto.functions else proto
        converted = onnx.version_converter.convert_version(whole, opset)
    except (RuntimeError, onnx.checker.ValidationError) as error:
        told = str(error).strip().splitlines()[0]
        raise UnsupportedModelError(
            f"ONNX cannot convert {path} to opset {opset}: {told}", "leave --opset out"
        ) from error
    _restore(converted.graph, whole.graph)
    return converted


def _restore(converted: onnx.GraphProto, graph: onnx.GraphProto) -> None:
    """Give back the notes on a graph and its nodes, which the converter drops."""
    converted.quantization_annotation.extend(graph.quantization_annotation)
    converted.metadata_props.extend(graph.metadata_props)
    notes = {output: node.metadata_props for node in graph.node for output in node.output if output}
    for node in converted.node:
        node.metadata_props.extend(next((notes[o] for o in node.output if o in notes), ()))
