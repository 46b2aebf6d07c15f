"""``torch.save`` and ``torch.package`` archives: from zip records to named tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vampconv.checkpoint.archive import read_archive
from vampconv.checkpoint.dtypes import STORAGES, TORCH, UNTYPED
from vampconv.checkpoint.layout import Contents, contents_of, metadata_of
from vampconv.checkpoint.machine import MAX_PICKLE_BYTES, unpickle
from vampconv.checkpoint.sniff import identify_zip
from vampconv.checkpoint.source import AGAIN, Source
from vampconv.checkpoint.tensor import CheckpointTensor, Strided, check_total, make_tensor
from vampconv.errors import BadInputError, LimitError, NotACheckpointError

if TYPE_CHECKING:
    import numpy as np

    from vampconv.checkpoint.record import Record
    from vampconv.checkpoint.values import TensorRef

_PACKAGE = ".data/extern_modules"
_PICKLES = (".pth", ".pt", ".pkl")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a container yields to `Checkpoint`."""

    format: str
    tensors: dict[str, CheckpointTensor]
    metadata: dict[str, object]
    outside: tuple[str, ...]
    records: tuple[Record, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Archive:
    source: Source
    records: dict[str, Record]
    storage: tuple[str, str]
    big_endian: bool

    def tensors(self, contents: Contents) -> dict[str, CheckpointTensor]:
        found = {name: self.tensor(name, reference) for name, reference in contents.tensors.items()}
        check_total(found, self.source)
        return found

    def tensor(self, name: str, reference: TensorRef) -> CheckpointTensor:
        storage = reference.storage
        stored, dtype = self.dtypes(name, reference)
        record = self.records.get(storage.key.join(self.storage))
        if record is None:
            raise BadInputError(
                f"{self.source.name}: the storage {storage.key} of tensor {name} is missing", AGAIN
            )
        if storage.size * stored.itemsize != record.size:
            raise BadInputError(
                f"{self.source.name}: tensor {name} needs {storage.size * stored.itemsize} bytes of storage, "
                f"but record {record.name} has {record.size}",
                AGAIN,
            )
        layout = Strided(reference.offset, reference.shape, reference.stride, self.big_endian)
        return make_tensor(name, dtype, layout, record)

    def dtypes(self, name: str, reference: TensorRef) -> tuple[np.dtype[Any], np.dtype[Any]]:
        """The element type that the storage's size counts, and that of the tensor."""
        kind = reference.storage.type_name
        stored = TORCH["torch.uint8"] if kind in UNTYPED else STORAGES.get(kind)
        dtype = stored if reference.dtype is None else TORCH.get(reference.dtype)
        if stored is None or dtype is None:
            raise BadInputError(
                f"{self.source.name}: tensor {name} has unsupported elements ({reference.dtype or kind})",
                "save it as real numbers",
            )
        return stored, dtype

    def unpickle(self, record: Record) -> object:
        if record.size > MAX_PICKLE_BYTES:
            raise LimitError(
                f"{self.source.name}: record {record.name} has more than {MAX_PICKLE_BYTES} bytes",
                "check the file",
            )
        return unpickle(record.read(), f"{self.source.name}: record {record.name}")


def read_torch(source: Source) -> Parts:
    """Read a zip file that `torch.save` or ``torch.package`` wrote.

    Raises
    ------
    BadInputError
        If it is damaged or something else.
    LimitError
        If it passes a bound.

    """
    records = read_archive(source, _recognise)
    tops = {name.split("/", 1)[0] for name in records}
    top = next(iter(tops), "")
    pickles = [name for name in records if name.endswith("/data.pkl") or name == "data.pkl"]
    package = f"{top}/{_PACKAGE}" in records
    if len(tops) != 1:
        raise BadInputError(f"{source.name} has {len(tops)} top folders where torch.save writes one", AGAIN)
    if not package and pickles != [f"{top}/data.pkl"]:
        raise BadInputError(f"{source.name} has its data.pkl twice or in the wrong place", AGAIN)
    storage = (f"{top}/.data/", ".storage") if package else (f"{top}/data/", "")
    archive = _Archive(source, records, storage, _big_endian(source, records.get(f"{top}/byteorder")))
    return _read_package(archive, top) if package else _read_save(archive, records[pickles[0]])


def _recognise(source: Source, names: list[str]) -> None:
    leaves = {name.rsplit("/", 1)[-1] for name in names}
    package = any(name.endswith(f"/{_PACKAGE}") for name in names)
    if "constants.pkl" in leaves or not (package or "data.pkl" in leaves):
        what, fix = identify_zip(names)
        raise NotACheckpointError(f"{source.name} is {what}", fix)


def _big_endian(source: Source, record: Record | None) -> bool:
    """Whether the byte order record says so; without one, PyTorch takes little-endian."""
    if record is None:
        return False
    order = record.read() if record.size < 16 else b""
    if order not in (b"little", b"big"):
        raise BadInputError(f"{source.name} does not say whether it is little or big endian", AGAIN)
    return order == b"big"


def _parts(form: str, archive: _Archive, contents: Contents, metadata: dict[str, object]) -> Parts:
    records = tuple(archive.records.values())
    told = f"{archive.source.name} has no checksums: damage to it would not be noticed"
    warnings = (told,) if all(record.crc32 is None for record in records) else ()
    return Parts(form, archive.tensors(contents), metadata, contents.outside, records, warnings)


def _read_save(archive: _Archive, record: Record) -> Parts:
    contents = contents_of(archive.unpickle(record), archive.source.name)
    return _parts("torch.save", archive, contents, contents.metadata)


def _read_package(archive: _Archive, top: str) -> Parts:
    names = [name for name in archive.records if not name.startswith(f"{top}/.data/")]
    models = [name for name in names if name.endswith(_PICKLES)]
    if len(models) != 1:
        found = ", ".join(models[:8]) or "none"
        raise BadInputError(
            f"{archive.source.name} is a torch.package archive that should hold one model (found: {found})",
            "package the model alone",
        )
    contents = contents_of(archive.unpickle(archive.records[models[0]]), archive.source.name)
    extra = [name for name in names if name.endswith(".metadata")]
    if len(extra) > 1:
        raise BadInputError(
            f"{archive.source.name} has {len(extra)} metadata records", "package the model alone"
        )
    metadata = contents.metadata
    if extra:
        metadata = metadata_of(archive.unpickle(archive.records[extra[0]]), archive.source.name)
    return _parts("torch.package", archive, contents, metadata)
