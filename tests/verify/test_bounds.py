"""A part in another precision is held to bounds of its own, what is wrong beyond them is seen, and it is told."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from vampconv_rules.int8 import QuantizeGatedProduct, QuantizeProduct

from vampconv.convert import Request, convert
from vampconv.emit.standing import ACCURACY
from vampconv.errors import InputOutputError
from vampconv.plugins import Plugin
from vampconv.verify.bounds import BOUNDS, bounds_of, reduced
from vampconv.verify.result import PartResult, Tokens, Verdict
from vampconv.verify.verify import Request as Wanted
from vampconv.verify.verify import verify

from ..common import ROOT, manifest

TRAINED = ROOT / "fixtures" / "trained"
CHECKPOINTS = [TRAINED / "coarse.pth", TRAINED / "codec.pth"]
RULES = {"QuantizeGatedProduct", "QuantizeProduct"}


def converted(output, **options):
    request = {"codec": TRAINED / "codec.pth", "precision": "int8", **options}
    convert(Request([TRAINED / "coarse.pth"], output, **request))
    return output


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return converted(tmp_path_factory.mktemp("bounds") / "out")


@pytest.mark.parametrize(("target", "precision"), [("portable", "int8"), ("ort", "int8"), ("ort", "int4")])
def test_every_value_is_accounted_for_and_within_its_bound(tmp_path, target, precision):
    made = converted(tmp_path / "out", target=target, precision=precision)
    found = verify(Wanted(made, CHECKPOINTS, layerwise=True, lengths=(13,), batches=(2,), threads=1))
    (part,) = found.parts
    assert (found.verdict, found.problems, part.problems) == (Verdict.PASS, [], [])
    assert part.coverage.share >= 0.95
    assert part.coverage.unaccounted == ()
    assert all(w.verdict is Verdict.PASS for w in part.weights)
    loose = {c.value for c in part.comparisons if c.bound == BOUNDS[precision].error}
    assert 0.5 < len(loose) / len(part.comparisons) < 1
    strict = [c for c in part.comparisons if c.value not in loose]
    assert any(c.module.startswith("embedding") for c in strict)
    assert max(c.bound for c in strict) < 1e-4
    assert [loop.problem for loop in part.loops] == ["", ""]


class QuantizeGatedProductRoughly(QuantizeGatedProduct):
    """With 4 bits of the weight."""

    @staticmethod
    def after(op, value, gate, weight):
        return rough(op, op.Mul(value, gate), weight)


class QuantizeProductRoughly(QuantizeProduct, after="QuantizeGatedProductRoughly"):
    """With 4 bits of the weight."""

    @staticmethod
    def after(op, x, weight):
        return rough(op, x, weight)


def rough(op, x, weight):
    columns = op.Transpose(weight, perm=[1, 0])
    scales = op.Div(op.ReduceMax(op.Abs(columns), axes=[-1], keepdims=1), 7.0)
    matrix = op.Transpose(op.Cast(op.Round(op.Div(columns, scales)), to=3), perm=[1, 0])
    whole, step, zero = op.DynamicQuantizeLinear(x, outputs=3)
    product = op.Cast(op.MatMulInteger(whole, matrix, zero), to=1)
    return op.Mul(product, op.Mul(step, op.Squeeze(scales, [1])))


def test_a_bundle_that_is_further_off_fails(tmp_path):
    plugin = Plugin([QuantizeGatedProductRoughly, QuantizeProductRoughly])
    made = converted(tmp_path / "out", plugins=[plugin], disable=sorted(RULES))
    found = verify(Wanted(made, CHECKPOINTS, lengths=(100,), batches=(1,), threads=1, plugins=[plugin]))
    assert found.verdict is Verdict.FAIL
    problems = found.parts[0].beyond()
    assert any("the distributions diverge" in p for p in problems)


def test_the_same_flips_fail_in_float32_and_pass_in_few_bits():
    part = PartResult("coarse", tokens=Tokens(1000, 980, 5, 15, 1e-4))
    assert part.beyond() == ["15 tokens REAL"]
    part.bounds = BOUNDS["int8"]
    assert part.beyond() == []
    part.tokens = Tokens(1000, 900, 5, 95, 1e-4)
    assert part.beyond() == ["90.5% of 1000 tokens agree, and 95% must in int8"]
    part.tokens = Tokens(1000, 1000, 0, 0, float("nan"))
    assert "diverge by nan" in part.beyond()[0]
    with pytest.raises(InputOutputError, match="no bounds for the precision int3"):
        bounds_of("int3")


def test_what_comes_before_the_precision_is_held_to_float32(bundle):
    model = onnx.load(bundle / "coarse.onnx", load_external_data=False)
    values = reduced(model, BOUNDS["int8"], RULES).values
    assert {o.name for o in model.graph.output} <= values
    before = {o for n in model.graph.node for o in n.output} - values
    assert any(name.startswith("/embedding") for name in before)
    assert any("/layers/0/norm_1" in name for name in before)
    assert not any("/layers/1/norm_1" in name for name in before)


def test_accuracy_is_told_beside_the_bundle_and_goes_with_it(vampconv, bundle):
    files = {p.name: p.read_bytes() for p in bundle.iterdir() if p.name != ACCURACY}
    arguments = [x for c in CHECKPOINTS for x in ("--against", c)]
    ran = vampconv("verify", bundle, *arguments, "--lengths", "100", "--batches", "1")
    assert ran.code == 0, ran.err
    facts = json.loads((bundle / ACCURACY).read_text())
    part = facts["parts"]["coarse"]
    assert part["precision"] == "int8"
    assert part["positions"] == 200
    assert part["agreement"] > 0.95
    assert 1e-6 < part["divergence_nats"] < 1e-3
    assert 1e-4 < part["output_error"] < 0.05
    assert part["bounds"]["divergence"] == BOUNDS["int8"].divergence
    assert "coarse in int8: " in ran.out
    assert ACCURACY not in manifest(bundle)["files"]
    assert {p.name: p.read_bytes() for p in bundle.iterdir() if p.name != ACCURACY} == files
    converted(bundle, force=True)
    assert not (bundle / ACCURACY).exists()
    assert np.all([files[p.name] == p.read_bytes() for p in bundle.iterdir()])
