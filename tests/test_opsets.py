"""Which opsets can be asked for."""

from __future__ import annotations

import onnx
import pytest

from vampconv import opsets
from vampconv.errors import UsageError


def test_the_newest_is_the_last_that_both_libraries_take():
    found = opsets.newest()
    assert 23 <= found <= onnx.defs.onnx_opset_version()
    assert opsets._runs(found)
    later = range(found + 1, onnx.defs.onnx_opset_version() + 1)
    assert not any(map(opsets._runs, later))


@pytest.mark.parametrize("opset", [-1, 16, 1000])
def test_the_range_is_told(opset):
    with pytest.raises(UsageError, match=f"--opset {opset} is not between 17 and {opsets.newest()}"):
        opsets.check_opset(opset)
