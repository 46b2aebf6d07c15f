"""Random architectures of odd sizes, in every container, against the torch reference in float64."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument
from safetensors.torch import save_file
from torch.package import PackageExporter

from vampconv.convert import Request, convert
from vampconv.reference.codec_tables import codec_tables
from vampconv.reference.config import VampNetConfig
from vampconv.reference.random_checkpoint import checkpoint, random_codec_tables, random_state_dict
from vampconv.reference.vampnet import VampNetReference

from ..common import OPSETS

LENGTHS = (1, 2, 13, 40, 97, 600)
EPSILON = 2.0**-24

ODD = VampNetConfig(
    n_heads=3, n_layers=2, n_codebooks=3, latent_dim=3, embedding_dim=15, vocab_size=7, flash_attn=False
)
C2F = replace(ODD, n_codebooks=5, n_conditioning_codebooks=2, n_heads=5, embedding_dim=35)
FLASH = replace(ODD, flash_attn=True)


class Case:
    """A random checkpoint in some container, and what it is a checkpoint of.

    `options` are those of `random_state_dict`; `keep` says which tensors are saved, `write` how.
    """

    def __init__(
        self, config=ODD, *, keep=lambda _: True, rename=str, write=None, dtype=None, more=0, **options
    ):
        self.config = config
        self.state = {n: t for n, t in random_state_dict(config, 3, **options).items() if keep(n)}
        if dtype is not None:
            self.state = {n: t.to(dtype) for n, t in self.state.items()}
            if dtype == torch.float64:
                self.state = {n: t + 1e-9 * t.cos() for n, t in self.state.items()}
        self.tables = random_codec_tables(config.n_codebooks + more, config.vocab_size, config.latent_dim, 4)
        self.rename = rename
        self.write = write or (lambda state, kwargs, path: torch.save(checkpoint(state, kwargs), path))

    def save(self, directory):
        path = directory / "model.pth"
        self.write({self.rename(n): t for n, t in self.state.items()}, self.config.to_kwargs(), path)
        torch.save(checkpoint(self.tables, {}), directory / "codec.pth")
        return [path, directory / "codec.pth"]

    @property
    def part(self):
        return "c2f" if self.config.n_conditioning_codebooks else "coarse"

    def reference(self, dtype):
        dim = self.config.embedding_dim
        state = dict(self.state)
        if self.config.flash_attn:  # the reference's FlashMHA always has biases
            for i in range(self.config.n_layers):
                for name, rows in (("Wqkv", 3 * dim), ("out_proj", dim)):
                    state.setdefault(f"transformer.layers.{i}.self_attn.{name}.bias", torch.zeros(rows))
        tables = codec_tables(self.tables)
        return VampNetReference.from_state_dict(state, self.config.to_kwargs(), tables, dtype=dtype)

    def inputs(self, batch, time):
        generator = np.random.default_rng(time)
        shape = (batch, self.config.n_codebooks, time)
        # Every code from 0 to the mask token, in a random order, again and again.
        codes = generator.permutation(np.arange(np.prod(shape)) % (self.config.vocab_size + 1)).reshape(shape)
        feeds = {"codes": codes.astype(np.int64)}
        if self.config.r_cond_dim:
            feeds["r"] = generator.random(batch, np.float32)
            feeds["r"][:2] = (1.0, 0.0)[:batch]
        for name, dim in self.config.ctrl_dims.items():
            feeds[f"ctrl.{name}"] = generator.standard_normal((batch, dim, time), np.float32)
            feeds[f"ctrl_mask.{name}"] = generator.integers(0, 2, (batch, time)).astype(np.float32)
        return feeds


def call(model, feeds):
    tensors = {k: torch.from_numpy(v) for k, v in feeds.items()}
    controls = {k.removeprefix("ctrl."): v for k, v in tensors.items() if k.startswith("ctrl.")}
    masks = {k.removeprefix("ctrl_mask."): v for k, v in tensors.items() if k.startswith("ctrl_mask.")}
    logits = model(tensors["codes"], tensors.get("r"), controls or None, masks or None)
    return logits.numpy().transpose(0, 2, 1)


def without(*endings):
    return lambda name: not name.endswith(endings)


def bare(state, _kwargs, path):
    torch.save(state, path)


def as_safetensors(state, kwargs, path):
    save_file(state, path, metadata={"kwargs": json.dumps(kwargs)})


def bare_safetensors(state, _kwargs, path):
    save_file(state, path)


def as_package(metadata):
    def write(state, kwargs, path):
        model = VampNetReference(VampNetConfig.from_kwargs(kwargs))
        model.load_state_dict(state)
        with PackageExporter(path) as exporter:
            exporter.extern(["torch.**", "vampconv.**"])
            exporter.save_pickle("VampNet", "VampNet.pth", model)
            if metadata:
                exporter.save_pickle("VampNet", "VampNet.metadata", {"kwargs": kwargs})

    return write


def lacking(*names):
    def write(state, kwargs, path):
        torch.save(checkpoint(state, {k: v for k, v in kwargs.items() if k not in names}), path)

    return write


SIZES = ("n_heads", "n_layers", "n_codebooks", "n_conditioning_codebooks", "latent_dim", "embedding_dim")
SOME_PAIRS = ("0.self_attn.w_qs.lora_A", "0.self_attn.w_qs.lora_B", "1.feed_forward.w_2.lora_A")
SOME_PAIRS += ("1.feed_forward.w_2.lora_B", "1.self_attn.fc.lora_A", "1.self_attn.fc.lora_B")
CASES = {
    "three heads": {},
    "one head": {"config": replace(ODD, n_heads=1)},
    "one feature to a head": {"config": replace(ODD, n_heads=5, embedding_dim=5)},
    "five heads, two of five codebooks condition": {"config": C2F},
    "all but one codebook condition": {"config": replace(C2F, n_conditioning_codebooks=4)},
    "as small as can be": {
        "config": replace(
            ODD, n_heads=1, n_layers=1, n_codebooks=1, embedding_dim=1, latent_dim=1, vocab_size=1
        )
    },
    "one codebook": {"config": replace(ODD, n_codebooks=1, n_layers=1)},
    "no pairs": {"lora": False},
    "some pairs": {"keep": without(*SOME_PAIRS)},
    "flash": {"config": FLASH},
    "flash without bias": {"config": FLASH, "keep": without("Wqkv.bias", "self_attn.out_proj.bias")},
    "flash, one bias": {"config": FLASH, "keep": without("0.self_attn.Wqkv.bias")},
    "two controls": {"config": replace(ODD, ctrl_dims={"rmsq16": 1, "hchroma-36c": 5})},
    "three controls": {"config": replace(C2F, ctrl_dims={"a b/c": 2, "c": 1, "d": 3})},
    "FiLM 10": {"config": replace(ODD, r_cond_dim=10)},
    "FiLM 7": {"config": replace(C2F, r_cond_dim=7)},
    "FiLM 4 and a control": {"config": replace(ODD, r_cond_dim=4, ctrl_dims={"x": 2})},
    "FiLM and flash": {"config": replace(FLASH, r_cond_dim=5)},
    "compiled": {"rename": lambda name: f"_orig_mod.{name}"},
    "compiled in part": {"rename": lambda name: name.replace("transformer.", "transformer._orig_mod.")},
    "float16": {"dtype": torch.float16},
    "bfloat16": {"dtype": torch.bfloat16},
    "float64": {"dtype": torch.float64},
    "safetensors": {"write": as_safetensors},
    "bare safetensors in bfloat16": {"write": bare_safetensors, "dtype": torch.bfloat16},
    "package": {"write": as_package(metadata=False)},
    "package with metadata": {"config": C2F, "write": as_package(metadata=True)},
    "bare state dict": {"write": bare},
    "bare c2f": {"config": C2F, "write": bare},
    "codec with more codebooks": {"more": 3},
    "no sizes in the metadata": {"config": C2F, "write": lacking(*SIZES)},
    "no vocabulary in the metadata": {
        "config": C2F,
        "write": lacking("vocab_size", "flash_attn", "ctrl_dims"),
    },
}
WRITING = {"rename", "write"}
"""Options that say how a checkpoint is written, and not what it holds: no opset makes a difference to them."""


def contents_of(name):
    """What decides a case's logits."""
    return {key: value for key, value in CASES[name].items() if key not in WRITING}


PAIRS = [
    (name, opset)
    for opset in OPSETS
    for name in CASES
    if opset in (OPSETS[0], OPSETS[-1]) or not WRITING & CASES[name].keys()
]
cases = pytest.mark.parametrize("name", CASES)
opsets = pytest.mark.parametrize("opset", OPSETS)


@cache
def case_of(name):
    return Case(**CASES[name])


@cache
def truth_of(name, time):
    """Inputs, and the logits of torch in float64 and in float32, for a batch of three."""
    first = next(other for other in CASES if contents_of(other) == contents_of(name))
    if first != name:
        return truth_of(first, time)
    case = case_of(name)
    feeds = case.inputs(3, time)
    return feeds, call(case.reference(torch.float64), feeds), call(case.reference(torch.float32), feeds)


@pytest.fixture(scope="module")
def bundles(workshop):
    @cache
    def make(name, opset):
        output = workshop.place() / "bundle"
        convert(Request(case_of(name).save(output.parent), output, opset=opset))
        return output

    return make


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize(("name", "opset"), PAIRS)
def test_every_length_and_batch(workshop, relative, record_property, bundles, name, opset):
    case = case_of(name)
    session = workshop.session(bundles(name, opset), case.part)
    errors = {}
    for time in LENGTHS:
        feeds, truth, narrow = truth_of(name, time)
        for rows in (slice(3), slice(1, 3), slice(2, 3)):
            found = workshop.logits(session, {key: value[rows] for key, value in feeds.items()})
            assert found.dtype == np.float32
            of_torch = relative(narrow[rows], truth[rows])
            errors[rows.start or 0, time] = error = relative(found, truth[rows])
            assert error <= max(4 * of_torch, 16 * EPSILON), (rows, time, of_torch)
            assert error <= 1e-5 or of_torch > 2.5e-6
    record_property("largest error", max(errors.values()))


def test_every_code_is_used():
    for name in CASES:
        case = case_of(name)
        codes = case.inputs(3, 600)["codes"]
        assert all(
            set(codes[:, i].flat) == set(range(case.config.vocab_size + 1)) for i in range(codes.shape[1])
        )


@opsets
@pytest.mark.parametrize("name", ["three heads", "five heads, two of five codebooks condition", "flash"])
def test_codes_out_of_range_never_read_another_row(workshop, bundles, name, opset):
    case = case_of(name)
    session = workshop.session(bundles(name, opset), case.part)
    feeds = case.inputs(2, 13)
    vocab = case.config.vocab_size
    workshop.logits(session, feeds)
    for wrong in (
        -1,
        -2,
        -vocab,
        -vocab - 1,
        -vocab - 2,
        vocab + 1,
        vocab + 2,
        2**31,
        2**32,
        2**63 - 1,
        -(2**63),
    ):
        for codebook in range(case.config.n_codebooks):
            codes = feeds["codes"].copy()
            codes[1, codebook, 7] = wrong
            with pytest.raises(InvalidArgument, match="indices element out of data bounds"):
                workshop.logits(session, feeds | {"codes": codes})
    workshop.logits(session, feeds)


@opsets
def test_wrong_inputs_are_refused(workshop, bundles, opset):
    session = workshop.session(bundles("three heads", opset))
    for shape in ((1, 2, 5), (1, 4, 5), (3, 5)):
        with pytest.raises(InvalidArgument):
            workshop.logits(session, {"codes": np.zeros(shape, np.int64)})
    with pytest.raises(InvalidArgument):
        workshop.logits(session, {"codes": np.zeros((1, 3, 5), np.int32)})


@cases
def test_opset_17_is_the_default(workshop, bundles, name):
    output = workshop.place() / "bundle"
    convert(Request(case_of(name).save(output.parent), output))
    part = f"{case_of(name).part}.onnx"
    assert (output / part).read_bytes() == (bundles(name, 17) / part).read_bytes()
