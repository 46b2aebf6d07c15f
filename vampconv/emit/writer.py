"""Writes a model and its weights, one tensor at a time."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import onnx_ir as ir

from vampconv import __version__
from vampconv.dialect.op import Array
from vampconv.errors import VampconvError

ALIGNMENT = 4096
"""Weights begin at multiples of this, so that a runtime can map them."""
EXTERNAL = 256
"""Constants of at least this many bytes lie in the data file."""
WORKERS = 2
"""Tensors computed at a time, while another is written."""


@dataclass(frozen=True)
class WrittenFile:
    """A file of the bundle."""

    name: str
    size: int
    sha256: str


def write_model(
    model: ir.Model, directory: Path, stem: str, advance: Callable[[int], None] = lambda _: None
) -> list[WrittenFile]:
    """Write ``stem.onnx`` and ``stem.onnx.data`` and check them.

    The model's constants are replaced by references to the data file.

    Parameters
    ----------
    model
        A graph of standard ops; its lazy tensors are computed here, and freed after.
    directory
        Where to write.
    stem
        Name of the files.
    advance
        Called with the number of bytes written, for a progress bar.

    """
    graph = model.graph
    data = f"{stem}.onnx.data"
    written: list[WrittenFile] = []
    large = [
        v
        for v in graph.initializers.values()
        if v.const_value is not None and v.const_value.nbytes >= EXTERNAL
    ]
    if large:
        written.append(_write_data(large, directory, data, advance))
    model.ir_version = onnx.helper.find_min_ir_version_for(
        [onnx.helper.make_opsetid("", graph.opset_imports[""])]
    )
    model.producer_name, model.producer_version = "vampconv", __version__
    path = directory / f"{stem}.onnx"
    content = ir.to_proto(model).SerializeToString(deterministic=True)
    path.write_bytes(content)
    _check(path)
    return [WrittenFile(path.name, len(content), hashlib.sha256(content).hexdigest()), *written]


def _write_data(
    values: Sequence[ir.Value], directory: Path, name: str, advance: Callable[[int], None]
) -> WrittenFile:
    digest, offset = hashlib.sha256(), 0
    with (directory / name).open("wb", buffering=0) as file:
        for value, array in zip(values, _computed(values), strict=True):
            padding = bytes(-offset % ALIGNMENT)
            raw = np.ascontiguousarray(array).data.cast("B")
            for part in (padding, raw):
                _write_all(file.write, part)
                digest.update(part)
            offset += len(padding)
            tensor = value.const_value
            assert tensor is not None
            value.const_value = ir.ExternalTensor(
                name,
                offset,
                len(raw),
                tensor.dtype,
                shape=cast("ir.Shape", tensor.shape),
                name=value.name or "",
                base_dir=directory,
            )
            offset += len(raw)
            advance(len(raw))
    return WrittenFile(name, offset, digest.hexdigest())


def _write_all(write: Callable[[memoryview], int], data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[write(rest) :]


def _computed(values: Sequence[ir.Value]) -> Iterator[Array]:
    """The values' arrays, in order, computed a few ahead."""
    with ThreadPoolExecutor(WORKERS) as pool:
        ahead: deque[Future[Array]] = deque()
        try:
            for value in values:
                assert value.const_value is not None
                ahead.append(pool.submit(value.const_value.numpy))
                if len(ahead) > WORKERS:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _check(path: Path) -> None:
    """ONNX's full check, with the external data in place."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise VampconvError(
            f"{path.name} does not pass the checker: {str(error).strip().splitlines()[0]}",
            "please report this",
        ) from error
