"""Heat maps of errors as small PNG images inside the page."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vampconv.verify.report.text import error

RAMP = ("#0b0724", "#420a68", "#932667", "#dd513a", "#fca50a", "#fcffa4")
"""Colours from the smallest error to the largest, evenly spaced."""
NON_FINITE = "#00a0ff"
RANGE = 1e-6
"""The smallest error that is told apart, over the largest."""


@dataclass(frozen=True)
class HeatMap:
    """An image, the first axis from left to right and the second from top to bottom, and what its ends mean."""

    name: str
    source: str
    """The image as a ``data:`` URI."""
    low: float
    high: float
    width: int
    height: int
    non_finite: int
    """Cells that are NaN or infinite."""

    @property
    def description(self) -> str:
        """The image in words."""
        told = f"Heat map of {self.width} by {self.height} cells, "
        told += f"errors from {error(self.low)} to {error(self.high)}"
        return f"{told}; {self.non_finite} cells are not finite" if self.non_finite else told


def heat_map(name: str, rows: Sequence[Sequence[float]]) -> HeatMap | None:
    """The heat map of errors by [time, feature] cell, on a log scale; None if there is no cell."""
    cells = np.array(rows, np.float64)
    if cells.ndim != 2 or not cells.size:
        return None
    finite = np.isfinite(cells)
    high = float(cells[finite].max(initial=0.0))
    floor = max(high * RANGE, float(np.min(cells[finite & (cells > 0)], initial=high)))
    low = floor or 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = np.log(np.maximum(cells, low) / low) / max(float(np.log(high / low)) if high else 0.0, 1e-12)
    levels = np.where(finite, np.clip(levels, 0, 1) * 254, 255)
    pixels = levels.T.astype(np.uint8)
    source = f"data:image/png;base64,{base64.b64encode(_png(pixels)).decode()}"
    height, width = pixels.shape
    return HeatMap(name, source, floor, high, width, height, int(cells.size - finite.sum()))


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG of levels 0…254 and, for what is not finite, 255."""
    height, width = pixels.shape
    anchors = np.array([_rgb(colour) for colour in RAMP], np.float64)
    along = np.linspace(0, len(RAMP) - 1, 255)
    columns = [np.interp(along, np.arange(len(RAMP)), anchors[:, channel]) for channel in range(3)]
    palette = np.rint(np.stack(columns, 1)).astype(np.uint8).tobytes() + bytes(_rgb(NON_FINITE))
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))
