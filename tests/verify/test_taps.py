"""Taps: every value is seen or accounted for, as ONNX Runtime computes it, and looking changes nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import GraphOptimizationLevel as Level

from tests.common import LINE
from vampconv.errors import InputOutputError
from vampconv.opsets import OLDEST, newest
from vampconv.runtime.session import open_session
from vampconv.verify.taps import Taps

MODELS = [
    *[(name, "coarse") for name in ("coarse", "coarse_film", "coarse_ctrl")],
    ("c2f", "c2f"),
    *[(name, part) for name in ("codec", "codec_odd") for part in ("encoder", "decoder")],
    ("wavebeat", "wavebeat"),
]
FEW = [("coarse", "coarse"), ("codec_odd", "encoder"), ("wavebeat", "wavebeat")]
"""Of each kind of fusion one: products, layouts, activations."""
LEVELS = [Level.ORT_DISABLE_ALL, Level.ORT_ENABLE_BASIC, Level.ORT_ENABLE_EXTENDED, Level.ORT_ENABLE_ALL]
Place = Callable[..., Path]


@pytest.fixture(scope="module")
def place(workshop) -> Place:
    """The file of a golden model."""

    def find(name: str, part: str, opset: int = OLDEST) -> Path:
        whole = part in {"encoder", "decoder", "wavebeat"}
        bundle = workshop.whole(name, opset=opset) if whole else workshop.bundle(name, "codec", opset=opset)
        return bundle / f"{part}.onnx"

    return find


def feeds(path: Path, batch: int = 2, time: int = 7, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs of a model."""
    rng = np.random.default_rng(seed)
    sizes = {"batch": batch, "time": time, "samples": 300 * time + 11, "n": 3}
    found = {}
    for value in onnx.load(path, load_external_data=False).graph.input:
        kind = value.type.tensor_type
        shape = [sizes[d.dim_param] if d.dim_param else d.dim_value for d in kind.shape.dim]
        integer = kind.elem_type == TensorProto.INT64
        found[value.name] = rng.integers(0, 5, shape) if integer else rng.normal(0, 0.3, shape).astype("f4")
    return found


def node_outputs(path: Path) -> list[str]:
    graph = onnx.load(path, load_external_data=False).graph
    return [name for node in graph.node for name in node.output if name]


def same(found: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> None:
    assert list(found) == list(truth)
    for name in truth:
        assert (found[name].dtype, found[name].shape) == (truth[name].dtype, truth[name].shape), name
        assert found[name].tobytes() == truth[name].tobytes(), name


@pytest.mark.parametrize("opset", [OLDEST, newest()])
@pytest.mark.parametrize(("name", "part"), MODELS)
def test_every_value_is_visible_or_swallowed_and_none_is_touched(place, name, part, opset):
    path = place(name, part, opset)
    with Taps(path, 1) as taps:
        assert [n for n in node_outputs(path) if n not in taps.swallowed] == list(taps.visible)
        assert set(taps.visible) | set(taps.swallowed) == set(node_outputs(path))
        assert all("fused into com.microsoft" in reason for reason in taps.swallowed.values())
        assert {o.name for o in onnx.load(path, load_external_data=False).graph.output} <= set(taps.visible)
        assert taps.check_untouched(feeds(path)) == []


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("name", "part"), FEW)
def test_no_level_and_no_number_of_threads_makes_a_difference(place, name, part, level):
    path = place(name, part)
    for threads in (1, 2, None):
        with Taps(path, threads, level) as taps:
            assert taps.check_untouched(feeds(path), limit_bytes=1_000_000) == []
            assert level != Level.ORT_DISABLE_ALL or not taps.swallowed


@pytest.mark.parametrize(("name", "part"), MODELS)
def test_a_value_keeps_its_meaning_through_optimisation(place, relative, name, part):
    path = place(name, part)
    inputs = feeds(path)
    with Taps(path, 1) as taps, Taps(path, 1, Level.ORT_DISABLE_ALL) as plain:
        found, truth = taps.run(inputs, taps.visible), plain.run(inputs, taps.visible)
    for value in taps.visible:
        assert found[value].dtype == truth[value].dtype
        if found[value].dtype == np.float32 and truth[value].any():
            assert relative(found[value], truth[value]) < 1e-4, value
        else:
            np.testing.assert_array_equal(found[value], truth[value], strict=True)


@pytest.mark.parametrize(("name", "part"), FEW)
def test_outputs_are_those_of_the_session_that_ships(place, name, part):
    path = place(name, part)
    inputs = feeds(path)
    session = open_session(path, 1)
    with Taps(path, 1) as taps:
        before = taps.outputs(inputs)
        taps.run(inputs, taps.visible[:3])
        same(taps.outputs(inputs), before)
    names = [output.name for output in session.get_outputs()]
    same(before, dict(zip(names, session.run(names, inputs), strict=True)))


@pytest.mark.parametrize("limit", [1, 30_000, 1 << 30])
def test_chunks_are_all_visible_values_in_order_and_within_the_limit(place, limit):
    path = place("coarse_ctrl", "coarse", newest())
    inputs = feeds(path)
    with Taps(path, 1) as taps:
        chunks = list(taps.chunks(inputs, limit))
        whole = taps.run(inputs, taps.visible)
    same({name: array for chunk in chunks for name, array in chunk.items()}, whole)
    assert list(whole) == list(taps.visible)
    for chunk in chunks:
        assert len(chunk) == 1 or sum(array.nbytes for array in chunk.values()) <= limit
    assert len(chunks) == {1: len(taps.visible), 1 << 30: 1}.get(limit, len(chunks))
    assert {array.dtype.kind for array in whole.values()} == {"f", "i", "b"}


def test_one_value_after_another_at_other_lengths(place):
    path = place("wavebeat", "wavebeat")
    with Taps(path, 1) as taps:
        for time in (1, 9):
            inputs = feeds(path, 1, time)
            for value in taps.visible[:4]:
                assert taps.run(inputs, [value])[value].shape[0] == 1


def test_nan_is_equal_to_nan(place):
    path = place("wavebeat", "wavebeat")
    audio = {"audio": np.full((1, 1, 900), np.nan, np.float32)}
    with Taps(path, 1) as taps:
        assert np.isnan(taps.outputs(audio)["activations"]).all()
        assert taps.check_untouched(audio) == []


@pytest.mark.parametrize("bits", [0x7FC00001, 0x80000000])
def test_a_change_of_one_bit_is_seen(tmp_path, bits):
    """Another NaN, or the other zero."""
    nodes = [helper.make_node("Identity", ["x"], ["a"]), helper.make_node("Add", ["a", "c"], ["y"])]
    path = toy(tmp_path, nodes, ["y"], {"c": np.float32([-0.0])})
    plain = np.uint32(bits & 0xFFC00000 & ~0x80000000).view(np.float32)
    with Taps(path, 1, Level.ORT_DISABLE_ALL) as taps:
        other = taps.outputs({"x": np.full((1, 32, 1, 5), np.uint32(bits).view(np.float32))})
        taps.outputs = lambda _: other
        assert taps.check_untouched({"x": np.full((1, 32, 1, 5), plain)}) == ["y"]


def test_nothing_is_left_and_nothing_is_written_beside_the_model(place, tree, tmp_path, monkeypatch):
    path = place("codec_odd", "encoder")
    before = tree(path.parent)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    inputs = feeds(path)
    with Taps(path, 1) as taps:
        for chunk in taps.chunks(inputs, 1_000_000):
            assert chunk
            assert not list(tmp_path.iterdir())
    broken = tmp_path / "model"
    broken.mkdir()
    (broken / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputOutputError):
        Taps(broken / path.name)
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert [p.name for p in broken.iterdir()] == [path.name]
    assert tree(path.parent) == before


def test_a_run_that_fails_leaves_the_taps_usable(place):
    path = place("coarse", "coarse")
    inputs = feeds(path)
    with Taps(path, 1) as taps:
        with pytest.raises(Exception, match="out of data bounds"):
            taps.run({"codes": inputs["codes"] + 10_000}, taps.visible[-1:])
        same(taps.run(inputs, taps.visible[-1:]), taps.outputs(inputs))
    same(taps.outputs(inputs), taps.run(inputs, taps.visible[-1:]))


def test_names_that_cannot_be_tapped(place):
    with Taps(place("wavebeat", "wavebeat"), 1) as taps:
        (swallowed,) = taps.swallowed
        with pytest.raises(ValueError, match=r"fused into com\.microsoft:FusedConv of"):
            taps.run({}, [swallowed])
        with pytest.raises(ValueError, match="cannot be tapped: no such value"):
            taps.run({}, ["audio"])


def test_models_that_cannot_be_loaded(place, tmp_path, monkeypatch):
    path = place("wavebeat", "wavebeat")
    (tmp_path / "garbage.onnx").write_bytes(b"garbage")
    (tmp_path / path.name).write_bytes(path.read_bytes())
    for bad in (tmp_path, tmp_path / "garbage.onnx", tmp_path / "none.onnx", tmp_path / path.name):
        with pytest.raises(InputOutputError, match="cannot be loaded") as error:
            Taps(bad)
        assert LINE.fullmatch(f"{error.value.line()}\n")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(InputOutputError, match="set TMPDIR"):
        Taps(path)


def test_two_at_a_time(place):
    paths = [place("wavebeat", "wavebeat"), place("coarse", "coarse"), place("wavebeat", "wavebeat")]

    def look(path: Path) -> dict[str, np.ndarray]:
        with Taps(path, 1) as taps:
            inputs = feeds(path, seed=1)
            for _ in range(3):
                found = {k: v for chunk in taps.chunks(inputs, 1_000_000) for k, v in chunk.items()}
            return found

    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(look, paths))
    for path, found in zip(paths, together, strict=True):
        same(found, look(path))


def test_a_linked_bundle(place, tmp_path):
    path = place("wavebeat", "wavebeat")
    (tmp_path / "link").symlink_to(path.parent)
    with Taps(tmp_path / "link" / path.name, 1) as taps:
        assert taps.check_untouched(feeds(path)) == []


def toy(
    directory: Path, nodes: list[onnx.NodeProto], outputs: list[str], constants: dict[str, np.ndarray]
) -> Path:
    """A model of `x`, [1, 32, 1, 5]."""
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 32, 1, 5])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OLDEST)], ir_version=8)
    path = directory / "toy.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def test_what_became_of_a_value(tmp_path):
    node = helper.make_node
    body = helper.make_graph(
        [node("Identity", ["going"], ["going_on"]), node("Add", ["state", "shared"], ["sum"])],
        "body",
        [
            helper.make_tensor_value_info(name, kind, shape)
            for name, kind, shape in (
                ("step", TensorProto.INT64, []),
                ("going", TensorProto.BOOL, []),
                ("state", TensorProto.FLOAT, None),
            )
        ],
        [
            helper.make_tensor_value_info(name, kind, None)
            for name, kind in (("going_on", TensorProto.BOOL), ("sum", TensorProto.FLOAT))
        ],
    )
    rng = np.random.default_rng(0)
    constants = {
        "weight": rng.normal(size=(32, 32, 1, 3)).astype("f4"),
        "two": np.float32([2]),
        "times": np.array(3),
    }
    nodes = [
        node("Conv", ["x", "weight"], ["first"], pads=[0, 1, 0, 1]),
        node("Relu", ["first"], ["positive"]),
        node("Conv", ["positive", "weight"], ["second"], pads=[0, 1, 0, 1]),
        node("Identity", ["second"], ["same"]),
        node("Mul", ["two", "two"], ["four"]),
        node("Add", ["same", "four"], ["shared"]),
        node("Exp", ["shared"], ["once"]),
        node("Exp", ["shared"], ["twice"]),
        node("Mul", ["once", "twice"], ["y"]),
        node("Shape", ["shared"], ["shape"]),
        node("Cast", ["shape"], ["sizes"], to=TensorProto.FLOAT),
        node("Loop", ["times", "", "shared"], ["z"], body=body),
    ]
    path = toy(tmp_path, nodes, ["y", "z", "sizes"], constants)
    x = {"x": rng.normal(size=(1, 32, 1, 5)).astype("f4")}
    with Taps(path, 1) as taps:
        fates = taps.swallowed
        assert fates.pop("first").startswith("fused into com.microsoft")
        if "positive" in fates:  # on processors for which ONNX Runtime has a layout of its own
            end = "com.microsoft.nchwc:Conv and com.microsoft.nchwc:ReorderOutput of 'second'"
            assert fates.pop("positive").endswith(end)
        assert fates["same"] == "removed before Add of 'shared'"
        gone, left = ("once", "twice") if "once" in fates else ("twice", "once")
        assert fates.pop(gone) == f"the same as {left!r}, and computed once"
        assert fates["sum"] == fates["going_on"] == "inside the body of a Loop"
        assert fates["shape"] == "folded into a constant"
        assert list(fates) == ["same", "shape", "going_on", "sum"]
        assert taps.check_untouched(x) == []
        found = taps.run(x, ["four", "sizes"])
    np.testing.assert_array_equal(found["four"], np.float32([4]))
    np.testing.assert_array_equal(found["sizes"], np.float32([1, 32, 1, 5]))
