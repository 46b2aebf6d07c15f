"""Small graphs of the loop's parts, run in ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from vampconv.loop.body import LoopBuilder
from vampconv.loop.naming import name_loop


def compiled(build, ports, opset=17, threads=1):
    """What computes the value that `build` makes of a builder and typed inputs."""
    op = LoopBuilder()
    output = op.Identity(build(op, **ports))
    output.name = "output"
    graph = ir.Graph(list(ports.values()), [output], nodes=op.nodes, opset_imports={"": opset}, name="part")
    model = ir.Model(graph, ir_version=8 if opset < 19 else 10)
    name_loop(model, [], op.constants)
    proto = onnx.shape_inference.infer_shapes(ir.to_proto(model), check_type=True, strict_mode=True)
    onnx.checker.check_model(proto, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def run(**feeds):
        return session.run(None, {name: np.asarray(value) for name, value in feeds.items()})[0]

    return run
