"""The constants of an ONNX file as they lie there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from vampconv.checkpoint.source import AGAIN, Source
from vampconv.dialect.op import Array
from vampconv.errors import InputOutputError
from vampconv.files.models import LONGEST_MODEL
from vampconv.files.regular import read_regular

_DIGITS = 20


class StoredConstants:
    """The constants of an ONNX file, each read when it is asked for.

    Raises
    ------
    InputOutputError
        If the file cannot be read.

    """

    def __init__(self, path: Path, stack: ExitStack) -> None:
        try:
            graph = onnx.load_model_from_string(read_regular(path, LONGEST_MODEL)).graph
        except DecodeError:
            raise InputOutputError(f"{path.name} cannot be read: it is no ONNX file", AGAIN) from None
        self.tensors = {t.name: t for t in graph.initializer}
        self.names = Counter(
            [*(t.name for t in graph.initializer), *(t.values.name for t in graph.sparse_initializer)]
        )
        self._directory, self._stack = path.parent, stack
        self._sources: dict[str, Source] = {}

    def read(self, name: str) -> Array:
        """The bytes of a constant.

        Raises
        ------
        VampconvError
            If they are not where the file says.

        """
        tensor = self.tensors[name]
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            return self._read_external({e.key: e.value for e in tensor.external_data})
        try:
            return as_bytes(np.asarray(onnx.numpy_helper.to_array(tensor)))
        except (ValueError, TypeError, KeyError):
            raise InputOutputError("its data do not fit its type and shape", AGAIN) from None

    def array(self, name: str) -> Array:
        """The elements of a constant, in one dimension.

        Raises
        ------
        VampconvError
            As `read`, or if they do not fit their type.

        """
        kind = self.tensors[name].data_type
        try:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind)
            return self.read(name).view(dtype)
        except (KeyError, ValueError, TypeError):
            raise InputOutputError(f"its data do not fit its type {kind}", AGAIN) from None

    def _read_external(self, where: Mapping[str, str]) -> Array:
        file, offset, length = (where.get(key, "0") for key in ("location", "offset", "length"))
        if Path(file).name != file or not (offset + length).isdecimal():
            raise InputOutputError(f"its data lie in {file!r}, which is no file of the bundle", AGAIN)
        if max(len(offset), len(length)) >= _DIGITS:
            raise InputOutputError(f"its data reach beyond the end of {file}", AGAIN)
        if file not in self._sources:
            self._sources[file] = self._stack.enter_context(closing(Source(self._directory / file)))
        source = self._sources[file]
        if int(offset) + int(length) > source.size:
            raise InputOutputError(f"its data reach beyond the end of {file}", AGAIN)
        data = np.empty(int(length), np.uint8)
        source.fill(int(offset), data.data)
        return data


def as_bytes(array: Array) -> Array:
    """An array's elements as little-endian bytes, as ONNX stores them."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
