"""Which opsets can be asked for."""

from __future__ import annotations

from functools import cache

from vampconv.errors import UsageError

OLDEST = 17
"""The oldest opset that the rules write for, and the default: what browsers and mobile runtimes take."""


@cache
def newest() -> int:
    """The newest opset that both onnx and the installed ONNX Runtime take; found by trying."""
    import onnx

    for opset in range(onnx.defs.onnx_opset_version(), OLDEST, -1):
        if _runs(opset):
            return opset
    return OLDEST


def check_opset(opset: int) -> None:
    """Raise unless `opset` can be converted to.

    Raises
    ------
    UsageError
        Naming the range.

    """
    if opset != OLDEST and not OLDEST <= opset <= newest():
        raise UsageError(f"--opset {opset} is not between {OLDEST} and {newest()}", "choose one of these")


def _runs(opset: int) -> bool:
    import onnx
    import onnxruntime

    helper = onnx.helper
    node = helper.make_node("Identity", ["x"], ["y"])
    ports = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy"]
    opsets = [helper.make_opsetid("", opset)]
    graph = helper.make_graph([node], "probe", ports[:1], ports[1:])
    model = helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except (onnxruntime.capi.onnxruntime_pybind11_state.Fail, RuntimeError):
        return False
    return True
