"""A bound on what a short pickle may unfold to."""

from __future__ import annotations

from vampconv.errors import LimitError

Arguments = tuple[object, ...]
MAX_COPIED = 64 << 20


class Budget:
    """Counts the bytes that calls copy, since one memo entry may be copied by every opcode."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._left = MAX_COPIED

    def charge(self, count: int) -> None:
        """Take `count` bytes; raise LimitError when the bound is passed."""
        self._left -= count + 1
        if self._left < 0:
            raise LimitError(f"{self._where} unfolds to more than {MAX_COPIED} bytes", "check the file")
