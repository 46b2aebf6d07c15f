"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from vampconv.errors import InputOutputError, UsageError
from vampconv.play.staging import Claim, claim, sweep


def numbered(path: Path, count: int) -> list[Path]:
    """Names for so many files: the path itself, or with ``-1``, ``-2`` … before its suffix."""
    if count == 1:
        return [path]
    width = len(str(count))
    return [path.with_name(f"{path.stem}-{number:0{width}}{path.suffix}") for number in range(1, count + 1)]


class Outputs:
    """Files that are written under other names beside their own, and put in place together at the end.

    What earlier writers left in the same directories, if they were killed, is removed.

    Parameters
    ----------
    paths
        All that will be written.
    force
        Whether files that are there are replaced.

    Raises
    ------
    UsageError
        If two are one file.
    InputOutputError
        If one is there and not to be replaced, or its directory is not.

    """

    def __init__(self, paths: Sequence[Path], *, force: bool) -> None:
        self.force = force
        self.staged: dict[Path, Path] = {}
        self.claims: dict[Path, Claim] = {}
        if len({Path(os.path.realpath(p)) for p in paths}) < len(paths):
            raise UsageError("two outputs are one file", "give each a name of its own")
        for path in paths:
            if not path.parent.is_dir():
                raise InputOutputError(f"there is no directory {path.parent}", "make it first")
            if path.is_dir():
                raise InputOutputError(f"{path} is a directory", "give a file")
            if os.path.lexists(path) and not force:
                raise _stands(path)
        for directory in {Path(os.path.realpath(path)).parent for path in paths}:
            sweep(directory)

    def stage(self, path: Path) -> Path:
        """Where to write what becomes a file.

        Raises
        ------
        InputOutputError
            If nothing can be written there.

        """
        target = Path(os.path.realpath(path))
        try:
            if target.parent not in self.claims:
                self.claims[target.parent] = claim(target.parent)
        except OSError as error:
            raise _unwritable(path, error) from error
        self.staged[target] = self.claims[target.parent].staged(target.name)
        return self.staged[target]

    def write(self, path: Path, content: bytes) -> None:
        """Stage a whole file."""
        try:
            self.stage(path).write_bytes(content)
        except OSError as error:
            raise _unwritable(path, error) from error

    def place(self) -> None:
        """Put all in place."""
        placed: list[Path] = []
        try:
            for target, staged in self.staged.items():
                _sync(staged)
                self._move(staged, target)
                placed.append(target)
        except BaseException:
            for target in placed if not self.force else ():
                target.unlink(missing_ok=True)
            raise

    def _move(self, staged: Path, target: Path) -> None:
        if self.force:
            staged.replace(target)
            return
        try:
            os.link(staged, target)
        except FileExistsError:
            raise _stands(target) from None
        except OSError:  # a file system without hard links
            staged.rename(target)
        else:
            staged.unlink()

    def discard(self) -> None:
        """Remove what is not in place."""
        for staged in self.staged.values():
            with suppress(OSError):
                staged.unlink(missing_ok=True)
        while self.claims:
            self.claims.popitem()[1].release()


@contextmanager
def outputs(paths: Sequence[Path], *, force: bool) -> Iterator[Outputs]:
    """Files to write; they are put in place if all goes well, and otherwise nothing stays."""
    found = Outputs(paths, force=force)
    try:
        yield found
        found.place()
    finally:
        found.discard()


def _stands(path: Path) -> InputOutputError:
    return InputOutputError(f"{path} is there already", "give --force to replace it, or another name")


def _unwritable(path: Path, error: OSError) -> InputOutputError:
    return InputOutputError(f"{path} cannot be written: {error.strerror}", "check its path and the disk")


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
