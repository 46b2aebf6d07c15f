"""Every constant of a bundle is what the checkpoints say; whatever is changed in the files is found and named."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil

import numpy as np
import onnx
import pytest
import torch

from vampconv.convert import Request, convert
from vampconv.emit.manifest import read_manifest
from vampconv.errors import BadInputError, InputOutputError
from vampconv.opsets import newest
from vampconv.plugins import load_plugins
from vampconv.verify.locate import check_files, find_checkpoints
from vampconv.verify.result import Verdict
from vampconv.verify.weights import check_weights

from ..common import GOLDEN

PLAIN = ("FoldSnakeScales", "FoldSnakeOutputScale", "ConvOverImage", "InterleaveTransposed")
"""Rules without which the codec's convolutions have the shape and scale of the checkpoint."""
CODEC = GOLDEN / "codec.pth"
OPSETS = (17, newest())
MOVED = "transformer.layers.0.self_attn.w_ks.weight"
NORM = "transformer.layers.0.norm_1.weight"
FOLDED = "transformer.layers.1.self_attn.fc.weight"
OBLONG = "transformer.layers.1.feed_forward.w_1.weight"
CLASSIFIER = "classifier.layers.0.weight"
EPS, COUNT = "/transformer/layers/0/norm_1/Add_input_1", "/embedding/Where_input_1"


def located(bundle, *against):
    return find_checkpoints(read_manifest(bundle), bundle, against or [GOLDEN])


def check(bundle, *against):
    return check_weights(bundle, read_manifest(bundle), located(bundle, *against))


def not_passed(bundle, *against):
    """Checks that do not pass, by name."""
    return {
        c.name: c for rows in check(bundle, *against).values() for c in rows if c.verdict is not Verdict.PASS
    }


def stored(bundle, part="coarse"):
    graph = onnx.load(bundle / f"{part}.onnx").graph
    return {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}


def regenerate(bundle):
    """Let the manifest tell the hashes of the files as they are now."""
    content = json.loads((bundle / "vampconv.json").read_text())
    for name in content["files"]:
        data = (bundle / name).read_bytes()
        content["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (bundle / "vampconv.json").write_text(json.dumps(content))


@pytest.fixture
def bundle(workshop, tmp_path):
    """A copy of a bundle, to be tampered with."""
    return shutil.copytree(workshop.bundle("coarse", "codec"), tmp_path / "bundle")


def change(bundle, edit, part="coarse"):
    """Edit the ONNX file of a part."""
    path = bundle / f"{part}.onnx"
    model = onnx.load(path, load_external_data=False)
    edit(model.graph, {t.name: t for t in model.graph.initializer})
    path.write_bytes(model.SerializeToString())
    regenerate(bundle)


def change_data(bundle, name, array, part="coarse"):
    """Put other elements in the place of a constant's, in the data file or in the ONNX file."""
    model = onnx.load(bundle / f"{part}.onnx", load_external_data=False)
    tensor = next(t for t in model.graph.initializer if t.name == name)
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        inside = onnx.numpy_helper.from_array(array, name)
        change(bundle, lambda _, tensors: tensors[name].CopyFrom(inside), part)
        return
    place = {e.key: e.value for e in tensor.external_data}
    with (bundle / place["location"]).open("r+b") as file:
        file.seek(int(place["offset"]))
        file.write(array.tobytes())
    regenerate(bundle)


def stored_sizes(bundle):
    """Bytes of each constant of a transformer, as its dims tell."""
    graph = onnx.load(bundle / "coarse.onnx", load_external_data=False).graph
    return {
        t.name: math.prod(t.dims) * (8 if t.data_type == onnx.TensorProto.INT64 else 4)
        for t in graph.initializer
    }


TUNED = {"loras": [GOLDEN / "coarse_lora.pth"], "codec": CODEC}
CLEAN = [
    *((("coarse", "c2f", "codec", "wavebeat"), {"opset": opset}) for opset in OPSETS),
    *((("coarse",), {"opset": opset, **TUNED}) for opset in OPSETS),
    *((("coarse_film",), {"opset": opset, "codec": CODEC}) for opset in OPSETS),
    *((("coarse_ctrl",), {"opset": opset, "codec": CODEC}) for opset in OPSETS),
    *((("codec_odd",), {"opset": opset}) for opset in OPSETS),
    (("codec_odd",), {"disable": ["FoldSnakeScales"]}),
    (("codec",), {"disable": PLAIN}),
]


@pytest.mark.parametrize(("names", "options"), CLEAN, ids=lambda v: "-".join(map(str, v)))
def test_clean_bundles(workshop, names, options):
    bundle = workshop.whole(*names, **options)
    manifest, checks = read_manifest(bundle), check(bundle)
    assert checks.keys() == manifest["models"].keys()
    for part, entry in manifest["models"].items():
        constants = stored(bundle, part)
        assert [c.name for c in checks[part]] == list(constants)
        assert {(c.file, c.verdict, c.ulps, c.problem) for c in checks[part]} == {
            (entry["file"], "pass", 0, "")
        }
        sources = {row["name"]: tuple(row["from"]) for row in entry["initializers"]}
        for row in checks[part]:
            assert row.sha256_stored == row.sha256_recomputed
            assert row.sha256_stored == hashlib.sha256(constants[row.name].tobytes()).hexdigest()
            assert row.sources == sources.get(row.name, ())
        assert sum(bool(c.sources) for c in checks[part]) == len(sources) > 0


def test_parts_made_in_several_ways(workshop, tmp_path):
    """Each part is made again with its own opset, rules and checkpoints."""
    copies = tmp_path / "copies"
    copies.mkdir()
    other = torch.load(CODEC, weights_only=True)
    other["state_dict"]["quantizer.quantizers.0.codebook.weight"] += 1
    workshop.save(other, copies / "codec.pth")
    out = tmp_path / "out"
    tune = GOLDEN / "coarse_lora.pth"
    convert(Request([GOLDEN / "coarse.pth"], out, codec=CODEC, loras=[tune], opset=newest()))
    convert(
        Request(
            [GOLDEN / "c2f.pth"],
            out,
            codec=copies / "codec.pth",
            disable=["ShareRelativePositionBias"],
            add=True,
        )
    )
    convert(Request([GOLDEN / "codec_odd.pth"], out, disable=["FoldSnakeScales"], add=True, opset=18))
    assert set(check(out, GOLDEN, copies)) == {"coarse", "c2f", "encoder", "decoder"}
    assert not_passed(out, GOLDEN, copies) == {}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_checkpoints_of_other_types(workshop, tmp_path, dtype):
    saved = workshop.load("coarse")
    saved["state_dict"] = {k: v.to(dtype) for k, v in saved["state_dict"].items()}
    workshop.save(saved, tmp_path / "coarse.pth")
    bundle = workshop.bundle(tmp_path / "coarse.pth", codec=CODEC)
    assert not_passed(bundle, tmp_path, GOLDEN) == {}


def weight_norm(state, name):
    """``g · v / ‖v‖`` in float64."""
    g, v = (state[f"{name}_{x}"].double() for x in "gv")
    return torch.nn.functional.normalize(v.flatten(1), dim=1, eps=0).view_as(v) * g


def bucket(offset):
    """T5's bucket of a key that lies `offset` after the query: 16 for each side, 8 of them exact, up to 128 apart."""
    apart = offset.abs()
    far = 8 + (torch.log(apart.float() / 8) / torch.log(torch.tensor(16.0)) * 8).long()
    return (offset > 0).long() * 16 + torch.where(apart < 8, apart, far.clamp(max=15))


def transformer_weight(state, tables, name):
    """A weight of a transformer's graph in float64, from its meaning."""
    if match := re.fullmatch(r"quantizer\.quantizers\.(\d+)\.codebook\.weight", name):
        return torch.cat(
            [tables[name].double(), state["embedding.special.MASK"][int(match[1])][None].double()]
        )
    if name == "embedding.out_proj.weight":
        return state[name].double()[:, :, 0].T
    if "relative_attention_bias" in name:
        return state[name].double()[bucket(torch.arange(-91, 92))].T
    if name.startswith("classifier"):
        whole = weight_norm(state, name) if name.endswith("weight") else state[name].double()
        n_predict = 4
        rows = whole.reshape(len(whole) // n_predict, n_predict, -1)
        rows = torch.cat([rows[:, c] for c in range(n_predict)])
        return rows.T if name.endswith("weight") else rows.flatten()
    value, module = state[name].double(), name.removesuffix(".weight")
    if f"{module}.lora_A" in state:
        value = value + state[f"{module}.lora_B"].double() @ state[f"{module}.lora_A"].double() / 8
    return value.T if value.ndim == 2 else value


def ulps(found, wanted):
    """Distance of float32 numbers from float64 ones, in units in the last place of these."""
    spacing = np.spacing(np.abs(wanted).astype(np.float32)).astype(np.float64)
    return float((np.abs(found.astype(np.float64) - wanted) / spacing).max())


@pytest.mark.parametrize("tune", [None, "coarse_lora"])
def test_an_independent_oracle_agrees_on_transformers(workshop, tune):
    """So the rules are right, which making the weights again would not show."""
    bundle = workshop.bundle("coarse", **TUNED if tune else {"codec": CODEC})
    state, tables = workshop.load("coarse")["state_dict"], workshop.load("codec")["state_dict"]
    state |= workshop.load(tune) if tune else {}
    constants, rows = stored(bundle), [row for row in check(bundle)["coarse"] if row.sources]
    for row in rows:
        wanted = transformer_weight(state, tables, row.name).numpy()
        assert constants[row.name].shape == wanted.shape
        assert ulps(constants[row.name], wanted) <= 0.501
        assert row.verdict is Verdict.PASS
    assert len(rows) == 34


def test_an_independent_oracle_agrees_on_codecs(workshop):
    """Convolutions are normalised, 1×1 ones perhaps transposed; so are the rows of tables that codes are sought in."""
    bundle = workshop.whole("codec", disable=PLAIN)
    state = workshop.load("codec")["state_dict"]
    for part, rows in check(bundle).items():
        constants, compared = stored(bundle, part), 0
        for row in rows:
            own = {source.partition(":")[2] for source in row.sources}
            if own not in ({row.name}, {f"{row.name}_v", f"{row.name}_g"}):
                continue
            found = constants[row.name]
            wanted = (state[row.name].double() if row.name in state else weight_norm(state, row.name)).numpy()
            if found.shape != wanted.shape:
                wanted = wanted.reshape(wanted.shape[:2]).T
                wanted = wanted / np.linalg.norm(wanted, axis=0) if ".codebook." in row.name else wanted
                assert found.shape == wanted.shape
            assert ulps(found, wanted) <= 0.501
            compared += 1
        assert compared > 100


def nudge(steps):
    def edit(array):
        array.reshape(-1).view(np.int32)[5] += steps

    return edit


def flip(bit):
    def edit(array):
        array.reshape(-1).view(np.uint32)[5] ^= np.uint32(1 << bit)

    return edit


def spoil(array):
    array.reshape(-1)[5] = np.nan


EDITS = {
    "1 ulp up": nudge(1),
    "1 ulp down": nudge(-1),
    "2 ulps": nudge(2),
    "bit 12": flip(12),
    "sign": flip(31),
    "NaN": spoil,
}


@pytest.mark.parametrize("name", [MOVED, FOLDED, CLASSIFIER])
def test_a_changed_element_is_named(bundle, name):
    before = stored(bundle)[name]
    for label, edit in EDITS.items():
        after = before.copy()
        edit(after)
        change_data(bundle, name, after)
        assert check_files(read_manifest(bundle), bundle) == []
        (row,) = not_passed(bundle).values()
        assert (row.file, row.name) == ("coarse.onnx", name)
        assert row.sha256_recomputed == hashlib.sha256(before.tobytes()).hexdigest()
        assert row.sha256_stored == hashlib.sha256(after.tobytes()).hexdigest()
        (changed,) = np.argwhere(before.view(np.int32) != after.view(np.int32)).tolist()
        assert f"1 of {before.size} elements differ" in row.problem
        assert row.problem.endswith(f"at {changed}")
        is_near = label.startswith("1 ulp")
        assert (row.ulps == 1) == is_near
        assert row.verdict == ("warn" if is_near and name in (FOLDED, CLASSIFIER) else "fail")
        if label == "2 ulps":
            assert row.ulps == 2
    change_data(bundle, name, before)
    assert not_passed(bundle) == {}


def test_negative_zero_is_not_zero(workshop, tmp_path):
    saved = workshop.load("coarse")
    saved["state_dict"][NORM][5] = 0
    workshop.save(saved, tmp_path / "coarse.pth")
    bundle = workshop.bundle(tmp_path / "coarse.pth", codec=CODEC)
    array = stored(bundle)[NORM].copy()
    array[5] = -0.0
    change_data(bundle, NORM, array)
    assert not_passed(bundle, tmp_path, CODEC)[NORM].verdict is Verdict.FAIL


@pytest.mark.parametrize("name", [EPS, COUNT])
def test_a_changed_number_of_a_rule_is_named(bundle, name):
    array = stored(bundle)[name].copy()
    array.reshape(-1).view(f"i{array.itemsize}")[0] += 1
    change_data(bundle, name, array)
    (row,) = not_passed(bundle).values()
    assert (row.name, row.verdict, row.ulps, row.sources) == (name, "fail", 1, ())


def test_swapped_weights_are_named(bundle):
    names = MOVED, MOVED.replace("layers.0", "layers.2")
    arrays = [stored(bundle)[name] for name in names]
    for name, array in zip(names, reversed(arrays), strict=True):
        change_data(bundle, name, array)
    assert not_passed(bundle).keys() == set(names)


def test_swapped_places_are_named(bundle):
    names = FOLDED, FOLDED.replace("layers.1", "layers.2")

    def swap(_, tensors):
        one, other = (tensors[name].external_data for name in names)
        kept = [(e.key, e.value) for e in one]
        for mine, theirs in zip(one, other, strict=True):
            mine.value = theirs.value
        for theirs, (_, value) in zip(other, kept, strict=True):
            theirs.value = value

    change(bundle, swap)
    assert not_passed(bundle).keys() == set(names)


def test_a_transposed_square_weight_is_named(bundle):
    change_data(bundle, MOVED, np.ascontiguousarray(stored(bundle)[MOVED].T))
    assert not_passed(bundle).keys() == {MOVED}


def test_a_weight_without_its_fine_tune_is_named(workshop, tmp_path):
    plain = workshop.bundle("coarse", "codec")
    tuned = workshop.bundle("coarse", "codec", loras=[GOLDEN / "coarse_lora.pth"])
    bundle = shutil.copytree(tuned, tmp_path / "bundle")
    change_data(bundle, FOLDED, stored(plain)[FOLDED])
    assert not_passed(bundle).keys() == {FOLDED}


def remove(graph, tensors):
    graph.initializer.remove(tensors[FOLDED])


def rename(_, tensors):
    tensors[FOLDED].name = "other"


def transpose(_, tensors):
    tensors[OBLONG].dims[:] = [192, 48]


def reshape(_, tensors):
    tensors[FOLDED].dims[:] = [24, 96]


def retype(_, tensors):
    tensors[FOLDED].data_type = onnx.TensorProto.INT32


def unknown_type(_, tensors):
    tensors[FOLDED].data_type = 99


def widen(_, tensors):
    array = np.zeros((48, 48))
    tensors[FOLDED].CopyFrom(onnx.numpy_helper.from_array(array, FOLDED))


def repeat(graph, tensors):
    graph.initializer.append(tensors[FOLDED])


def add(graph, tensors):
    graph.initializer.append(tensors[FOLDED])
    graph.initializer[-1].name = "other"


def add_sparse(graph, _):
    values = onnx.numpy_helper.from_array(np.ones(1, np.float32), "other")
    indices = onnx.numpy_helper.from_array(np.zeros(1, np.int64))
    graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, indices, [4]))


def place(**where):
    def edit(_, tensors):
        for entry in tensors[FOLDED].external_data:
            entry.value = where.get(entry.key, entry.value)

    return edit


def shorten(_, tensors):
    tensors[EPS].raw_data = b"12"


@pytest.mark.parametrize(
    ("edit", "problems"),
    [
        (remove, {FOLDED: "it is missing"}),
        (rename, {FOLDED: "it is missing", "other": "the checkpoints give no such weight"}),
        (transpose, {OBLONG: r"it is float \[192, 48\].* instead of float \[48, 192\]"}),
        (reshape, {FOLDED: r"it is float \[24, 96\]"}),
        (retype, {FOLDED: r"it is int32 \[48, 48\] in 9216 bytes instead of float"}),
        (unknown_type, {FOLDED: r"it is type 99"}),
        (widen, {FOLDED: r"it is double \[48, 48\] in 18432 bytes"}),
        (repeat, {FOLDED: "more than once"}),
        (add, {"other": "the checkpoints give no such weight"}),
        (add_sparse, {"other": "the checkpoints give no such weight"}),
        (place(length="9212"), {FOLDED: "in 9212 bytes instead"}),
        (place(offset="4"), {FOLDED: "elements differ"}),
        (place(offset="99999999"), {FOLDED: "beyond the end"}),
        (place(length="9" * 20), {FOLDED: "beyond the end"}),
        (place(offset="-8"), {FOLDED: "no file of the bundle"}),
        (place(location="../coarse.onnx.data"), {FOLDED: "no file of the bundle"}),
        (place(location="gone.data"), {FOLDED: "does not exist"}),
        (shorten, {EPS: "do not fit"}),
    ],
)  # fmt: skip
def test_a_changed_graph_is_named(bundle, edit, problems):
    change(bundle, edit)
    assert check_files(read_manifest(bundle), bundle) == []
    found = not_passed(bundle)
    assert found.keys() == problems.keys()
    for name, problem in problems.items():
        assert found[name].verdict is Verdict.FAIL
        assert re.search(problem, found[name].problem)


@pytest.mark.parametrize("content", [None, b"", b"no model at all"])
def test_a_lost_model_fails(bundle, content):
    (bundle / "coarse.onnx").unlink()
    if content is not None:
        (bundle / "coarse.onnx").write_bytes(content)
    rows = check(bundle)["coarse"]
    assert {row.verdict for row in rows} == {"fail"}


def test_lost_data_fail(bundle):
    (bundle / "coarse.onnx.data").write_bytes(b"")
    large = {name for name, array in stored_sizes(bundle).items() if array >= 256}
    assert not_passed(bundle).keys() == large


def test_another_checkpoint_is_named(workshop, bundle, tmp_path):
    saved = workshop.load("coarse")
    saved["state_dict"]["transformer.layers.1.self_attn.fc.lora_A"][3, 4] += 0.1
    saved["state_dict"]["embedding.special.MASK"][2, 3] += 0.1
    workshop.save(saved, tmp_path / "other.pth")
    wanted = {FOLDED, "quantizer.quantizers.2.codebook.weight"}
    assert not_passed(bundle, tmp_path / "other.pth", CODEC).keys() == wanted


def test_another_model_fails(workshop, bundle, tmp_path):
    (row,) = not_passed(bundle, GOLDEN / "c2f.pth", CODEC).values()
    assert (row.name, row.problem) == ("", "the checkpoints make c2f, not coarse")
    workshop.model(tmp_path)
    (row,) = not_passed(bundle, tmp_path / "coarse.pth", CODEC).values()
    assert "it cannot be made again from the checkpoints: codec.pth: quantizer" in row.problem


def test_a_damaged_checkpoint_is_an_error(bundle, tmp_path):
    data = bytearray((GOLDEN / "coarse.pth").read_bytes())
    data[-40_000] ^= 1
    (tmp_path / "coarse.pth").write_bytes(data)
    with pytest.raises(BadInputError):
        check(bundle, tmp_path / "coarse.pth", CODEC)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("rules", {}, "cannot be made again"),
        ("rules", {"ClassicRMSNorm": 1, "Unheard": 1}, "rule Unheard, which fired, is not known here"),
        ("opset", 3, "--opset 3 is not between"),
        ("initializers", [], "there is no model"),
    ],
)
def test_a_manifest_that_lies_fails(bundle, key, value, problem):
    manifest = read_manifest(bundle)
    manifest["models"]["coarse"][key] = value
    (row,) = check_weights(bundle, manifest, located(bundle))["coarse"]
    assert row.verdict is Verdict.FAIL
    assert problem in row.problem


@pytest.mark.parametrize(("key", "value"), [("rules", None), ("opset", "x"), ("initializers", [{}])])
def test_a_damaged_manifest_is_an_error(bundle, key, value):
    manifest = read_manifest(bundle)
    manifest["models"]["coarse"][key] = value
    with pytest.raises(InputOutputError, match="damaged"):
        check_weights(bundle, manifest, located(bundle))


OWN = '''
"""A lowering of RMSNorm that is off by default."""
from vampconv.dialect import vamp
from vampconv.rewrite import Close, Rule, Sample, Stage


class MyRMSNorm(Rule):
    """RMSNorm of twice the weight, halved."""

    stage = Stage.LOWER
    claim = Close(rtol=1e-5, atol=1e-6)
    default = False

    @staticmethod
    def before(op, x, weight, eps):
        return vamp(op).RMSNorm(x, weight, eps=eps)

    @staticmethod
    def after(op, x, weight, eps):
        mean = op.ReduceMean(op.Pow(x, 2.0), axes=[-1], keepdims=1)
        scaled = op.Div(x, op.Sqrt(op.Add(mean, eps)))
        return op.Mul(op.Mul(scaled, op.Mul(weight, 2.0)), 0.5)

    @staticmethod
    def evidence(draw):
        yield Sample(x=draw("batch", "time", 6), weight=draw(6), eps=1e-6)
'''


def test_rules_of_ones_own(tmp_path):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "own.py").write_text(OWN)
    bundle, names = tmp_path / "bundle", {"enable": ["MyRMSNorm"], "disable": ["ClassicRMSNorm"]}
    convert(
        Request([GOLDEN / "coarse.pth"], bundle, codec=CODEC, rule_directories=[tmp_path / "rules"], **names)
    )
    (row,) = not_passed(bundle).values()
    assert "rule MyRMSNorm, which fired, is not known here" in row.problem
    known = load_plugins(directories=[tmp_path / "rules"])
    checks = check_weights(bundle, read_manifest(bundle), located(bundle), known)
    assert {row.verdict for row in checks["coarse"]} == {"pass"}
    assert [row.ulps for row in checks["coarse"] if row.name == NORM] == [0]


def test_progress(bundle):
    done = []
    check_weights(bundle, read_manifest(bundle), located(bundle), advance=done.append)
    assert sum(done) == sum(stored_sizes(bundle).values())
