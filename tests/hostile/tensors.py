"""Tensors whose sizes lie, and kinds of tensors that there is no reading."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from .archives import bare, safetensors
from .case import CONVERT, INSPECT, Case, altered, of
from .pickles import Raw, call, group, items, name, storage, tensor


def one(*arguments, **options):
    """A state dict of one tensor over 16 bytes."""
    return lambda _place: bare(items([("w", tensor(*arguments, **options))]))


def value(opcodes: bytes):
    return lambda _place: bare(items([("good", tensor()), ("w", Raw(opcodes))]))


V2 = "torch._utils._rebuild_tensor_v2"
V3 = "torch._utils._rebuild_tensor_v3"
F32 = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


def sheaf(header, data=bytes(16)):
    return of(safetensors(header, data))


BOUNDS = {
    "negative offset": ({"offset": -1, "shape": (2,)}, 3, "cannot be"),
    "negative size": ({"shape": (-2,)}, 3, "cannot be"),
    "negative stride": ({"shape": (2,), "stride": (-1,)}, 3, "cannot be"),
    "more strides than sizes": ({"shape": (2,), "stride": (1, 1)}, 3, "cannot be"),
    "one element too many": ({"shape": (5,)}, 3, "reaches beyond its storage"),
    "offset of one too many": ({"offset": 2, "shape": (3,)}, 3, "reaches beyond its storage"),
    "stride beyond the storage": ({"shape": (2, 2), "stride": (3, 1)}, 3, "reaches beyond its storage"),
    "offset of an exabyte": ({"offset": 1 << 60, "shape": (1,)}, 3, "reaches beyond its storage"),
    "size of 2^80": ({"shape": (1 << 40, 1 << 40), "stride": (0, 0)}, 8, "more elements"),
    "size of 2^80 with a zero": ({"shape": (0, 1 << 40, 1 << 40), "stride": (1, 1, 1)}, 8, "more elements"),
    "expansion to 2 GB": ({"shape": (1 << 29,), "stride": (0,)}, 8, "expands"),
    "expansion to 900 MB": ({"shape": (225_000_000,), "stride": (0,)}, 8, "expands"),
    "65 dimensions": ({"shape": (1,) * 65}, 8, "dimensions"),
    "sizes that are no numbers": ({"shape": ("a",), "stride": (1,)}, 3, "no integer"),
    "sizes that are truths": ({"shape": (True,), "stride": (1,)}, 3, "no integer"),
    "offset that is no number": ({"offset": None}, 3, "no state dict"),
    "storage of more elements than it has": ({"count": 5, "shape": (4,)}, 3, "needs 20 bytes"),
    "storage of a negative size": ({"count": -4}, 3, "needs -16 bytes"),
    "storage of 2^62 elements": ({"count": 1 << 62}, 3, "needs"),
    "storage of wider elements": ({"kind": "DoubleStorage"}, 3, "needs 32 bytes"),
    "storage of no known kind": ({"kind": "NoSuchStorage"}, 3, "unsupported elements"),
    "storage that is another's": ({"key": "9"}, 3, "storage 9 of tensor w is missing"),
    "storage named like a path": ({"key": "../data.pkl"}, 3, "is missing"),
    "complex storage": ({"kind": "ComplexFloatStorage"}, 3, "unsupported elements .*save it as real numbers"),
    "quantised storage": ({"kind": "QUInt8Storage"}, 3, "unsupported elements"),
}
CASES = [
    *(Case(told, code, words, one(**options)) for told, (options, code, words) in BOUNDS.items()),
    Case(
        "sparse tensor",
        3,
        "w is an object of torch._utils._rebuild_sparse_tensor",
        value(
            call(
                "torch._utils._rebuild_sparse_tensor",
                name("torch.sparse_coo"),
                group(tensor(), tensor(), (4,), True),
            )
        ),
    ),
    Case(
        "sparse CSR tensor",
        3,
        "w is an object",
        value(
            call(
                "torch._utils._rebuild_sparse_csr_tensor",
                name("torch.sparse_csr"),
                group(tensor(), tensor(), tensor(), (4,)),
            )
        ),
    ),
    Case(
        "quantised tensor",
        3,
        "w is an object of torch._utils._rebuild_qtensor",
        value(
            call(
                "torch._utils._rebuild_qtensor",
                storage("0", 16, "QUInt8Storage"),
                0,
                (4,),
                (1,),
                (name("torch.per_tensor_affine"), 1.0, 0),
                False,
                {},
            )
        ),
    ),
    Case(
        "nested tensor",
        3,
        "w is an object",
        value(call("torch._utils._rebuild_nested_tensor", tensor(), tensor(), tensor(), tensor())),
    ),
    Case(
        "meta tensor",
        3,
        "w is an object",
        value(call("torch._utils._rebuild_meta_tensor_no_storage", name("torch.float32"), (4,), (1,), False)),
    ),
    Case(
        "conjugated tensor",
        3,
        "w is an object",
        value(tensor("0", 4, (4,), None, 0, "FloatStorage", V2, {"conj": True})),
    ),
    Case(
        "complex tensor of a typed call",
        3,
        "unsupported elements",
        value(tensor("0", 16, (2,), (1,), 0, "UntypedStorage", V3, name("torch.complex64"))),
    ),
    Case(
        "tensor of no such type",
        3,
        "unsupported elements",
        value(tensor("0", 16, (2,), (1,), 0, "UntypedStorage", V3, name("torch.float7"))),
    ),
    Case(
        "array in place of a tensor",
        3,
        "w is a value",
        value(
            call(
                "numpy._core.numeric._frombuffer",
                bytes(16),
                call("numpy.dtype", "f4", False, True),
                (4,),
                "C",
            )
        ),
    ),
    Case("bare storage", 3, "w is a bare torch.FloatStorage", value(storage("0", 4))),
    Case("number in place of a tensor", 3, "w is a value of type float", value(b"G" + bytes(8))),
    Case(
        "float8 weights",
        3,
        "non-finite|wrong shape or type|shape",
        lambda _: altered({"transformer.norm.weight": np.full(6, np.nan).astype(ml_dtypes.float8_e5m2)}),
        (CONVERT,),
    ),
    Case(
        "weight of integers",
        3,
        "should be floating-point",
        lambda _: altered({"transformer.norm.weight": np.ones(6, np.int64)}),
        (CONVERT,),
    ),
    Case(
        "booleans of other bytes",
        3,
        "w is boolean but",
        lambda _: altered({"w": np.full(6, 2, np.uint8).view(np.bool_)}),
        (INSPECT,),
    ),
    Case("safetensors without tensors", 3, "no tensors|sound", sheaf({}, b"")),
    Case("safetensors that ends early", 3, "safetensors|beyond", sheaf({"w": F32}, bytes(15))),
    Case("safetensors that ends late", 3, "safetensors|in no tensor", sheaf({"w": F32}, bytes(17))),
    Case("safetensors of overlapping tensors", 3, "safetensors", sheaf({"w": F32, "v": F32})),
    Case(
        "safetensors with a hole", 3, "safetensors", sheaf({"w": {**F32, "data_offsets": [4, 20]}}, bytes(20))
    ),
    Case("safetensors of negative sizes", 3, "safetensors", sheaf({"w": {**F32, "shape": [-4]}})),
    Case(
        "safetensors of 2^80 elements", 3, "safetensors", sheaf({"w": {**F32, "shape": [1 << 40, 1 << 40]}})
    ),
    Case("safetensors of sizes that are no numbers", 3, "safetensors", sheaf({"w": {**F32, "shape": [4.0]}})),
    Case(
        "safetensors of complex numbers",
        3,
        "unsupported|safetensors",
        sheaf({"w": {**F32, "dtype": "C64", "shape": [2]}}),
    ),
    Case("safetensors of no such type", 3, "safetensors|unsupported", sheaf({"w": {**F32, "dtype": "F7"}})),
    Case(
        "safetensors with a name twice",
        3,
        "safetensors|twice",
        of(
            safetensors(
                b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}',
                bytes(16),
            )
        ),
    ),
    Case("safetensors nested deeply", 3, "safetensors", of(safetensors(b'{"a":' + b"[" * 100_000, b""))),
    Case(
        "safetensors whose metadata are nested",
        8,
        "depth",
        sheaf({"__metadata__": {"k": "[" * 80 + "]" * 80}, "w": F32}),
    ),
    Case(
        "safetensors whose metadata are a number",
        3,
        "safetensors",
        sheaf({"__metadata__": {"k": 3}, "w": F32}),
    ),
    Case(
        "safetensors that are no JSON", 3, "safetensors", of(safetensors(b"{nothing}" + b" " * 20, bytes(8)))
    ),
    Case("safetensors of other than Unicode", 3, "safetensors", of(safetensors(b'{"\xff\xfe": 1}', b""))),
    Case("safetensors with an escape in a name", 3, "name", sheaf({"\x1b[31mw": F32})),
    Case("safetensors with a name of a megabyte", 8, "name of", sheaf({"w" * 1_000_000: F32})),
]
