"""Whole verifications: right bundles pass in every value, and whatever is wrong with one fails by its numbers."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from vampconv.convert import Request as Conversion
from vampconv.convert import convert
from vampconv.errors import BadInputError, UsageError, VerificationError
from vampconv.opsets import newest
from vampconv.verify import layers
from vampconv.verify.result import Case, PartResult, Verdict, Verification
from vampconv.verify.verify import Request, quick, verify

from ..common import GOLDEN, manifest
from .conftest import MODELS
from .tagged import load, node, untag

OPSETS = (17, newest())
CODEC = GOLDEN / "codec.pth"
SHORT = {"lengths": [1, 4], "batches": [2], "threads": 1}


def run(bundle, *against, **options):
    return verify(Request(bundle, against or [GOLDEN], **{**SHORT, **options}))


def check_right(found: Verification, cases: int):
    """Every value was compared or explained, and nothing is wrong."""
    assert found.problems == []
    for part in found.parts:
        assert part.problems == []
        assert part.faults == []
        assert part.non_finite == []
        assert part.taps_agree is True
        assert part.coverage is not None
        assert part.coverage.unaccounted == ()
        assert part.coverage.share > 0.95
        assert part.coverage.calls_compared > 0.25 * part.coverage.calls
        assert len(part.comparisons) == cases * part.coverage.values_compared
        assert {c.verdict for c in part.comparisons} == {Verdict.PASS}
        assert any(
            c.stands_for.startswith(".") or c.stands_for.startswith("decoder.") for c in part.comparisons
        )
        assert {w.verdict for w in part.weights} == {Verdict.PASS}
        assert len(part.heat_maps) <= 3
        assert part.seconds > 0
        assert part.verdict is Verdict.PASS
        if part.tokens is not None:
            assert part.tokens.real == 0
            assert part.tokens.equal + part.tokens.ties == part.tokens.positions > 0
    assert found.verdict is Verdict.PASS


def test_a_bundle_of_all_models(workshop):
    opset = OPSETS[-1]
    bundle = workshop.whole("coarse", "c2f", "codec", "wavebeat", opset=opset)
    calls = []
    request = Request(bundle, [GOLDEN], layerwise=True, **SHORT)
    found = verify(request, lambda done, total: calls.append((done, total)))
    check_right(found, cases=2)
    assert [p.part for p in found.parts] == ["coarse", "c2f", "encoder", "decoder", "wavebeat"]
    assert calls == [(done, 10) for done in range(1, 11)]
    by_name = {p.part: p for p in found.parts}
    positions = {"coarse": 2 * 5 * 4, "c2f": 2 * 5 * 10, "encoder": 2 * 5 * 14}
    assert {n: p.tokens.positions for n, p in by_name.items() if p.tokens} == positions
    assert by_name["coarse"].tokens.kl < 1e-10
    assert [len(p.sounds) for p in found.parts] == [0, 0, 0, 2, 0]
    assert all(sound.snr_db > 100 for sound in by_name["decoder"].sounds)
    assert found.bundle == str(bundle)
    assert found.inputs.keys() == {
        *manifest(bundle)["files"],
        "coarse.pth",
        "c2f.pth",
        "codec.pth",
        "wavebeat.pth",
    }
    assert found.inputs["codec.pth"] == hashlib.sha256(CODEC.read_bytes()).hexdigest()
    assert found.environment["lengths"] == "1, 4"
    assert found.environment["torch"] == torch.__version__.split("+")[0] or found.environment["torch"]
    assert list(found.ledger) == manifest(bundle)["checkpoints"]


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", ["film", "ctrl", "lora"])
def test_transformers_with_more(workshop, name, opset):
    made = MODELS[name]
    bundle = workshop.whole(*made.names, opset=opset, **made.options)
    found = run(bundle, layerwise=True, seeds=2)
    check_right(found, cases=4)
    assert [p.part for p in found.parts] == ["coarse"]


def test_a_codec_of_odd_strides(workshop):
    found = run(workshop.whole("codec_odd"), layerwise=True)
    check_right(found, cases=2)
    assert [p.part for p in found.parts] == ["encoder", "decoder"]


def test_a_bundle_whose_parts_were_made_in_several_ways(tmp_path):
    bundle = tmp_path / "bundle"
    convert(
        Conversion([GOLDEN / "coarse.pth"], bundle, CODEC, opset=20, disable=["ShareRelativePositionBias"])
    )
    convert(Conversion([GOLDEN / "c2f.pth"], bundle, CODEC, opset=newest(), add=True))
    convert(Conversion([GOLDEN / "wavebeat.pth"], bundle, disable=["ConvOverImage"], add=True))
    found = run(bundle, layerwise=True)
    check_right(found, cases=2)
    assert [p.part for p in found.parts] == ["coarse", "c2f", "wavebeat"]


def test_outputs_alone(workshop):
    bundle = workshop.whole("coarse", "c2f", "codec", "wavebeat")
    found = run(bundle, parts=["c2f", "wavebeat"])
    assert found.verdict is Verdict.PASS
    assert [p.part for p in found.parts] == ["c2f", "wavebeat"]
    assert found.inputs.keys() >= {"c2f.pth", "wavebeat.pth", "c2f.onnx"}
    assert "coarse.pth" not in found.inputs
    for part in found.parts:
        assert [c.case for c in part.comparisons] == [Case(2, 1, 0), Case(2, 4, 0)]
        assert [c.stands_for[0] for c in part.comparisons] == [".", "."]
        assert (part.coverage, part.taps_agree, part.faults) == (None, None, [])
        assert len(part.weights) > 10


def test_every_combination_of_sizes_is_run(workshop):
    bundle = workshop.whole("wavebeat")
    found = run(bundle, lengths=[1, 2, 5], batches=[1, 3], seeds=2)
    wanted = {Case(b, n, s) for b in (1, 3) for n in (1, 2, 5) for s in (0, 1)}
    assert {c.case for c in found.parts[0].comparisons} == wanted
    assert len(found.parts[0].comparisons) == 12
    assert found.verdict is Verdict.PASS


@pytest.mark.parametrize(
    "sizes",
    [
        {"lengths": [0]},
        {"lengths": [5, -1]},
        {"batches": [0]},
        {"lengths": []},
        {"batches": []},
        {"seeds": 0},
    ],
)
def test_sizes_that_are_none(workshop, sizes):
    """Before anything is looked for."""
    (name,) = sizes
    with pytest.raises(UsageError, match=f"--{name} must be whole numbers from 1"):
        verify(Request(workshop.place() / "nowhere", **sizes))


def numbers(part: PartResult):
    """What a part was found to be, but for the time that it took."""
    return replace(part, seconds=0.0)


def test_values_are_held_a_few_at_a_time(workshop, monkeypatch):
    bundle = workshop.whole("codec_odd")
    options = {"layerwise": True, "lengths": [9], "batches": [1]}
    whole = run(bundle, **options)
    held = []
    given = layers.PartVerifier._compare

    def compare(self, group, case):
        held.append([array.nbytes for array in group.values()])
        given(self, group, case)

    monkeypatch.setattr(layers.PartVerifier, "_compare", compare)
    monkeypatch.setattr(layers, "AT_ONCE", 40_000)
    monkeypatch.setattr(layers, "BATCH", 10_000)
    few = run(bundle, **options)
    assert list(map(numbers, few.parts)) == list(map(numbers, whole.parts))
    assert len(held) > 50
    assert all(sum(sizes[:-1]) < 10_000 for sizes in held)
    assert max(map(sum, held)) < sum(map(sum, held)) / 20


def regenerate(bundle):
    """Let the manifest tell the hashes of the files as they are now."""
    content = manifest(bundle)
    for name in content["files"]:
        data = (bundle / name).read_bytes()
        content["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (bundle / "vampconv.json").write_text(json.dumps(content))


@pytest.fixture
def copied(workshop, tmp_path):
    """Copies a bundle of one transformer, to be tampered with."""

    def copy(opset=23):
        return shutil.copytree(workshop.whole("c2f", opset=opset, codec=CODEC), tmp_path / f"bundle{opset}")

    return copy


def edit(bundle, change, part="c2f"):
    """Change the graph of a part, and the hashes with it."""
    path = bundle / f"{part}.onnx"
    model = load(path)
    change(model)
    path.write_bytes(model.SerializeToString())
    regenerate(bundle)
    return bundle


def write_number(bundle, name, number, index=0):
    """Put a number into a weight of the data file, and mend the hashes."""
    (tensor,) = [t for t in load(bundle / "c2f.onnx").graph.initializer if t.name == name]
    place = {e.key: e.value for e in tensor.external_data}
    with (bundle / place["location"]).open("r+b") as file:
        file.seek(int(place["offset"]) + 4 * index)
        file.write(np.float32(number).tobytes())
    regenerate(bundle)
    return bundle


WEIGHT = "transformer.layers.1.feed_forward.w_1.weight"


@pytest.mark.parametrize("layerwise", [False, True])
def test_a_changed_weight_fails_by_its_numbers(copied, layerwise):
    """The hashes were mended with it, so they tell nothing."""
    found = run(write_number(copied(), WEIGHT, 3.0), layerwise=layerwise)
    assert found.problems == []
    (part,) = found.parts
    assert [w.name for w in part.weights if w.verdict is not Verdict.PASS] == [WEIGHT]
    assert any(c.verdict is Verdict.FAIL for c in part.comparisons)
    assert part.verdict is found.verdict is Verdict.FAIL
    if layerwise:
        first = next(c for c in part.comparisons if c.verdict is Verdict.FAIL)
        assert first.module == WEIGHT.removesuffix(".weight")
        assert [f.stands_for for f in part.faults] == [WEIGHT.removesuffix(".weight")]


def test_a_changed_file_is_told_by_its_hash(copied):
    bundle = copied()
    write_number(bundle, WEIGHT, 3.0)
    content = manifest(bundle)
    content["files"]["c2f.onnx.data"]["sha256"] = "0" * 64
    (bundle / "vampconv.json").write_text(json.dumps(content))
    (problem,) = run(bundle).problems
    assert problem.startswith("c2f.onnx.data is not as it was written")


TABLE = "quantizer.quantizers.0.codebook.weight"


def unread_row(golden):
    """A row of the first codebook's table that the code of the shortest case does not name, and one that it does."""
    (code,) = golden.subject("c2f").feeds(Case(1, 1, 0))["codes"][0, 0]
    return (int(code) + 1) % 64, int(code)


@pytest.mark.parametrize("layerwise", [False, True])
def test_nan_in_a_row_that_no_random_code_reads_is_found(golden, copied, layerwise):
    unread, _ = unread_row(golden)
    bundle = write_number(copied(), TABLE, math.nan, 8 * unread)
    found = run(bundle, lengths=[1], batches=[1], layerwise=layerwise)
    (part,) = found.parts
    assert {c.verdict for c in part.comparisons} == {Verdict.PASS}
    assert [w.name for w in part.weights if w.verdict is Verdict.FAIL] == [TABLE]
    assert found.verdict is Verdict.FAIL


def test_nan_in_a_row_that_is_read_is_traced_to_its_origin(golden, copied):
    _, read = unread_row(golden)
    found = run(write_number(copied(), TABLE, math.nan, 8 * read), lengths=[1], batches=[1], layerwise=True)
    (part,) = found.parts
    first = part.non_finite[0]
    assert (first.side, first.module) == ("graph", "embedding")
    assert [n.side for n in part.non_finite] == ["graph"]
    failed = next(c for c in part.comparisons if c.verdict is Verdict.FAIL)
    assert failed.module == "embedding"
    assert failed.problem == "1 elements are NaN, 0 of the reference"
    assert part.tokens.real == part.tokens.positions == 10
    assert "10 tokens differ beyond ties, first in batch 1, length 1, seed 0" in part.problems


def test_nan_in_the_checkpoint_is_refused(workshop, copied, tmp_path):
    saved = workshop.load("codec")
    saved["state_dict"][TABLE][5, 2] = math.nan
    codec = workshop.save(saved, tmp_path / "codec.pth")
    with pytest.raises(BadInputError, match="holds 1 non-finite values"):
        run(copied(), GOLDEN / "c2f.pth", codec)


def test_an_epsilon_that_no_random_input_shows(copied):
    def change(model):
        for made in model.graph.node:
            if any(p.value == "transformer.norm" for p in made.metadata_props):
                (epsilon,) = [a for a in made.attribute if a.name == "epsilon"]
                epsilon.f = 1.1e-6

    bundle = edit(copied(), change)
    assert run(bundle).verdict is Verdict.PASS  # of the outputs alone, nothing is to be seen
    found = run(bundle, layerwise=True)
    (part,) = found.parts
    assert {c.verdict for c in part.comparisons} == {Verdict.PASS}
    assert [f.stands_for for f in part.faults] == ["transformer.norm"]
    assert part.problems == ["transformer.norm is wrong by itself (batch 1, length 13, seed 0)"]
    assert found.verdict is Verdict.FAIL


def doubled(model):
    """Let the output be twice what it was; the arg-max is the same."""
    model.graph.value_info.append(onnx.ValueInfoProto())
    model.graph.value_info[-1].CopyFrom(model.graph.output[0])
    model.graph.value_info[-1].name = model.graph.node[-1].output[0] = "before"
    model.graph.node.append(node("Add", "before before", "logits"))


@pytest.mark.parametrize("layerwise", [False, True])
@pytest.mark.parametrize("change", [doubled, lambda model: untag(model, "logits")])
def test_an_output_that_is_not_said_to_be_that_of_the_reference_fails(copied, change, layerwise):
    """Its truth would be the graph itself."""
    found = run(edit(copied(), change), layerwise=layerwise)
    assert found.verdict is Verdict.FAIL
    assert any("output logits" in problem for problem in found.parts[0].problems)


def test_an_output_that_is_an_input_fails(copied):
    def change(model):
        model.graph.output[0].CopyFrom(model.graph.input[0])

    assert run(edit(copied(), change)).verdict is Verdict.FAIL


@pytest.mark.parametrize("layerwise", [False, True])
def test_a_tag_that_lies_fails(copied, layerwise):
    """The output is said to be a value that the reference has not."""

    def change(model):
        for prop in model.graph.node[-1].metadata_props:
            prop.value = (
                prop.value.replace(".@021", "nothing@021") if prop.key == "vampconv.value" else prop.value
            )

    found = run(edit(copied(), change), layerwise=layerwise)
    assert found.verdict is Verdict.FAIL
    assert "logits is said to be nothing, which the reference has not" in found.parts[0].problems


def test_a_tag_that_is_gone_fails(copied):
    (name,) = [
        n.output[0] for n in load(copied() / "c2f.onnx").graph.node if n.op_type == "RMSNormalization"
    ][:1]
    bundle = copied(17)
    names = [
        n.output[0]
        for n in load(bundle / "c2f.onnx").graph.node
        if tagged_as(n, "transformer.layers.0.norm_1")
    ]
    found = run(edit(bundle, lambda model: untag(model, names[0])), layerwise=True)
    (part,) = found.parts
    assert "call transformer.layers.0.norm_1" in part.coverage.unaccounted
    assert found.verdict is Verdict.FAIL
    assert name


@pytest.mark.parametrize("layerwise", [False, True])
def test_a_graph_that_cannot_be_run_still_tells_where(copied, layerwise):
    """A weight that is gone, and one of another width."""

    def drop(model):
        kept = [t for t in model.graph.initializer if t.name != WEIGHT]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)

    def narrow(model):
        (tensor,) = [t for t in model.graph.initializer if t.name == WEIGHT]
        tensor.dims[:] = [2 * tensor.dims[0], tensor.dims[1] // 2]

    for opset, change in ((23, drop), (17, narrow)):
        (part,) = run(edit(copied(opset), change), layerwise=layerwise).parts
        assert part.problems[0].startswith("ONNX Runtime cannot run it: ")
        assert WEIGHT.removesuffix(".weight") in part.problems[0]
        assert [f.stands_for for f in part.faults] == [WEIGHT.removesuffix(".weight")] * layerwise
        assert part.verdict is Verdict.FAIL


def tagged_as(made, name):
    return any(p.key == "vampconv.value" and name in p.value.split() for p in made.metadata_props)


@pytest.mark.parametrize("layerwise", [False, True])
def test_an_output_of_another_shape_fails(copied, layerwise):
    def change(model):
        del model.graph.output[0].type.tensor_type.shape.dim[:]
        model.graph.output[0].type.tensor_type.ClearField("shape")
        last = model.graph.node[-1]
        kept = list(last.metadata_props)
        doubled(model)
        model.graph.node[-1].CopyFrom(onnx.helper.make_node("Unsqueeze", ["before", "axes"], ["logits"]))
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "axes"))
        model.graph.node[-1].metadata_props.extend(kept)
        del model.graph.node[-2].metadata_props[:]

    (part,) = run(edit(copied(), change), layerwise=layerwise).parts
    failed = [c for c in part.comparisons if c.value == "logits"]
    assert {c.verdict for c in failed} == {Verdict.FAIL}
    assert failed[0].problem == "its shape is [1, 2, 10, 64], not [2, 10, 64]"
    assert part.tokens is None


DAMAGED = [
    *(("c2f.onnx", content) for content in (None, b"", b"this is no model", "cut")),
    *(("c2f.onnx.data", content) for content in (None, b"", b"these are no numbers", "cut")),
]


@pytest.mark.parametrize(("file", "content"), DAMAGED)
def test_a_file_that_is_missing_or_damaged_fails(copied, file, content):
    bundle = copied()
    path = bundle / file
    data = path.read_bytes()[:-100] if content == "cut" else content
    path.unlink()
    if data is not None:
        path.write_bytes(data)
        regenerate(bundle)
    found = run(bundle, layerwise=True, lengths=[2])
    assert found.verdict is Verdict.FAIL
    assert any(w.verdict is Verdict.FAIL for part in found.parts for w in part.weights) or found.problems
    assert bool(found.problems) == (data is None)


def test_a_missing_checkpoint(copied):
    with pytest.raises(UsageError, match=r"checkpoint c2f\.pth \(sha256 \w+\) not found"):
        run(copied(), CODEC)


@pytest.mark.parametrize("layerwise", [False, True])
def test_another_checkpoint_of_the_same_sizes(workshop, copied, tmp_path, layerwise):
    saved = workshop.load("c2f")
    saved["state_dict"]["transformer.layers.1.self_attn.fc.weight"] *= 1.01
    other = workshop.save(saved, tmp_path / "c2f.pth")
    found = run(copied(), other, CODEC, layerwise=layerwise)
    (problem,) = found.problems
    assert problem.startswith("c2f.pth is not the checkpoint that the bundle was made from")
    (part,) = found.parts
    assert any(c.verdict is Verdict.FAIL for c in part.comparisons)
    assert [w.name for w in part.weights if w.verdict is Verdict.FAIL] == [
        "transformer.layers.1.self_attn.fc.weight"
    ]
    if layerwise:
        assert [f.stands_for for f in part.faults] == ["transformer.layers.1.self_attn.fc"]


def test_a_checkpoint_of_another_model(copied):
    found = run(copied(), GOLDEN / "coarse.pth", CODEC)
    assert found.verdict is Verdict.FAIL
    assert "c2f cannot be verified: its checkpoints make no such part" in found.problems


def test_a_wrong_fine_tune(workshop, tmp_path):
    """As though the base alone had been converted."""
    bundle = workshop.whole("coarse", codec=CODEC)
    shutil.copytree(bundle, tmp_path / "bundle")
    tuned = manifest(workshop.whole("coarse", loras=[GOLDEN / "coarse_lora.pth"], codec=CODEC))
    content = manifest(bundle)
    tuned["files"] = content["files"]
    (tmp_path / "bundle" / "vampconv.json").write_text(json.dumps(tuned))
    found = run(tmp_path / "bundle", layerwise=True)
    assert found.problems == []
    assert any(c.verdict is Verdict.FAIL for c in found.parts[0].comparisons)
    assert {f.stands_for.rsplit(".", 1)[1] for f in found.parts[0].faults} <= {
        "w_qs",
        "w_vs",
        "fc",
        "w_1",
        "w_2",
    }
    assert len(found.parts[0].faults) > 5


def test_a_conversion_is_verified_before_it_is_kept(copied):
    quick(copied(), ["c2f"], [GOLDEN])
    with pytest.raises(VerificationError, match="the converted model is wrong: c2f"):
        quick(write_number(copied(17), WEIGHT, 3.0), ["c2f"], [GOLDEN])


def test_parts_without_comparisons_and_verifications_without_parts_fail():
    assert PartResult("coarse").verdict is Verdict.FAIL
    assert Verification("", [], {}, {}).verdict is Verdict.FAIL
