"""Pickles and archives that were made to harm: nothing runs, nothing hangs, only our errors come out."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import pickletools
import struct
import time
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from vampconv.checkpoint import Opaque, open_checkpoint
from vampconv.checkpoint.layout import contents_of
from vampconv.checkpoint.machine import _CONSTANTS, _LITERALS, _OPERATIONS, unpickle
from vampconv.errors import BadInputError, LimitError, VampconvError

from .helpers import rewrite, save_zip, saved, zip_with_pickle


class Command:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", range(6))
def test_no_code_runs(tmp_path, protocol):
    marker = tmp_path / "ran"
    bad = Command(f"touch {marker}")
    value = {"state_dict": {"w": torch.ones(1)}, "metadata": {"kwargs": {"x": bad}}}
    torch.save(value, tmp_path / "a.pth", pickle_protocol=max(2, protocol))
    with open_checkpoint(tmp_path / "a.pth") as checkpoint:
        inert = checkpoint.metadata["kwargs"]["x"]
        assert isinstance(inert, Opaque)
        assert (inert.name, inert.args) == ("posix.system", (f"touch {marker}",))
    torch.save({"w": torch.ones(1), "payload": bad}, tmp_path / "b.pth", pickle_protocol=max(2, protocol))
    with pytest.raises(BadInputError, match=r"payload is an object of posix\.system"):
        open_checkpoint(tmp_path / "b.pth")
    assert unpickle(pickle.dumps(bad, protocol), "x").name.endswith(".system")
    assert not marker.exists()


G = b"cbuiltins\nset\n"
MALFORMED = {
    "empty": b"",
    "no stop": b"\x80\x02}",
    "only stop": b".",
    "after stop": b"\x80\x02}..",
    "left over": b"N}.",
    "open mark": b"(}.",
    "underflow": b"\x80\x02s.",
    "no mark": b"\x80\x02t.",
    "missing memo": b"h\x05.",
    "negative memo": b"Np-1\n.",
    "memo of nothing": b"q\x00.",
    "unknown opcode": b"\xff.",
    "protocol 6": b"\x80\x06}.",
    "unhashable key": b"}]Ns.",
    "unhashable in set": b"\x8f(]\x90.",
    "unhashable nested": b"}]\x85Ns.",
    "nested tuple key": b"}))\x85\x85Ns.",
    "global of numbers": b"K\x01K\x02\x93.",
    "reduce of number": b"K\x01)R.",
    "reduce without tuple": G + b"]R.",
    "append to number": b"K\x01Na.",
    "items in list": b"]NNs.",
    "add to list": b"](N\x90.",
    "odd items": b"}(Nu.",
    "build of number": b"K\x01}b.",
    "extension": b"\x82\x01.",
    "buffer": b"\x97.",
    "text persistent id": b"P0\n.",
    "persistent id": b"NQ.",
    "huge long": b"\x8b" + struct.pack("<i", 10000) + b"\x7f" * 10000 + b".",
    "negative long": b"\x8b\xff\xff\xff\xff.",
    "long beyond end": b"\x8b\xff\xff\xff\x7f.",
    "huge decimal": b"L" + b"9" * 100000 + b"L\n.",
    "huge unicode": b"\x8d" + b"\xff" * 8 + b"abc.",
    "surrogate": b"X\x03\0\0\0\xed\xa0\x80.",
    "bad escape": b"S'\\x'\n.",
    "huge key": b"}\x8a\x10" + b"\x7f" * 16 + b"Ns.",
    "long name": b"c" + b"a" * 9000 + b"\nb\n.",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(tmp_path, name):
    with pytest.raises(BadInputError):
        open_checkpoint(zip_with_pickle(tmp_path / "a.pth", MALFORMED[name]))


def metadata(body):
    """A pickle of a sound state dict beside a metadata dict whose one value is `body`."""
    tensor = saved({"w": torch.ones(1)})
    with zipfile.ZipFile(io.BytesIO(tensor)) as archive:
        state = archive.read("archive/data.pkl")[2:-1]
    return b"\x80\x02}(X\x0a\0\0\0state_dict" + state + b"X\x08\0\0\0metadata}X\x01\0\0\0k" + body + b"su."


def laughs(opener, levels):
    """A container of two references to a container of two references to …, left on the stack."""
    made = b"]r\x64\0\0\0"
    for index in range(100, 100 + levels):
        link = b"j" + struct.pack("<I", index)
        made += b"0(" + link + link + opener + b"r" + struct.pack("<I", index + 1)
    return made


def module(attributes):
    head = b"cx\nM\n)\x81}(X\x0b\0\0\0_parameters}X\x08\0\0\0_modules}"
    return b"\x80\x02" + head + attributes + b"ub."


CONTENT = {
    "laughs": (metadata(laughs(b"t", 60)), LimitError),
    "list laughs": (metadata(laughs(b"l", 60)), LimitError),
    "cycle": (metadata(b"]q\x64h\x64a"), BadInputError),
    "dict cycle": (metadata(b"}q\x64X\x01\0\0\0ah\x64s"), BadInputError),
    "deep": (metadata(b"]" * 5000 + b"a" * 4999), LimitError),
    "very deep": (metadata(b")" + b"\x85" * 500_000), LimitError),
    "too many": (b"\x80\x02" + b"N0" * 600_000 + b"N.", LimitError),
    "copies": (
        metadata(
            b"X\x00\x00\x10\x00"
            + b"a" * (1 << 20)
            + b"q\x640"
            + b"c_codecs\nencode\n(h\x64X\x06\0\0\0latin1tR0" * 80
            + b"N"
        ),
        LimitError,
    ),
    "set copies": (
        metadata(b"(" + b"N" * 100_000 + b"lq\x640" + (G + b"h\x64\x85R0") * 700 + b"N"),
        LimitError,
    ),
    "array of wrong size": (
        metadata(
            b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tNtR(K\x01(J\xff\xff\xff\x7ftcnumpy\ndtype\n(X\x02\0\0\0f8tRI00\nC\x01atb"
        ),
        BadInputError,
    ),
    "scalar of wrong size": (
        metadata(b"cnumpy._core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\0\0\0f8tRC\x01atR"),
        BadInputError,
    ),
    "module laughs": (module(b"X\x01\0\0\0a" + laughs(b"l", 60)), LimitError),
}


@pytest.mark.parametrize("name", CONTENT)
def test_contents_that_blow_up(name):
    data, error = CONTENT[name]
    began = time.monotonic()
    with pytest.raises(error):
        contents_of(unpickle(data, "a.pth"), "a.pth")
    assert time.monotonic() - began < 8


def test_module_tree_that_blows_up():
    child = b"cx\nM\n)\x81}(X\x0b\0\0\0_parameters}X\x08\0\0\0_modules}ubr\x64\0\0\0" + b"0"
    for i in range(40):
        link = b"j" + struct.pack("<I", 100 + i)
        child += b"cx\nM\n)\x81}(X\x0b\0\0\0_parameters}X\x08\0\0\0_modules}(X\x01\0\0\0a" + link
        child += b"X\x01\0\0\0b" + link + b"uubr" + struct.pack("<I", 101 + i) + b"0"
    data = b"\x80\x02" + child + b"j" + struct.pack("<I", 140) + b"."
    with pytest.raises(LimitError):
        contents_of(unpickle(data, "a.pth"), "a.pth")


def read_as_data(data):
    with contextlib.suppress(VampconvError):
        contents_of(unpickle(data, "x"), "x")


@settings(max_examples=1500, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=200))
@example(b"\x80\x02c\n\n.")
def test_random_bytes(data):
    read_as_data(data + b".")
    read_as_data(b"\x80\x02" + data)


def opcode_bytes():
    known = set(_OPERATIONS) | set(_CONSTANTS) | set(_LITERALS)
    plain = [op.code.encode("latin-1") for op in pickletools.opcodes if op.arg is None and op.name in known]
    names = [
        b"collections\nOrderedDict",
        b"builtins\nset",
        b"torch._utils\n_rebuild_tensor_v2",
        b"torch\nSize",
        b"numpy\ndtype",
        b"numpy._core.multiarray\nscalar",
        b"numpy._core.multiarray\n_reconstruct",
        b"numpy\nndarray",
        b"_codecs\nencode",
        b"pathlib\nPosixPath",
        b"torch\nFloatStorage",
        b"a\nb",
        b"torch._tensor\n_rebuild_from_type_v2",
        b"copyreg\n_reconstructor",
        b"numpy._core.numeric\n_frombuffer",
        b"torch._utils\n_rebuild_parameter",
        b"torch\ndevice",
        b"collections\ndefaultdict",
    ]
    words = [
        b"storage",
        b"state_dict",
        b"metadata",
        b"f8",
        b"U2",
        b"latin1",
        b"_modules",
        b"_parameters",
        b"w",
    ]
    return st.one_of(
        st.sampled_from(plain),
        st.sampled_from([b"c" + name + b"\n" for name in names]),
        st.sampled_from([b"X" + struct.pack("<I", len(word)) + word for word in words]),
        st.builds(lambda n: b"K" + bytes([n]), st.integers(0, 9)),
        st.builds(lambda n: b"C\x08" + bytes([n]) * 8, st.integers(0, 255)),
        st.builds(lambda n: b"q" + bytes([n]), st.integers(0, 9)),
        st.builds(lambda n: b"h" + bytes([n]), st.integers(0, 9)),
    )


@settings(max_examples=700, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(opcode_bytes(), max_size=40))
def test_random_opcodes(parts):
    read_as_data(b"\x80\x02" + b"".join(parts) + b".")


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_mutated_pickles(data):
    sound = metadata(
        b"cnumpy._core.multiarray\nscalar\n(cnumpy\ndtype\n(X\x02\0\0\0f8I00\nI01\ntR(K\x03X\x01\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tbC\x0800000000tR"
    )
    torn = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 3))):
        torn[data.draw(st.integers(0, len(sound) - 1))] = data.draw(st.integers(0, 255))
    read_as_data(bytes(torn))


SOUND = saved({"w": torch.arange(4.0)})


def refuse(tmp_path, change, match):
    (tmp_path / "s.pth").write_bytes(SOUND)
    with pytest.raises(BadInputError, match=match):
        open_checkpoint(rewrite(tmp_path / "s.pth", tmp_path / "a.pth", change))


def test_archives(tmp_path):
    refuse(tmp_path, lambda n, d: (n.replace("archive/data/0", "../data/0"), d), "unsafe")
    refuse(tmp_path, lambda n, d: (n.replace("archive/data/0", "/archive/data/0"), d), "unsafe")
    refuse(tmp_path, lambda n, d: (n.replace("archive/data/0", "archive//0"), d), "unsafe")
    refuse(tmp_path, lambda n, d: (n.replace("archive/data/0", "other/data/0"), d), "top folders")
    refuse(tmp_path, lambda n, d: (n.replace("version", "x/data.pkl"), d), "twice")
    refuse(tmp_path, lambda n, d: (n.removeprefix("archive/"), d), "top folders")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_duplicates_and_compression(tmp_path):
    refuse(tmp_path, lambda n, d: (n.replace("version", "data/0"), d), "two records")
    save_zip(tmp_path / "c.pth", {"a/data.pkl": bytes(99)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(BadInputError, match="compressed"):
        open_checkpoint(tmp_path / "c.pth")


def test_encryption_overlap_gap(tmp_path):
    path = save_zip(
        tmp_path / "a.pth", {"a/data.pkl": b"\x80\x02}.", "a/data/0": bytes(16), "a/version": b"3"}
    )
    data = path.read_bytes()
    second = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    third = data.index(b"PK\x01\x02", second + 1)

    def patched(offset, value):
        path.write_bytes(data[:offset] + value + data[offset + len(value) :])
        with pytest.raises(BadInputError) as caught:
            open_checkpoint(path)
        return str(caught.value)

    assert "encrypted" in patched(second + 8, b"\x01")
    assert "not where" in patched(second + 42, data[third + 42 : third + 46])
    assert "not where" in patched(second + 42, b"\xff\xff\xff\x7f")
    assert "overlap" in patched(second + 20, struct.pack("<II", 99, 99))
    assert "no zip record" in patched(second + 20, struct.pack("<II", 3, 3))
    assert "two different sizes" in patched(second + 20, struct.pack("<II", 3, 16))


def test_prepended_bytes_and_many_records(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"PK\x03\x04" + SOUND)
    with pytest.raises(BadInputError):
        open_checkpoint(tmp_path / "a.pth")
    path = save_zip(tmp_path / "b.pth", {f"a/{i}": b"" for i in range(66_000)})
    with pytest.raises(LimitError, match="66000"):
        open_checkpoint(path)


def test_braces_in_the_folder_name(tmp_path):
    (tmp_path / "s.pth").write_bytes(SOUND)
    path = rewrite(tmp_path / "s.pth", tmp_path / "a.pth", lambda n, d: (n.replace("archive", "a{}{x"), d))
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.tensors["w"].read().tolist() == [0, 1, 2, 3]
