"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from vampconv.errors import InputOutputError, UsageError
from vampconv.files.claims import Claim, Plan, claim, put, sweep
from vampconv.files.disk import require_room, sync


def numbered(path: Path, count: int) -> list[Path]:
    """Names for so many files: the path itself, or with ``-1``, ``-2`` … before its suffix."""
    if count == 1:
        return [path]
    width = len(str(count))
    return [path.with_name(f"{path.stem}-{number:0{width}}{path.suffix}") for number in range(1, count + 1)]


class Outputs:
    """Files that are written under other names beside their own, and put in place together at the end.

    What earlier writers left in the same directories, if they were killed, is removed; if they were about to put
    their files in place, that is finished. So of the files in one directory all are new or none is, once someone
    writes there again; each is whole at any time.

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
        If one is there and not to be replaced, or nothing can be written to its directory.

    """

    def __init__(self, paths: Sequence[Path], *, force: bool) -> None:
        self.force = force
        self.staged: dict[Path, Path] = {}
        self.claims: dict[Path, Claim] = {}
        self.fresh: set[Path] = set()
        self.dropped: list[Path] = []
        self.leftovers: list[Path] = []
        if len({Path(os.path.realpath(p)) for p in paths}) < len(paths):
            raise UsageError("two outputs are one file", "give each a name of its own")
        for path in paths:
            if not path.parent.is_dir():
                raise InputOutputError(
                    f"{path} cannot be written: there is no directory {path.parent}", "make it first"
                )
            if path.is_dir():
                raise InputOutputError(f"{path} cannot be written: it is a directory", "give a file")
            if path.exists() and not path.is_file():
                raise InputOutputError(f"{path} cannot be written: it is a device or a pipe", "give a file")
            if os.path.lexists(path) and not force:
                raise _stands(path)
        for directory in {Path(os.path.realpath(path)).parent for path in paths}:
            sweep(directory)
        with _released_on_failure(self):
            for path in paths:
                self._claimed(path)

    def require_room(self, needed: int, largest: int) -> None:
        """Raise an error if the files' directories have not so many bytes left, or the largest may not be written."""
        for directory in self.claims:
            require_room(directory, needed, largest)

    def stage(self, path: Path, *, fresh: bool = False) -> Path:
        """Where to write what becomes a file; one that is `fresh` replaces nothing, and is put in place first.

        Raises
        ------
        InputOutputError
            If nothing can be written there.

        """
        target = Path(os.path.realpath(path))
        self.staged[target] = self._claimed(path).staged(target.name)
        self.leftovers.append(self.staged[target])
        if fresh or not self.force:
            self.fresh.add(target)
        return self.staged[target]

    def write(self, path: Path, content: bytes) -> None:
        """Stage a whole file."""
        try:
            self.stage(path).write_bytes(content)
        except OSError as error:
            raise unwritable(path, error) from error

    def drop(self, path: Path) -> None:
        """Remove a file that is there when all are in place."""
        self.dropped.append(Path(os.path.realpath(path.parent), path.name))

    def place(self) -> None:
        """Put all in place.

        Raises
        ------
        InputOutputError
            If that is not possible; what was there is there again then.

        """
        order = sorted(self.staged, key=lambda target: target not in self.fresh)
        several = len(order) + len(self.dropped) > 1
        moves = [Move(self.staged[t], t, replacing=t not in self.fresh, planned=several) for t in order]
        last = next(iter(order), Path())
        try:
            for last in order:
                sync(self.staged[last])
            if several:
                self._resolve()
            for move in moves:
                last = move.target
                move.do()
            for directory in self.claims:
                sync(directory)
        except BaseException as error:
            for move in reversed(moves):
                move.undo()
            for found in self.claims.values():
                with suppress(OSError):
                    found.revoke()
            if isinstance(error, OSError):
                raise unwritable(last, error) from error
            raise
        self.leftovers += [*(move.old for move in moves), *self.dropped]

    def discard(self) -> None:
        """Remove what is not in place; what cannot be removed is left to the next run."""
        stuck = {path.parent for path in self.leftovers if not _removed(path)}
        while self.claims:
            directory, found = self.claims.popitem()
            found.release(keep=directory in stuck)

    def _claimed(self, path: Path) -> Claim:
        directory = Path(os.path.realpath(path)).parent
        try:
            if directory not in self.claims:
                self.claims[directory] = claim(directory)
        except OSError as error:
            raise unwritable(path, error) from error
        return self.claims[directory]

    def _resolve(self) -> None:
        for directory, found in self.claims.items():
            here = [target for target in self.staged if target.parent == directory]
            plan = Plan(
                replaced=[target.name for target in here if target not in self.fresh],
                fresh=[target.name for target in here if target in self.fresh],
                dropped=[path.name for path in self.dropped if path.parent == directory],
            )
            found.resolve(plan)


@dataclass
class Move:
    """A file that is put in place, and the one that it replaces kept until all are."""

    staged: Path
    target: Path
    replacing: bool
    planned: bool
    """Whether the plan is written down, by which a killed writer's moves are finished."""
    ours: os.stat_result | None = field(default=None, init=False)

    @property
    def old(self) -> Path:
        """Where the file is meanwhile that is replaced."""
        return self.staged.with_name(self.staged.name + ".old")

    def do(self) -> None:
        """Put it in place."""
        self.ours = self.staged.stat()
        if self.replacing:
            with suppress(FileNotFoundError):
                self._keep()
        try:
            put(self.staged, self.target, replacing=self.replacing)
        except FileExistsError:
            raise _stands(self.target) from None

    def _keep(self) -> None:
        """Give the old file a second name, or, where a file cannot have two, that name alone."""
        try:
            os.link(self.target, self.old, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except OSError:
            if self.planned:
                self.target.rename(self.old)

    def undo(self) -> None:
        """Let be there what was there."""
        if self.ours is None:
            return
        with suppress(OSError):
            if os.path.lexists(self.old):
                self.old.replace(self.target)
                self.old.unlink(missing_ok=True)  # it stays where both names were of one file
            elif os.path.lexists(self.target) and os.path.samestat(self.target.lstat(), self.ours):
                self.target.unlink()


@contextmanager
def outputs(paths: Sequence[Path], *, force: bool) -> Iterator[Outputs]:
    """Files to write; they are put in place if all goes well, and otherwise nothing stays."""
    found = Outputs(paths, force=force)
    try:
        yield found
        found.place()
    finally:
        found.discard()


@contextmanager
def _released_on_failure(found: Outputs) -> Iterator[None]:
    try:
        yield
    except BaseException:
        found.discard()
        raise


def _removed(path: Path) -> bool:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return False
    return True


def _stands(path: Path) -> InputOutputError:
    return InputOutputError(f"{path} is there already", "give --force to replace it, or another name")


def unwritable(path: Path, error: OSError) -> InputOutputError:
    """That a file cannot be written."""
    return InputOutputError(
        f"{path} cannot be written: {error.strerror or error}", "check its path and the disk"
    )
