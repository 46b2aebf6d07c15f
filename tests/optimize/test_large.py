"""A model beyond a protobuf's two gigabytes is optimised in little memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from . import models
from .running import run_model

ROWS, LENGTH = 4, 134_500_000
CHILD = """
import sys
from pathlib import Path
from vampconv.optimize import Request, optimize

found = optimize(Request(Path(sys.argv[1]), Path(sys.argv[2])))
status = Path("/proc/self/status").read_text()  # of getrusage, what forked this process is a part
print(found.rules, next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")))
"""


@pytest.fixture
def large(tmp_path):
    """A norm, and one element of a row of a table of 2.15 GB, nearly all of it a hole in a sparse file."""
    proto = models.rms_norm()
    table = TensorProto(name="table", data_type=TensorProto.FLOAT, dims=[ROWS, LENGTH])
    table.data_location = TensorProto.EXTERNAL
    size = ROWS * LENGTH * 4
    for key, value in (("location", "table.data"), ("offset", "0"), ("length", str(size))):
        table.external_data.add(key=key, value=value)
    with (tmp_path / "table.data").open("wb") as data:
        data.truncate(size)
        data.seek(size - 4)
        data.write(np.float32(7.5).tobytes())
    indices = [numpy_helper.from_array(np.array(i), n) for n, i in (("row", 3), ("at", LENGTH - 1))]
    proto.graph.initializer.extend([table, *indices])
    proto.graph.node.append(helper.make_node("Gather", ["table", "row"], ["vector"]))
    proto.graph.node.append(helper.make_node("Gather", ["vector", "at"], ["element"]))
    proto.graph.output.append(helper.make_tensor_value_info("element", TensorProto.FLOAT, []))
    (tmp_path / "in.onnx").write_bytes(proto.SerializeToString())
    return tmp_path


def test_more_than_two_gigabytes_of_weights(large):
    command = [sys.executable, "-c", CHILD, str(large / "in.onnx"), str(large / "out.onnx")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    rules, peak = ran.stdout.rsplit(maxsplit=1)
    assert "RMSNorm" in rules
    assert int(peak) <= 500e6
    onnx.checker.check_model(str(large / "out.onnx"))
    found = onnx.load(large / "out.onnx", load_external_data=False)
    (table,) = (t for t in found.graph.initializer if list(t.dims) == [ROWS, LENGTH])
    told = {e.key: e.value for e in table.external_data}
    with (large / told["location"]).open("rb") as data:
        data.seek(int(told["offset"]) + ROWS * LENGTH * 4 - 4)
        assert np.frombuffer(data.read(4), np.float32) == np.float32(7.5)
    x = np.random.default_rng(0).standard_normal((1, 2, 8), dtype=np.float32)
    shape = [d.dim_value or 2 for d in found.graph.input[0].type.tensor_type.shape.dim]
    feeds = {found.graph.input[0].name: np.resize(x, shape)}
    before, after = (run_model(large / f"{which}.onnx", feeds) for which in ("in", "out"))
    np.testing.assert_allclose(after[0], before[0], rtol=1e-5, atol=1e-6)
    assert after[1] == before[1] == np.float32(7.5)
