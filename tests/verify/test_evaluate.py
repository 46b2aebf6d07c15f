"""Graphs evaluated in torch: whole models against ONNX Runtime and the reference, and what an evaluation reads."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from onnx import TensorProto, numpy_helper
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from vampconv.plugins import builtin_rules
from vampconv.reference.lac import LACReference
from vampconv.reference.wavebeat import WaveBeatReference
from vampconv.rewrite import Draw, Fails, Refused
from vampconv.rewrite.engine import apply_rules
from vampconv.rewrite.execute import interpret
from vampconv.rewrite.sample_graph import build, ways_of
from vampconv.verify.evaluation import Evaluator, MissingValueError, UnknownOperatorError, operators
from vampconv.verify.evaluation import evaluator as evaluate

from ..common import OPSETS, manifest
from ..convert.test_golden import CASES, convert_golden, feeds_of, reference_logits

ENDS = (OPSETS[0], OPSETS[-1])
TRANSFORMERS = ("coarse_b2_t13", "c2f_b1_t40", "coarse_lora", "coarse_ctrl", "coarse_film")
SIZE = {"batch": 2, "time": 5, "long": 9}


def load(path):
    return onnx.load(path, load_external_data=False)


def compute(path, feeds, dtype):
    model = load(path)
    (output,) = (v.name for v in model.graph.output)
    known = {name: torch.from_numpy(array) for name, array in feeds.items()}
    return Evaluator(model, path.parent, dtype).values([output], known)[output].numpy()


@pytest.mark.parametrize("opset", ENDS)
@pytest.mark.parametrize("recording", TRANSFORMERS)
def test_transformers(workshop, relative, recording, opset):
    base, lora, part = CASES[recording]
    feeds = feeds_of(workshop.recorded(recording))
    bundle = convert_golden(workshop, base, lora, opset)
    path = bundle / f"{part}.onnx"
    single, double = (compute(path, feeds, dtype) for dtype in (torch.float32, torch.float64))
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    assert relative(single, workshop.logits(workshop.session(bundle, part), feeds)) <= 1e-6
    assert relative(double, reference_logits(workshop, base, lora, feeds)) <= 2e-7  # measured: 4.4e-8


@pytest.mark.parametrize("opset", ENDS)
def test_audio_models(workshop, relative, opset):
    bundle = workshop.whole("codec", "wavebeat", opset=opset)
    recorded = workshop.recorded("codec_n5376")
    saved = workshop.load("codec")
    codec = LACReference.from_state_dict(saved["state_dict"], saved["metadata"]["kwargs"], torch.float64)
    for dtype in (torch.float32, torch.float64):
        codes = compute(bundle / "encoder.onnx", {"audio": recorded["audio"]}, dtype)
        np.testing.assert_array_equal(codes, recorded["codes"])
    feeds = {"codes": recorded["codes"]}
    sound = codec.decode_codes(torch.from_numpy(recorded["codes"])).numpy(force=True)
    assert relative(compute(bundle / "decoder.onnx", feeds, torch.float64), sound) <= 1e-6
    # as far from the truth as ONNX Runtime: 5e-6, for what float32 is to this decoder
    assert relative(compute(bundle / "decoder.onnx", feeds, torch.float32), sound) <= 1e-5

    saved = workshop.load("wavebeat")
    beats = WaveBeatReference.from_checkpoint(saved["state_dict"], saved["hyper_parameters"], torch.float64)
    feeds = {"audio": workshop.recorded("wavebeat")["audio"]}
    single, double = (compute(bundle / "wavebeat.onnx", feeds, t) for t in (torch.float32, torch.float64))
    assert relative(single, workshop.session(bundle, "wavebeat").run(None, feeds)[0]) <= 1e-6
    assert relative(double, beats(torch.from_numpy(feeds["audio"]).double())[1].numpy(force=True)) <= 1e-7


@pytest.mark.parametrize("opset", OPSETS)
def test_every_node_of_the_bundles_is_known(workshop, opset):
    bundles = [workshop.whole("codec", "wavebeat", opset=opset)]
    bundles += [convert_golden(workshop, *CASES[recording][:2], opset) for recording in TRANSFORMERS]
    paths = [bundle / model["file"] for bundle in bundles for model in manifest(bundle)["models"].values()]
    assert len(paths) == 8
    unknown = {node.op_type for path in paths for node in load(path).graph.node if not operators.knows(node)}
    assert not unknown


def samples(rule, opset):
    """The graphs that a rule rewrites at an opset, with their inputs."""
    for sample in rule.evidence(Draw(SIZE, 0)):
        if not isinstance(sample, (Fails, Refused)):
            at = max(opset, sample.opset or 0)
            yield from (build(rule, sample, at, way) for way in ways_of(rule, sample, at))


@pytest.mark.parametrize("rule", builtin_rules(), ids=lambda rule: rule.__name__)
def test_what_rules_match_and_what_they_emit(rule):
    for model, feeds in (pair for opset in ENDS for pair in samples(rule, opset)):
        wide = {n: x.astype(np.float64) if x.dtype.kind == "f" else x for n, x in feeds.items()}
        with np.errstate(
            divide="ignore", invalid="ignore"
        ):  # T5's bucket of distance 0 takes log(0), and drops it
            wanted = interpret(model, wide)
        names = [v.name for v in model.graph.outputs]
        found = Evaluator(ir.to_proto(model), Path()).values(
            names, {n: torch.from_numpy(np.array(x)) for n, x in wide.items()}
        )
        for name, x in zip(names, wanted, strict=True):
            off = (
                1e-3 if rule.precision == "fp16" else 1e-6
            )  # the evaluator's floats are all of its own precision
            np.testing.assert_allclose(found[name].numpy(), x, rtol=off, atol=off)
        apply_rules(model, [rule], opset=model.graph.opset_imports[""], target="portable")
        assert all(operators.knows(node) for node in ir.to_proto(model).graph.node)


def toy(nodes, constants=(), opset=17, types=None):
    """A model with inputs a and b."""
    graph = make_graph(
        [
            make_node(op, ins.split(), outs.split(), name=outs, **attributes)
            for op, ins, outs, attributes in nodes
        ],
        "toy",
        [make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "ab"],
        [make_tensor_value_info(nodes[-1][2].split()[0], TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(array, name) for name, array in constants],
        value_info=[make_tensor_value_info(n, t, None) for n, t in (types or {}).items()],
    )
    return make_model(graph, opset_imports=[make_opsetid("", opset)])


TWO = (("two", np.float32([2])),)
NODES = [
    ("Mul", "a two", "c", {}),
    ("Add", "c b", "d", {}),
    ("Exp", "b", "e", {}),
    ("Mul", "d c", "f", {}),
    ("Split", "f", "g h", {}),
]
A, B = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])


def test_known_values_are_taken_as_they_are():
    evaluator = Evaluator(toy(NODES, TWO), Path())
    assert evaluator.values(["f"], {"a": A, "b": B})["f"].tolist() == [24, 96]
    wrong = torch.tensor([5.0, 5.0])
    assert evaluator.values(["f"], {"a": A, "b": B, "c": wrong})["f"].tolist() == [75, 125]
    found = evaluator.values(["c", "d", "two"], {"c": wrong, "b": B, "d": A})
    assert found["c"] is wrong
    assert found["d"] is A
    assert found["two"].tolist() == [2]
    half = evaluator.values(["h"], {"f": torch.tensor([1.0, 3.0]), "g": wrong})["h"]
    assert (half.tolist(), half.dtype) == ([3], torch.float64)
    assert evaluator.values(["f"], {"a": A, "b": B, "two": A})["f"].tolist() == [11, 96]
    with torch.inference_mode():
        made = A * 1
    assert evaluator.values(["c"], {"a": made})["c"].tolist() == [2, 4]


def test_one_output_of_a_node_is_known():
    evaluator = Evaluator(toy([*NODES, ("Add", "g h", "k", {})], TWO), Path())
    f = torch.tensor([1.0, 3.0])
    assert evaluator.values(["k", "g"], {"f": f, "g": torch.tensor([7.0])})["k"].tolist() == [10]


def test_the_region_and_its_borders():
    evaluator = Evaluator(toy(NODES, TWO), Path())
    assert evaluator.needs(["f"], []) == {"a", "b"}
    assert evaluator.needs(["f"], ["c", "e"]) == {"c", "b"}
    assert evaluator.needs(["f"], ["f"]) == {"f"}
    assert [n.name for n in evaluator.nodes(["f"], [])] == ["c", "d", "f"]
    assert [n.name for n in evaluator.nodes(["h", "d"], ["c"])] == ["d", "f", "g h"]
    assert evaluator.nodes(["two", "a"], []) == []


def test_what_is_missing_is_named():
    evaluator = Evaluator(toy(NODES, TWO), Path())
    with pytest.raises(MissingValueError, match="'b'") as caught:
        evaluator.values(["d"], {"a": A})
    assert caught.value.name == "b"
    for call in (evaluator.needs, evaluator.nodes, evaluator.values):
        with pytest.raises(MissingValueError, match="'nothing'"):
            call(["nothing"], {"a": A, "b": B})


def test_only_what_is_needed_is_evaluated():
    evaluator = Evaluator(toy([("Unheard", "b", "u", {}), *NODES], TWO), Path())
    assert evaluator.values(["f"], {"a": A, "b": B})["f"].tolist() == [24, 96]
    with pytest.raises(UnknownOperatorError, match=r"node u is ai\.onnx\.Unheard"):
        evaluator.values(["f", "u"], {"a": A, "b": B})


def test_long_graphs_without_recursion_and_without_what_is_used_up(monkeypatch):
    alive = weakref.WeakSet()
    most = 0

    def negate(x):
        nonlocal most
        y = -x
        alive.add(y)
        most = max(most, len(alive))
        return y

    monkeypatch.setitem(operators.OPERATORS, "Neg", negate)
    nodes = [("Neg", "a" if i == 0 else f"v{i - 1}", f"v{i}", {}) for i in range(5000)]
    evaluator = Evaluator(toy(nodes), Path())
    found = evaluator.values(["v4999", "v9"], {"a": A})
    assert (found["v4999"].tolist(), found["v9"].tolist()) == ([1, 2], [1, 2])
    assert most <= 3
    assert len(alive) == 2


@pytest.mark.parametrize("inline", [True, False])
def test_large_initializers_are_read_when_used_and_not_kept(monkeypatch, tmp_path, inline):
    constants = [("large", np.ones((evaluate.SMALL + 1, 1), np.float32)), ("two", np.float32([2]))]
    model = toy([("Add", "a large", "c", {}), ("Mul", "c two", "d", {})], constants)
    if not inline:
        onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
        model = load(tmp_path / "m.onnx")
    read = []
    original = evaluate.read_tensor
    monkeypatch.setattr(evaluate, "read_tensor", lambda t, *rest: read.append(t.name) or original(t, *rest))
    evaluator = Evaluator(model, tmp_path)
    for _ in range(2):
        assert evaluator.values(["d"], {"a": A})["d"][7].tolist() == [4, 6]
    assert sorted(read) == ["large", "large", "two"]
    assert inline or not any(t.raw_data for t in model.graph.initializer)


@pytest.mark.parametrize(
    ("element", "exact"), [(TensorProto.FLOAT16, 0.0999755859375), (TensorProto.BFLOAT16, 0.10009765625)]
)
def test_half_precision_weights_are_what_they_hold(element, exact):
    model = toy([("Cast", "a", "c", {"to": element}), ("Mul", "c w", "d", {})])
    model.graph.initializer.append(onnx.helper.make_tensor("w", element, [1], [0.1]))
    for dtype in (torch.float32, torch.float64):
        found = Evaluator(model, Path(), dtype).values(["d", "w"], {"a": A.double() / 3})
        assert found["w"].tolist() == [exact]
        assert found["d"].dtype == dtype
        assert found["d"].tolist() == ((A.double() / 3).to(dtype) * exact).tolist()


ISLAND = [
    ("Mul", "a third", "c", {}),
    ("Cast", "c", "wide", {"to": TensorProto.DOUBLE}),
    ("Add", "wide small", "sum", {}),
    ("Cast", "sum", "d", {"to": TensorProto.FLOAT}),
    ("Mul", "d third", "e", {}),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_cast_to_float64_means_the_rounded_number(dtype):
    third, small = np.float32([1 / 3]), np.float64([1e-12])
    model = toy(ISLAND, [("third", third), ("small", small)], types={"wide": TensorProto.DOUBLE})
    found = Evaluator(model, Path(), dtype).values(["c", "sum", "e"], {"a": A})
    rounded = A.numpy() * third
    assert found["c"].tolist() == rounded.tolist()
    assert found["sum"].tolist() == (rounded.astype(np.float64) + small).tolist()
    assert found["e"].dtype == dtype
    if dtype == torch.float64:
        assert (
            found["e"].tolist() == ((rounded.astype(np.float64) + small) * third.astype(np.float64)).tolist()
        )
    known = {"wide": torch.tensor([1 / 3], dtype=torch.float64)}
    assert Evaluator(model, Path(), dtype).values(["sum"], known)["sum"].tolist() == [1 / 3 + 1e-12]


def test_only_the_module_of_a_cast_to_float64_is_in_float32():
    model = toy(
        [("Mul", "a third", "b0", {}), *ISLAND], [("third", np.float32([1 / 3])), ("small", np.zeros(1))]
    )
    model.graph.node[1].input[0] = "b0"
    for node, module in zip(model.graph.node, ("before", *["here"] * 4, "after"), strict=True):
        node.metadata_props.add(key="vampconv.module", value=module)
    found = Evaluator(model, Path()).values(["b0", "c", "e"], {"a": A})
    assert [found[name].dtype for name in ("b0", "c", "e")] == [torch.float64, torch.float32, torch.float64]


def test_the_noise_embedding_is_that_of_the_reference(workshop):
    model = load(workshop.bundle("coarse_film", "codec") / "coarse.onnx")
    (name,) = {n for node in model.graph.node for n in node.input if n.startswith("/r_embed/Cast.3")}
    r = torch.linspace(0, 1, 101)
    found = Evaluator(model, Path()).values([name], {"r": r})[name]
    wanted = workshop.reference("coarse_film", dtype=torch.float64).r_embed(r)
    assert (found - wanted).abs().median() < 1e-7
    # torch's float32 cosine may be one unit off, and is multiplied by 10⁴
    assert ((found - wanted).abs() > 1e-6).any(-1).double().mean() < 0.05


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_constants_of_the_graph_are_in_the_precision_that_is_worked_in(dtype):
    shape = numpy_helper.from_array(np.int64([2]))
    double = numpy_helper.from_array(np.float64([1.5]))
    nodes = [
        ("Constant", "", "number", {"value_float": 0.5}),
        ("Constant", "", "numbers", {"value_floats": [0.5, 2.0]}),
        ("Constant", "", "shape", {"value": shape}),
        ("ConstantOfShape", "shape", "zeros", {}),
        ("Constant", "", "double", {"value": double}),
    ]
    found = Evaluator(toy(nodes), Path(), dtype).values(["number", "numbers", "zeros", "double"], {})
    assert [x.tolist() for x in found.values()] == [0.5, [0.5, 2], [0, 0], [1.5]]
    assert [x.dtype for x in found.values()] == [dtype, dtype, dtype, torch.float64]
