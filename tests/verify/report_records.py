"""Synthetic verifications for the tests of reports."""

from __future__ import annotations

import math

import numpy as np

from vampconv.verify.result import (
    Case,
    Comparison,
    Coverage,
    Explained,
    Fault,
    HeadRoom,
    NonFinite,
    PartResult,
    Sound,
    Tokens,
    Verdict,
    Verification,
    WeightCheck,
)

CASES = (Case(1, 1, 0), Case(2, 13, 1))
FLOOR = 16 * 2**-24
HOSTILE = "</script><script>alert('x')</script>"
NAMES = (
    HOSTILE,
    "[bold]m[/]arkup[/red]",
    "a\x00b\x1b[31m\nc\u202ed\ud800",
    "]]>&amp;'\"",
    "http://x.test/",
    "{{ 7*7 }}",
)


def comparison(
    module: str, case: Case = CASES[0], ort: float = 2e-7, torch: float = 3e-7, **more
) -> Comparison:
    """A comparison with the verdict that its errors have."""
    bound = max(4 * torch, FLOOR)
    verdict = Verdict.PASS if ort <= bound else Verdict.WARN if ort <= 4 * bound else Verdict.FAIL
    fields = {
        "value": f"{module}.out",
        "stands_for": module,
        "rules": ("StandardRMSNorm",),
        "shape": (2, 13, 64),
    }
    fields |= {"worst_index": (1, 12, 63), "worst_found": 1.25, "worst_truth": 1.2500004, "verdict": verdict}
    return Comparison(
        module=module, case=case, error_ort=ort, error_torch=torch, bound=bound, **{**fields, **more}
    )


def part(
    name: str = "coarse", layers: int = 20, wrong_from: int | None = None, off: float = 900.0
) -> PartResult:
    """A part whose values are off by a factor from some layer on."""
    random = np.random.default_rng(layers)
    ops = (
        "norm_1",
        "norm_1.scaled",
        "self_attn",
        "self_attn.w_qs",
        "self_attn.fc",
        "norm_3",
        "feed_forward",
        "add",
    )
    found = PartResult(name, seconds=2.5)
    for case in CASES:
        for i in range(layers):
            for op in ops:
                torch = float(2.5e-7 * (1 + i / 8) * random.lognormal(0, 0.35))
                ort = torch * float(random.lognormal(0.1, 0.3))
                if wrong_from is not None and (i, op) >= (wrong_from, "self_attn"):
                    ort *= off * float(random.lognormal(0, 0.4))
                found.comparisons.append(comparison(f"transformer.layers.{i}.{op}", case, ort, torch))
    values = len(ops) * layers
    inside = [Explained(f"node_{i}", "inside Attention, fused by ONNX Runtime") for i in range(values // 8)]
    shapes = [Explained(f"shape_{i}", "shape arithmetic: integers") for i in range(12)]
    calls = (Explained("dropout", "identity in evaluation"),)
    found.coverage = Coverage(
        values + len(inside) + 12, values, (*inside, *shapes), values + 1, values, calls, ()
    )
    found.tokens = Tokens(10240, 10238, 2, 0, 3.1e-12)
    found.weights = [weight(f"layers.{i}.weight") for i in range(4 * layers)]
    found.head_room = [HeadRoom(f"layers.{i}.logits", f"layers.{i}", 40.0 * 4**i) for i in range(7)]
    found.heat_maps = {
        f"transformer.layers.{i}.add.out": (
            10 ** random.normal(-7 + np.linspace(0, 2, 24), 0.4, (48, 24))
        ).tolist()
        for i in (3, 11)
    }
    found.taps_agree = True
    return found


def weight(name: str, ulps: int = 0, verdict: Verdict = Verdict.PASS) -> WeightCheck:
    return WeightCheck("coarse.onnx", name, (f"coarse.pth:{name}",), ulps, "ab" * 32, "ab" * 32, verdict)


def audio_part() -> PartResult:
    """A part with sounds, and values that are exact."""
    found = PartResult("decoder", [comparison(f"decoder.model.{i}", ort=0.0) for i in range(6)], seconds=0.7)
    found.sounds = [
        Sound("decoder", 131.2, 3.1e-7, ("sounds/decoder reference.wav", "sounds/decoder onnx.wav"))
    ]
    return found


LEDGER = (
    {
        "file": "coarse.pth",
        "kind": "vampnet",
        "format": "torch.save",
        "bytes": 1300000,
        "sha256": "12" * 32,
        "tensors": [
            {
                "name": "layers.0.weight",
                "shape": [4, 4],
                "dtype": "float32",
                "fate": "used",
                "uses": ["coarse.onnx:w"],
            },
            {
                "name": "film.weight",
                "shape": [0, 4],
                "dtype": "float32",
                "fate": "dropped",
                "reason": "NoOpFiLM: no condition",
            },
            {
                "name": "lora_A",
                "shape": [4, 1],
                "dtype": "float32",
                "fate": "overridden",
                "reason": "by fine-tune.pth",
            },
        ],
    },
)


def verification(*parts: PartResult, **more) -> Verification:
    fields = {
        "environment": {
            "vampconv": "0.1.0",
            "torch": "2.13.0",
            "onnxruntime": "1.31.1",
            "processor": "x86-64, AVX-512",
            "threads": "1",
        },
        "inputs": {"coarse.pth": "12" * 32, "bundle/coarse.onnx": "34" * 32},
        "ledger": LEDGER,
        "seconds": 8.25,
    }
    return Verification("coarse-onnx", list(parts), **{**fields, **more})


def passing() -> Verification:
    return verification(part(), audio_part())


def warning() -> Verification:
    return verification(part(wrong_from=19, off=6.0), audio_part())


def failing() -> Verification:
    """Layer 11 is wrong, and all after it; beside it a weight, tokens, and a lost value."""
    bad = part(wrong_from=11)
    first = bad.comparisons[11 * 8 + 2]
    rules, cause = ("FusedAttention",), "without FusedAttention it is right"
    bad.faults = [
        Fault(first.value, first.stands_for, first.module, 3.1e-3, rules, True, cause, "repro/coarse-0")
    ]
    bad.tokens = Tokens(10240, 10100, 2, 138, 2.2e-2)
    assert bad.coverage
    bad.coverage = Coverage(180, 160, bad.coverage.values_explained[:19], 161, 160, (), ("layers.11.lost",))
    bad.weights[5] = weight("layers.1.bias", 3, Verdict.FAIL)
    bad.problems = ["138 tokens are REAL flips", "layers.11.lost is neither compared nor explained"]
    return verification(bad, audio_part())


def not_finite() -> Verification:
    """NaN in the graph and in the reference, an infinite error, a comparison of nothing."""
    c2f = part("c2f", 3)
    problems = {2: "NaN where the reference has none", 9: "shape [4, 1] instead of [4, 4]"}
    for i, problem in problems.items():
        module = c2f.comparisons[i].module
        nan = math.nan if i == 2 else math.inf
        c2f.comparisons[i] = comparison(
            module, ort=nan, problem=problem, verdict=Verdict.FAIL, worst_found=nan
        )
    c2f.non_finite = [NonFinite("graph", "layers.0.self_attn.out", "layers.0.self_attn", CASES[0])]
    c2f.heat_maps = {"layers.0.self_attn.out": [[math.nan, 1e-3], [0.0, math.inf]]}
    c2f.sounds = [Sound("c2f", math.inf, math.nan)]
    return verification(c2f)


def empty() -> Verification:
    return verification(inputs={}, environment={}, ledger=())


def hostile() -> Verification:
    """Every text is an attack."""
    bad = PartResult(HOSTILE)
    for i, name in enumerate(NAMES):
        bad.comparisons.append(
            comparison(name, ort=1.0, value=f"{name}{i}", stands_for=name, rules=(name,), problem=name)
        )
    bad.coverage = Coverage(
        2, 1, (Explained(HOSTILE, HOSTILE),), 1, 1, (Explained(HOSTILE, NAMES[2]),), NAMES
    )
    bad.weights = [WeightCheck(name, name, (name,), 9, name, name, Verdict.FAIL, name) for name in NAMES]
    bad.non_finite = [NonFinite(HOSTILE, name, name, CASES[0]) for name in NAMES]
    bad.head_room = [HeadRoom(HOSTILE, NAMES[1], 1e9)]
    bad.faults = [Fault(name, name, name, 1.0, (name,), False, name, name) for name in NAMES]
    files = (
        "//x.test/a.wav",
        "http://x.test/a.wav",
        "javascript:alert(1).wav",
        f"{HOSTILE}.wav",
        NAMES[2],
        "../a.wav",
    )
    bad.sounds = [Sound(HOSTILE, 1.0, 1.0, files)]
    bad.heat_maps = {name: [[1.0, 2.0]] for name in NAMES}
    bad.problems = list(NAMES)
    tensors = [{"name": name, "fate": name, "reason": name} for name in NAMES]
    ledger = [{"file": name, "kind": name, "tensors": tensors} for name in NAMES]
    texts = dict.fromkeys(NAMES, HOSTILE)
    found = verification(bad, environment=texts, inputs=texts, ledger=ledger, problems=list(NAMES))
    found.bundle = HOSTILE
    return found


def large() -> Verification:
    """3,000 values in as many modules."""
    return verification(part(layers=375, wrong_from=200))


ALL = {
    "pass": passing,
    "warn": warning,
    "fail": failing,
    "not finite": not_finite,
    "empty": empty,
    "hostile": hostile,
    "large": large,
}
