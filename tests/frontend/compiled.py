"""Graphs of the frontends, compiled by the installed rules and loaded."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import onnxruntime

from vampconv.passes.pipeline import Options, compile_graph
from vampconv.plugins import builtin_rules, select_rules


def compiled(model, opset=17, disable=()):
    """The bytes of the compiled model, which ONNX's checker has passed."""
    compile_graph(model, Options(opset=opset, rules=select_rules(builtin_rules(), disable=disable)))
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString(deterministic=True)


def session(model, opset=17, disable=()):
    """What runs the compiled model, in one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        compiled(model, opset, disable), options, providers=["CPUExecutionProvider"]
    )
