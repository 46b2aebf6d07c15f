"""Sound files of models that cannot be, and metadata that lie."""

from __future__ import annotations

import numpy as np

from . import archives
from .case import CONVERT, Case, altered, codec, weights
from .pickles import Raw, call, encode

NORM = "transformer.norm.weight"
ONLY = (CONVERT,)


def with_kwargs(**kwargs):
    return lambda _place: altered(kwargs=kwargs)


def with_weights(**changes):
    return lambda _place: altered(changes)


def other_codec(arrays, kwargs):
    def make(place) -> None:
        (place / "codec.pth").write_bytes(archives.checkpoint(arrays, kwargs))

    return make


def spoiled_codec(change):
    def make(place) -> None:
        (place / "codec.pth").write_bytes(change(codec()))

    return make


def tables(count=2, size=7, dim=3, kind=np.float32):
    return {f"quantizer.quantizers.{i}.codebook.weight": np.ones((size, dim), kind) for i in range(count)}


def golden(name: str, change, key: str = "hyper_parameters"):
    """A golden checkpoint whose metadata are changed."""

    def make(place) -> None:
        import torch

        from ..common import GOLDEN

        saved = torch.load(GOLDEN / f"{name}.pth", weights_only=True)
        saved[key] = change(dict(saved[key]))
        torch.save(saved, place / "model.pth")

    return make


def beats(**changes):
    return golden("wavebeat", lambda given: {**given, **changes})


def lac(**changes):
    return golden("codec", lambda given: {**given, "kwargs": {**given["kwargs"], **changes}}, "metadata")


def spread(value, last: bool = False):
    changed = weights()[NORM].copy()
    changed[-1 if last else 0] = value
    return with_weights(**{NORM: changed})


ALONE = (("convert", "model.pth", "-o", "out", "--force"),)
DIGITS = Raw(encode(10**400))
CASES = [
    Case("a billion layers", 3, "n_layers=1000000000", with_kwargs(n_layers=10**9), ONLY),
    Case(
        "a billion layers in a name",
        3,
        "misses every tensor of transformer.layers.1",
        with_weights(**{"transformer.layers.1000000000.norm_1.weight": np.ones(6, np.float32)}),
        ONLY,
    ),
    Case(
        "a layer of 400 digits",
        3,
        "misses|name",
        with_weights(**{f"transformer.layers.{'9' * 400}.norm_1.weight": np.ones(6, np.float32)}),
        ONLY,
    ),
    Case(
        "a layer of 4000 digits",
        3,
        "misses|digits|name",
        with_weights(**{f"transformer.layers.{'9' * 4000}.norm_1.weight": np.ones(6, np.float32)}),
        ONLY,
    ),
    Case("negative layers", 3, "n_layers=-1", with_kwargs(n_layers=-1), ONLY),
    Case("NaN layers", 3, "n_layers=nan", with_kwargs(n_layers=float("nan")), ONLY),
    Case("infinite heads", 3, "n_heads=inf", with_kwargs(n_heads=float("inf")), ONLY),
    Case("NaN vocabulary", 3, "vocabulary", with_kwargs(vocab_size=float("nan")), ONLY),
    Case("vocabulary of nothing", 3, "vocab", with_kwargs(vocab_size=0), ONLY),
    Case("vocabulary of 400 digits", 3, "rows|vocab", with_kwargs(vocab_size=DIGITS), ONLY),
    Case("layers of 400 digits", 3, "n_layers=", with_kwargs(n_layers=DIGITS), ONLY),
    Case("layers of text", 3, "n_layers='1'", with_kwargs(n_layers="1"), ONLY),
    Case("layers of a list", 3, r"n_layers=\[1\]", with_kwargs(n_layers=[1]), ONLY),
    Case(
        "layers of an array",
        3,
        "an array of shape",
        with_kwargs(
            n_layers=call(
                "numpy._core.numeric._frombuffer",
                bytes(16),
                call("numpy.dtype", "f8", False, True),
                (2,),
                "C",
            )
        ),
        ONLY,
    ),
    Case("layers of an object", 3, "n_layers=", with_kwargs(n_layers=call("x.Y", 3)), ONLY),
    Case(
        "an argument with an escape",
        4,
        r"noise_mode='\\x1b\[2J",
        with_kwargs(noise_mode="\x1b[2J\nvampconv: error[0]: x; y"),
        ONLY,
    ),
    Case("an argument of a megabyte", 4, "…", with_kwargs(noise_mode="x" * 1_000_000), ONLY),
    Case(
        "arguments that are a list",
        3,
        "as its metadata",
        lambda _: archives.around(
            b"\x80\x02" + encode({"state_dict": archives.state(weights())[0], "metadata": [1]}) + b".",
            archives.state(weights())[1],
        ),
        ONLY,
    ),
    Case(
        "no arguments and a codec that does not fit",
        3,
        "rows",
        lambda place: (other_codec(tables(2, 5), {})(place), archives.checkpoint(weights(), {}))[1],
        ONLY,
    ),
    Case("a weight is missing", 3, f"misses tensor {NORM}", with_weights(**{NORM: None}), ONLY),
    Case(
        "a weight of another shape",
        3,
        f"{NORM} \\[7\\]",
        with_weights(**{NORM: np.ones(7, np.float32)}),
        ONLY,
    ),
    Case("a weight without a shape", 3, NORM, with_weights(**{NORM: np.ones((), np.float32)}), ONLY),
    Case("a weight without elements", 3, NORM, with_weights(**{NORM: np.ones(0, np.float32)}), ONLY),
    Case("a weight that is NaN", 3, f"{NORM} holds 1 non-finite", spread(np.nan), ONLY),
    Case("a weight that is infinite", 3, f"{NORM} holds 1 non-finite", spread(np.inf, last=True), ONLY),
    Case(
        "a weight beyond float32",
        3,
        f"{NORM} holds 6 non-finite",
        with_weights(**{NORM: np.full(6, 1e300)}),
        ONLY,
    ),
    Case(
        "a weight too many",
        4,
        "unexpected tensor mystery.weight",
        with_weights(**{"mystery.weight": np.ones(2, np.float32)}),
        ONLY,
    ),
    Case(
        "a weight named like a path",
        4,
        "unexpected tensor",
        with_weights(**{"../../etc/passwd": np.ones(2, np.float32)}),
        ONLY,
    ),
    Case(
        "a weight named like markup",
        4,
        r"unexpected tensor \[red\]",
        with_weights(**{"[red]x[/red]": np.ones(2, np.float32)}),
        ONLY,
    ),
    Case(
        "a weight twice, once compiled",
        3,
        "twice, with and without _orig_mod",
        with_weights(**{f"_orig_mod.{NORM}": np.ones(6, np.float32)}),
        ONLY,
    ),
    Case(
        "no model",
        4,
        "no known model",
        lambda _: archives.checkpoint({"fc.weight": np.ones(2, np.float32)}),
        ONLY,
    ),
    Case(
        "a thousand weights that no model has",
        4,
        "no known model",
        lambda _: archives.checkpoint({f"w{i}": np.ones(1, np.float32) for i in range(1000)}),
        ONLY,
    ),
    Case(
        "heads that do not divide",
        3,
        "do not divide",
        with_weights(
            **{"transformer.layers.0.self_attn.relative_attention_bias.weight": np.ones((32, 4), np.float32)}
        ),
        ONLY,
    ),
    Case("codec of fewer codebooks", 3, "has 1 codebooks", other_codec(tables(1), {}), ONLY),
    Case("codec of integers", 3, "floating-point", other_codec(tables(kind=np.int64), {}), ONLY),
    Case("codec that is cut", 3, "codec.pth", spoiled_codec(lambda data: data[:-30]), ONLY),
    Case(
        "codec that is a transformer", 2, "coarse|two|several|codec", spoiled_codec(lambda _: altered()), ONLY
    ),
    Case("whole codec of a NaN rate", 3, "sample_rate=nan", lac(sample_rate=float("nan")), ALONE),
    Case("whole codec of other strides", 3, "encoder_rates", lac(encoder_rates=[10**9]), ALONE),
    Case("whole codec of a billion codebooks", 3, "n_codebooks=1000000000", lac(n_codebooks=10**9), ALONE),
    Case("beat tracker of a billion blocks", 3, "nblocks=1000000000", beats(nblocks=10**9), ALONE),
    Case("beat tracker of a NaN stride", 3, "stride=nan", beats(stride=float("nan")), ALONE),
    Case("beat tracker of a stride of 400 digits", 3, "stride", beats(stride=10**400), ALONE),
    Case("beat tracker of an endless dilation", 3, "dilation_growth", beats(dilation_growth=10**12), ALONE),
    Case(
        "beat tracker of a NaN frame rate",
        3,
        "target_sample_rate=nan",
        beats(target_sample_rate=float("nan")),
        ALONE,
    ),
    Case(
        "beat tracker of an infinite frame rate",
        3,
        "target_sample_rate=inf",
        beats(target_sample_rate=float("inf")),
        ALONE,
    ),
    Case("beat tracker of another norm", 4, "norm_type", beats(norm_type="x\n\x1b[0m"), ALONE),
    Case("beat tracker of no hyper-parameters", 3, "stride", golden("wavebeat", lambda _: {}), ALONE),
]
