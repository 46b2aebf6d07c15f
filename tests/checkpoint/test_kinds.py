"""Files that are no checkpoint, and paths that are no file: each is named, with the way to mend it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import pickle
import tarfile
import zipfile

import numpy as np
import onnx
import pytest
import torch

from vampconv.checkpoint import open_checkpoint
from vampconv.errors import BadInputError, InputOutputError

from .helpers import save_zip, saved

STATE = {"w": torch.arange(64.0)}


def legacy():
    buffer = io.BytesIO()
    torch.save(STATE, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def tar():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("storages"))
    return buffer.getvalue()


def onnx_model():
    graph = onnx.helper.make_graph([], "g", [], [])
    return onnx.helper.make_model(graph, producer_name="x").SerializeToString()


def npz():
    buffer = io.BytesIO()
    np.savez(buffer, a=np.ones(3))
    return buffer.getvalue()


def script():
    buffer = io.BytesIO()
    names = {
        "m/data.pkl": b"\x80\x02}.",
        "m/constants.pkl": b"\x80\x02).",
        "m/code/__torch__.py": b"",
        "m/version": b"3",
    }
    save_zip(buffer, names)
    return buffer.getvalue()


def zipped(names, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    save_zip(buffer, dict.fromkeys(names, b"x" * 100), compression=compression)
    return buffer.getvalue()


KINDS = {
    "empty": (b"", "an empty file", "download"),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "Git LFS pointer",
        "git lfs pull",
    ),
    "html": (b"\n <!DOCTYPE html><html><body>Sign in</body></html>", "a web page", "download again"),
    "html2": (b"<html>" + b"x" * 9000, "a web page", "download again"),
    "text": ("not found, señor\n".encode(), "a text file", "give a"),
    "json": (b'{"error": "not found"}', "a text file", "give a"),
    "legacy": (legacy(), "legacy torch.save", "save its state dict again"),
    "pickle": (pickle.dumps(STATE), "a bare pickle", "again"),
    "gzip": (gzip.compress(saved(STATE)), "a gzip archive", "unpack"),
    "bz2": (bz2.compress(saved(STATE)), "a bzip2 archive", "unpack"),
    "xz": (lzma.compress(saved(STATE)), "an xz archive", "unpack"),
    "tar": (tar(), "a tar archive", "unpack"),
    "onnx": (onnx_model(), "an ONNX model", "PyTorch checkpoint"),
    "script": (script(), "TorchScript", "state dict"),
    "npz": (npz(), "npz archive", "give a"),
    "npy": (b"\x93NUMPY\x01\x00" + bytes(100), "a numpy array", "give a"),
    "wave": (b"RIFF\x00\x00\x00\x00WAVEfmt " + bytes(100), "an audio file", "give a"),
    "zeros": (bytes(9000), "zero bytes", "download"),
    "noise": (bytes(range(255, 100, -1)) * 9, "not a checkpoint of any known kind", "give a"),
    "one": (b"\x80", "not a checkpoint of any known kind", "give a"),
    "zip": (zipped(["a.txt", "b.txt"]), "without a PyTorch checkpoint", "give a"),
    "zip of checkpoints": (zipped(["coarse.pth", "c2f.pth"], zipfile.ZIP_DEFLATED), "checkpoint", "un"),
    "empty zip": (zipped([]), "empty zip", "again"),
    "truncated": (saved(STATE)[:-40], "cut short", "again"),
    "head only": (saved(STATE)[:100], "cut short", "again"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_says_what_it_is(tmp_path, kind):
    data, what, fix = KINDS[kind]
    (tmp_path / "model.pth").write_bytes(data)
    with pytest.raises(BadInputError) as caught:
        open_checkpoint(tmp_path / "model.pth")
    error = caught.value
    assert what in error.problem
    assert error.problem.startswith("model.pth")
    assert fix in error.fix
    assert "\n" not in error.line()


def test_paths(tmp_path):
    with pytest.raises(InputOutputError, match="does not exist"):
        open_checkpoint(tmp_path / "no.pth")
    with pytest.raises(InputOutputError, match="is a directory"):
        open_checkpoint(tmp_path)
    with pytest.raises(InputOutputError):
        open_checkpoint(str(tmp_path / "a\0b"))
    with pytest.raises(InputOutputError):
        open_checkpoint(tmp_path / ("x" * 5000))
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InputOutputError):
        open_checkpoint(tmp_path / "file" / "below")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputOutputError, match="regular"):
        open_checkpoint(tmp_path / "pipe")
    with pytest.raises(InputOutputError, match="regular"):
        open_checkpoint("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InputOutputError):
        open_checkpoint(tmp_path / "loop")


def test_permission_is_reported(tmp_path, monkeypatch):
    def refuse(_path, _flags):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputOutputError, match="may not be read"):
        open_checkpoint(tmp_path / "a.pth")
