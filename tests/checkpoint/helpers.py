"""What several test files of the reader need."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import torch

from vampconv.checkpoint import open_checkpoint


def bits(array: np.ndarray) -> tuple[tuple[int, ...], str, bytes]:
    return array.shape, str(array.dtype), array.tobytes()


def torch_bits(tensor: torch.Tensor) -> tuple[tuple[int, ...], str, bytes]:
    dense = tensor.detach().contiguous()
    raw = dense.reshape(-1).view(torch.uint8).numpy().tobytes() if dense.numel() else b""
    return tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), raw


def everything(path: Path) -> object:
    """All that the reader gives for a file, in a form that compares."""
    with open_checkpoint(path) as checkpoint:
        tensors = [(name, bits(tensor.read())) for name, tensor in checkpoint.tensors.items()]
        checkpoint.verify()
        return checkpoint.format, tensors, repr(dict(checkpoint.metadata)), checkpoint.outside


def save_zip(path: Path, entries: dict[str, bytes], **options: object) -> Path:
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def zip_with_pickle(path: Path, pickle: bytes, storages: dict[str, bytes] | None = None) -> Path:
    """A minimal torch.save archive around any pickle."""
    entries = {"archive/data.pkl": pickle, "archive/byteorder": b"little", "archive/version": b"3\n"}
    return save_zip(path, entries | {f"archive/data/{k}": v for k, v in (storages or {}).items()})


def rewrite(path: Path, target: Path, change) -> Path:
    """A copy of a zip with each (name, data) passed through `change`, which may give None to drop it."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            item = change(info.filename, old.read(info))
            if item is not None:
                new.writestr(*item)
    return target


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()
