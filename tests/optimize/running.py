"""Optimising a model in a directory, and computing it before and after."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort

from vampconv.optimize import Request, optimize


def session(path):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_model(path, feeds):
    return session(path).run(None, feeds)


def random_feeds(proto):
    rng = np.random.default_rng(0)
    constants = {i.name for i in proto.graph.initializer}
    shapes = {
        i.name: [d.dim_value or 5 for d in i.type.tensor_type.shape.dim]
        for i in proto.graph.input
        if i.name not in constants
    }
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def optimized(proto, tmp_path, **options):
    """What optimising a model did, and the new model, which the checker takes."""
    source, output = tmp_path / "in.onnx", tmp_path / "out.onnx"
    source.write_bytes(proto.SerializeToString())
    found = optimize(Request(source, output, force=True, **options))
    onnx.checker.check_model(str(output), full_check=not proto.graph.sparse_initializer)
    return found, onnx.load(output)


def same_numbers(tmp_path, feeds, *, exactly=False):
    """Check that both models put out the same, and return what."""
    before, after = (run_model(tmp_path / f"{which}.onnx", feeds) for which in ("in", "out"))
    assert len(before) == len(after)
    for a, b in zip(before, after, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if exactly or a.dtype.kind != "f":
            np.testing.assert_array_equal(b, a)
        else:
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)
    return before
