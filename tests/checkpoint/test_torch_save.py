"""What torch.save can hold: element types, views, wrappers, and values that are no tensors."""

from __future__ import annotations

import collections
import json
import pathlib
import zipfile

import numpy as np
import pytest
import torch

from vampconv.checkpoint import Opaque, open_checkpoint
from vampconv.errors import BadInputError, LimitError

from .helpers import bits, rewrite, torch_bits, zip_with_pickle

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
    *(torch.uint16, torch.uint32, torch.uint64),
]


def same(path, state):
    with open_checkpoint(path) as checkpoint:
        assert list(checkpoint.tensors) == list(state)
        for name, tensor in state.items():
            assert bits(checkpoint.tensors[name].read()) == torch_bits(tensor), name
        checkpoint.verify()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(tmp_path, dtype):
    torch.manual_seed(0)
    state = {"x": (torch.randn(3, 5) * 50).abs().to(dtype), "t": (torch.randn(3, 5) * 9).abs().to(dtype).t()}
    torch.save(state, tmp_path / "a.pth")
    same(tmp_path / "a.pth", state)


def test_views(tmp_path):
    base = torch.arange(120, dtype=torch.float32).reshape(2, 3, 4, 5)
    state = {
        "base": base,
        "permuted": base.permute(3, 1, 0, 2),
        "sliced": base[1:, ::2, 1:3, 4],
        "window": torch.as_strided(base, (10, 6), (2, 1), 7),
        "expanded": torch.tensor([3.0, 4.0]).reshape(2, 1).expand(2, 7),
        "scalar": torch.tensor(2.5),
        "element": base[1, 2, 3, 4],
        "empty": torch.empty(0),
        "empty_wide": torch.empty(3, 0, 4, dtype=torch.int64),
        "empty_view": base[2:, 1:],
        "one": torch.ones(1, 1, 1),
        "parameter": torch.nn.Parameter(torch.ones(2, 2).t()),
        "buffer": torch.nn.Buffer(torch.ones(2)),
    }
    torch.save(state, tmp_path / "a.pth")
    same(tmp_path / "a.pth", state)
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        tensors = checkpoint.tensors
        assert tensors["base"].storage == tensors["sliced"].storage != tensors["one"].storage
        assert tensors["base"].crc32 == tensors["window"].crc32
        assert tensors["empty_wide"].nbytes == 0
        first, second = tensors["base"].read(), tensors["base"].read()
        first[:] = 0
        assert second.any()


def test_parameter_with_attributes(tmp_path):
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.note = "kept by torch"
    torch.save({"p": parameter}, tmp_path / "a.pth")
    same(tmp_path / "a.pth", {"p": parameter})


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols(tmp_path, protocol):
    state = {"w": torch.randn(3, 3), "bias": torch.ones(2)}
    torch.save({"state_dict": state, "metadata": METADATA}, tmp_path / "a.pth", pickle_protocol=protocol)
    same(tmp_path / "a.pth", state)
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        check_metadata(checkpoint.metadata)


METADATA = {
    "kwargs": {
        "n": 3,
        "big": 1 << 70,
        "lr": 1e-3,
        "on": True,
        "off": None,
        "text": "é\0😀",
        "raw": b"\0\xff",
    },
    "f64": np.float64(0.1),
    "f32": np.float32(0.1),
    "i64": np.int64(-5),
    "b": np.bool_(True),
    "s": np.str_("Grüße"),
    "array": np.arange(6, dtype=">i2").reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "empty": np.empty((0, 3)),
    "path": pathlib.PurePosixPath("/a/b"),
    "here": pathlib.Path("c/d"),
    "size": torch.Size([1, 2]),
    "device": torch.device("cuda", 1),
    "dtype": torch.float16,
    "default": collections.defaultdict(list, {"a": [1]}),
    "ordered": collections.OrderedDict(a=1, b=2),
    "set": {1, 2},
    "frozen": frozenset({"x"}),
    "tuple": (1, (2, (3,))),
    "tensor": torch.ones(2),
    "counter": collections.Counter("aab"),
    "keys": {1: "a", (1, "b"): "c", None: "d"},
}


def check_metadata(found):
    assert found["kwargs"] == METADATA["kwargs"]
    assert (found["f64"], found["f32"], found["i64"]) == (0.1, float(np.float32(0.1)), -5)
    assert type(found["f64"]) is float
    assert found["b"] is True
    assert found["s"] == "Grüße"
    assert found["array"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["array"].dtype == np.int16
    assert found["array"].dtype.isnative
    assert found["fortran"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["empty"].shape == (0, 3)
    assert (found["path"], found["here"]) == ("/a/b", "c/d")
    assert (found["size"], found["device"], found["dtype"]) == ((1, 2), "cuda:1", "torch.float16")
    assert found["default"] == {"a": [1]}
    assert list(found["ordered"].items()) == [("a", 1), ("b", 2)]
    assert (found["set"], found["frozen"], found["tuple"]) == ({1, 2}, frozenset({"x"}), (1, (2, (3,))))
    assert isinstance(found["tensor"], Opaque)
    assert isinstance(found["counter"], Opaque)
    assert found["counter"].name == "collections.Counter"
    assert found["keys"] == METADATA["keys"]


def test_lightning_with_an_optimizer(tmp_path):
    torch.manual_seed(1)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    value = {
        "epoch": 7,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": model.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [],
        "callbacks": {"ModelCheckpoint": {"best": torch.tensor(0.5), "path": "x"}},
        "hyper_parameters": {"nblocks": 8, "pos_weight": torch.ones(1)},
        "metadata": "not the model's",
    }
    torch.save(value, tmp_path / "a.ckpt")
    same(tmp_path / "a.ckpt", model.state_dict())
    with open_checkpoint(tmp_path / "a.ckpt") as checkpoint:
        keys = ["epoch", "pytorch-lightning_version", "lr_schedulers", "hyper_parameters", "metadata"]
        assert list(checkpoint.metadata) == keys
        assert checkpoint.metadata["hyper_parameters"]["nblocks"] == 8
        assert repr(checkpoint.metadata["hyper_parameters"]["pos_weight"]) == "Opaque('torch.Tensor')"
        assert "optimizer_states.0.state.0.exp_avg" in checkpoint.outside
        assert "callbacks.ModelCheckpoint.best" in checkpoint.outside
        assert "hyper_parameters.pos_weight" in checkpoint.outside
    moment = zipfile.ZipFile(tmp_path / "a.ckpt").getinfo("a/data/3")
    data = bytearray((tmp_path / "a.ckpt").read_bytes())
    spot = data.index(zipfile.ZipFile(tmp_path / "a.ckpt").read(moment), moment.header_offset)
    data[spot] ^= 1
    (tmp_path / "b.ckpt").write_bytes(data)
    with open_checkpoint(tmp_path / "b.ckpt") as checkpoint:
        [tensor.read() for tensor in checkpoint.tensors.values()]
        with pytest.raises(BadInputError, match="CRC-32"):
            checkpoint.verify()


def test_whole_module(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    torch.save(model, tmp_path / "a.pth")
    same(tmp_path / "a.pth", model.state_dict())


SPARSE = torch.sparse_coo_tensor([[0]], [1.0], (2,), check_invariants=True)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(torch.ones(2, dtype=torch.complex64), id="complex"),
        pytest.param(torch._neg_view(torch.ones(2)), id="negated"),
        pytest.param(SPARSE, id="sparse"),
        pytest.param(torch.empty(2, device="meta"), id="meta"),
        pytest.param(np.ones(3), id="array"),
        pytest.param(1.5, id="number"),
        pytest.param(None, id="none"),
        pytest.param([torch.ones(1)], id="list"),
        pytest.param(pathlib.Path, id="class"),
        pytest.param(torch.ones(2).untyped_storage(), id="storage"),
    ],
)
def test_refuses_what_is_no_dense_tensor_by_name(tmp_path, value):
    torch.save({"state_dict": {"good": torch.ones(1), "the.bad.one": value}}, tmp_path / "a.pth")
    with pytest.raises(BadInputError, match=r"the\.bad\.one"):
        open_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "value",
    [{}, {"a": 1}, [torch.ones(1)], torch.ones(1), {"state_dict": {}}, {"state_dict": 3}, {1: torch.ones(1)}],
)
def test_refuses_what_holds_no_state_dict(tmp_path, value):
    torch.save(value, tmp_path / "a.pth")
    with pytest.raises(BadInputError):
        open_checkpoint(tmp_path / "a.pth")


def test_big_endian(tmp_path):
    state = {"f": torch.arange(4.0).reshape(2, 2).t(), "h": torch.tensor([1.5, -2], dtype=torch.bfloat16)}
    torch.save(state, tmp_path / "a.pth")

    def swap(name, data):
        if name.endswith("byteorder"):
            return name, b"big"
        size = {"a/data/0": 4, "a/data/1": 2}.get(name)
        return (name, np.frombuffer(data, f"u{size}").byteswap().tobytes()) if size else (name, data)

    rewrite(tmp_path / "a.pth", tmp_path / "b.pth", swap)
    same(tmp_path / "b.pth", state)
    torn = rewrite(
        tmp_path / "a.pth", tmp_path / "c.pth", lambda n, d: (n, b"middle" if n.endswith("byteorder") else d)
    )
    with pytest.raises(BadInputError, match="endian"):
        open_checkpoint(torn)
    old = rewrite(tmp_path / "a.pth", tmp_path / "d.pth", lambda n, d: None if "byteorder" in n else (n, d))
    same(old, state)


def tensor_pickle(offset, size, stride, count=4, kind="FloatStorage", call="_rebuild_tensor_v2"):
    """A pickle of {"w": tensor} with arguments that torch.save would not write."""

    def number(value):
        return b"I%d\n" % value

    def tuple_of(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    storage = (
        b"(X\x07\0\0\0storagectorch\n" + kind.encode() + b"\nX\x01\0\0\x000X\x03\0\0\0cpu" + number(count)
    )
    tensor = b"(" + storage + b"tQ" + number(offset) + tuple_of(size) + tuple_of(stride) + b"\x89}t"
    return b"\x80\x02}X\x01\0\0\0w" + b"ctorch._utils\n" + call.encode() + b"\n" + tensor + b"Rs."


def test_tensor_pickle_is_sound(tmp_path):
    path = zip_with_pickle(
        tmp_path / "a.pth", tensor_pickle(1, (3,), (1,)), {"0": np.arange(4, dtype="f4").tobytes()}
    )
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.tensors["w"].read().tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((-1, (2,), (1,)), BadInputError),
        ((0, (-2,), (1,)), BadInputError),
        ((0, (2,), (-1,)), BadInputError),
        ((0, (2,), (1, 1)), BadInputError),
        ((0, (5,), (1,)), BadInputError),
        ((2, (3,), (1,)), BadInputError),
        ((0, (2, 2), (3, 1)), BadInputError),
        ((0, (1 << 40, 1 << 40), (0, 0)), LimitError),
        ((0, (1 << 29,), (0,)), LimitError),
        ((0, (0, 1 << 40, 1 << 40), (1, 1, 1)), LimitError),
        ((0, (1,) * 65, (1,) * 65), LimitError),
        ((0, (4,), (1,), 5), BadInputError),
        ((0, (4,), (1,), 4, "DoubleStorage"), BadInputError),
        ((0, (4,), (1,), -4), BadInputError),
        ((0, (4,), (1,), 4, "ComplexFloatStorage"), BadInputError),
        ((0, (4,), (1,), 4, "NoSuchStorage"), BadInputError),
        ((0, (4,), (1,), 4, "FloatStorage", "_rebuild_device_tensor_from_numpy"), BadInputError),
    ],
)
def test_bounds(tmp_path, arguments, error):
    path = zip_with_pickle(tmp_path / "a.pth", tensor_pickle(*arguments), {"0": bytes(16)})
    with pytest.raises(error):
        open_checkpoint(path)


def test_missing_storage(tmp_path):
    with pytest.raises(BadInputError, match="missing"):
        open_checkpoint(zip_with_pickle(tmp_path / "a.pth", tensor_pickle(0, (4,), (1,))))


def test_boolean_storage_of_other_bytes(tmp_path):
    data = tensor_pickle(0, (4,), (1,), 4, "BoolStorage")
    path = zip_with_pickle(tmp_path / "a.pth", data, {"0": b"\0\1\2\1"})
    with open_checkpoint(path) as checkpoint, pytest.raises(BadInputError, match="boolean"):
        checkpoint.tensors["w"].read()


def test_untyped_storage_counts_bytes(tmp_path):
    for kind in ("UntypedStorage", "_UntypedStorage"):
        data = tensor_pickle(0, (4,), (1,), 4, kind)
        with open_checkpoint(zip_with_pickle(tmp_path / "a.pth", data, {"0": b"\1\2\3\4"})) as checkpoint:
            assert checkpoint.tensors["w"].read().tolist() == [1, 2, 3, 4]


def test_zip64(tmp_path):
    entries = {"a/data.pkl": tensor_pickle(0, (4,), (1,)), "a/data/0": bytes(range(16))}
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        for name, data in entries.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(data)
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        assert checkpoint.tensors["w"].read().tobytes() == bytes(range(16))


def test_metadata_is_json_ready(tmp_path):
    torch.save(
        {"state_dict": {"w": torch.ones(1)}, "metadata": {"kwargs": {"n": np.int64(3)}}}, tmp_path / "a.pth"
    )
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        assert json.dumps(dict(checkpoint.metadata)) == '{"kwargs": {"n": 3}}'
