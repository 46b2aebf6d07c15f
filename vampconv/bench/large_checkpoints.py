"""Checkpoints of any size that take no room on the disk: the large weights are zeros, which the file leaves out."""

from __future__ import annotations

import struct
import sys
import zipfile
import zlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from vampconv.reference.config import VampNetConfig
from vampconv.reference.random_checkpoint import (
    COARSE,
    LAC_KWARGS,
    checkpoint,
    random_codec_tables,
    random_tensor,
)
from vampconv.reference.vampnet import VampNetReference

LARGE = 1 << 20
"""Bytes from which a weight is zeros."""
NOT_ZERO = ("weight_v", "weight_g")
"""Ends of names of weights that are divided by their norm."""
_ENTRY = struct.Struct("<4s6H3I5H2I")
"""An entry of a zip file's directory; its checksum is the ninth field, at byte 16."""
_CHECKSUM = 16


def layers_for(size: int) -> int:
    """Layers of a coarse model of full width whose checkpoint has at least so many bytes."""
    one, two = (_bytes(replace(COARSE, n_layers=count)) for count in (1, 2))
    return max(1, -(-(size - one) // (two - one)) + 1)


def write_large(path: Path, config: VampNetConfig, seed: int = 0) -> None:
    """Write a checkpoint as `torch.save` does, with holes for the large weights and right checksums."""
    shapes = _shapes(config)
    with torch.serialization.skip_data():
        torch.save(checkpoint({n: torch.empty(s) for n, s in shapes.items()}, config.to_kwargs()), path)
    generator = torch.Generator().manual_seed(seed)
    with zipfile.ZipFile(path) as archive:
        infos, start = archive.infolist(), archive.start_dir
    storages = [info for info in infos if Path(info.filename).parent.name == "data" and info.CRC == 0]
    checksums: dict[str, int] = {}
    with path.open("r+b") as file:
        for info, (name, shape) in zip(storages, shapes.items(), strict=True):
            if info.file_size >= LARGE and not name.endswith(NOT_ZERO):
                checksums[info.filename] = _zeros(info.file_size)
                continue
            content = np.ascontiguousarray(random_tensor(name, shape, generator).numpy(), "<f4").tobytes()
            file.seek(_data(file, info))
            file.write(content)
            checksums[info.filename] = zlib.crc32(content)
        _set_checksums(file, start, len(infos), checksums)


@cache
def _zeros(size: int) -> int:
    """CRC-32 of so many zero bytes."""
    block, found = bytes(1 << 20), 0
    for _ in range(size >> 20):
        found = zlib.crc32(block, found)
    return zlib.crc32(bytes(size & ((1 << 20) - 1)), found)


def _data(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    file.seek(info.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4))
    return int(info.header_offset + 30 + name + extra)


def _set_checksums(file: BinaryIO, start: int, count: int, checksums: dict[str, int]) -> None:
    """Write checksums into the directory."""
    position = start
    for _ in range(count):
        file.seek(position)
        fields = _ENTRY.unpack(file.read(_ENTRY.size))
        name = file.read(fields[10]).decode()
        if name in checksums:
            file.seek(position + _CHECKSUM)
            file.write(struct.pack("<I", checksums[name]))
        position += _ENTRY.size + sum(fields[10:13])


def _shapes(config: VampNetConfig) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {name: t.shape for name, t in VampNetReference(config, adapted=True).state_dict().items()}


def _bytes(config: VampNetConfig) -> int:
    return 4 * sum(shape.numel() for shape in _shapes(config).values())


def make(folder: Path, layers: int) -> None:
    """Write ``coarse.pth`` of that many layers, and ``codec.pth``, the tables that fit it."""
    folder.mkdir(exist_ok=True)
    tables = random_codec_tables(LAC_KWARGS["n_codebooks"], LAC_KWARGS["codebook_size"], 8, seed=1)
    torch.save(checkpoint(tables, LAC_KWARGS), folder / "codec.pth")
    write_large(folder / "coarse.pth", replace(COARSE, n_layers=layers))


if __name__ == "__main__":
    make(Path(sys.argv[1]), layers_for(int(sys.argv[2])))
