"""Verification of the graph from audio to audio: the right one passes, wrong ones do not."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest

from vampconv.verify.whole import check_whole

from ..common import manifest


@pytest.fixture(scope="module")
def bundle(workshop):
    return workshop.whole("coarse", "c2f", "codec")


def found(bundle):
    return list(check_whole(bundle, manifest(bundle), 1))


def changed(bundle, tmp_path, change):
    """What is found of the bundle with a change in the graph."""
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    model = onnx.load(copy / "vamp_audio.onnx", load_external_data=False)
    change(model.graph)
    onnx.save(model, copy / "vamp_audio.onnx")
    (check,) = found(copy)
    return check


def test_the_right_graph(bundle):
    (check,) = found(bundle)
    assert (check.file, check.wrong, check.problem) == ("vamp_audio.onnx", 0, "")
    assert check.tokens == 14 * 20


def test_nothing_is_checked_without_all_parts(bundle, workshop):
    content = manifest(bundle)
    del content["models"]["coarse"]
    assert list(check_whole(bundle, content)) == []
    assert found(workshop.whole("codec")) == []


def test_another_weight_of_the_decoder_is_heard(bundle, tmp_path):
    def change(graph):
        tensor = next(
            t
            for t in graph.initializer
            if t.name.startswith("decoder/") and t.data_type == 1 and t.dims and t.raw_data
        )
        tensor.raw_data = (np.frombuffer(tensor.raw_data, np.float32) * np.float32(1.5)).tobytes()

    check = changed(bundle, tmp_path, change)
    assert (check.wrong, check.problem) == (0, "its sound is not that which the decoder makes of its codes")


def test_other_tokens(bundle, tmp_path):
    def change(graph):
        (node,) = (n for n in graph.node if n.output[0] == "generated")
        node.output[0] = "right"
        zero = onnx.helper.make_node("Mul", ["right", "zero"], ["generated"], name="zeroed")
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(0), "zero"))
        graph.node.append(zero)

    check = changed(bundle, tmp_path, change)
    assert check.wrong > 200
    assert "not those that its parts make" in check.problem


def test_a_graph_that_cannot_be_run(bundle, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    (copy / "vamp_audio.onnx").write_bytes(b"no model")
    (check,) = found(copy)
    assert check.problem.startswith("ONNX Runtime cannot run it: ")
    (copy / "encoder.onnx").unlink()
    (check,) = found(copy)
    assert check.problem.startswith("its parts cannot be run: ")
