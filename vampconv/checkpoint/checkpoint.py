"""An open checkpoint, whatever its container."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

from vampconv.checkpoint.safetensors_files import looks_like_safetensors, read_safetensors
from vampconv.checkpoint.sniff import HEAD, identify
from vampconv.checkpoint.source import Source
from vampconv.checkpoint.torch_files import Parts, read_torch
from vampconv.errors import NotACheckpointError

if TYPE_CHECKING:
    from vampconv.checkpoint.tensor import CheckpointTensor


class Checkpoint:
    """Named tensors and metadata of a model file; a context manager that keeps the file open.

    Attributes
    ----------
    path
        Of the file.
    format
        ``torch.save``, ``torch.package`` or ``safetensors``.
    tensors
        The state dict by the names that are stored, in the file's order.
    metadata
        Plain Python values: audiotools' metadata, Lightning's `hyper_parameters` and other plain values, the
        metadata of a package or safetensors file. Values that are not understood are `Opaque`.
    outside
        Dotted names of the tensors that are not part of the state dict, such as an optimiser's.
    size
        Of the file in bytes.
    warnings
        What the user should know of the file.

    """

    def __init__(self, source: Source, parts: Parts) -> None:
        self._source = source
        self._records = parts.records
        self.path: Path = source.path
        self.format: str = parts.format
        self.tensors: Mapping[str, CheckpointTensor] = MappingProxyType(parts.tensors)
        self.metadata: Mapping[str, object] = MappingProxyType(parts.metadata)
        self.outside: tuple[str, ...] = parts.outside
        self.size: int = source.size
        self.warnings: tuple[str, ...] = parts.warnings

    def sha256(self) -> str:
        """The hexadecimal SHA-256 of the whole file, computed once."""
        return self._source.sha256()

    def verify(self) -> None:
        """Check each record not yet checked, and that the file has not changed since it was opened.

        Raises
        ------
        BadInputError
            If a record does not match its checksum (safetensors files have none), or the file has changed.

        """
        self._source.ensure_unchanged()
        for record in self._records:
            record.check()
        self._source.ensure_unchanged()

    def close(self) -> None:
        """Close the file; tensors cannot be read after this."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Open a model file and read all of it but the elements of its tensors. No code in it is run.

    Parameters
    ----------
    path
        A `torch.save` file, ``torch.package`` archive, or safetensors file; told apart by content.

    Raises
    ------
    BadInputError
        If the file is damaged, or not a checkpoint; the message says what it is.
    InputOutputError
        If it does not exist, is not a regular file, or cannot be read.
    LimitError
        If it passes a bound on size, depth or count.

    """
    source = Source(Path(path))
    try:
        return Checkpoint(source, _read(source))
    except BaseException:
        source.close()
        raise


def _read(source: Source) -> Parts:
    head = source.read(0, min(HEAD, source.size))
    if head.startswith(b"PK\x03\x04"):
        return read_torch(source)
    if looks_like_safetensors(head):
        return read_safetensors(source)
    what, fix = identify(head, source.size)
    raise NotACheckpointError(f"{source.name} is {what}", fix)
