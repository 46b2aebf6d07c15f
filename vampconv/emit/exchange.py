"""Put one directory in another's place so that a crash at any moment leaves the old one or the new one."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from vampconv.errors import InputOutputError
from vampconv.files.disk import sync

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT_EXCHANGE = frozenset({errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP})


def _find_renameat2() -> Callable[..., int] | None:
    """The C library's ``renameat2``, or None where there is none."""
    if sys.platform != "linux":
        return None
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    return function


_renameat2 = _find_renameat2()


def exchange(one: Path, other: Path) -> bool:
    """Let two existing absolute paths trade places in one step; False where the system cannot."""
    if _renameat2 is None:
        return False
    if _renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _CANNOT_EXCHANGE:
        return False
    raise OSError(code, os.strerror(code), str(one), None, str(other))


def settle(staging: Path, target: Path) -> None:
    """Move `staging` to `target`, where nothing or an empty directory stands; ENOTEMPTY otherwise."""
    mine = staging.stat().st_ino
    with ExitStack() as undo:
        undo.callback(_move_back, mine, target, staging)
        staging.rename(target)
        sync(target.parent)
        undo.pop_all()


def swap(staging: Path, target: Path, *, aside: Path, journal: Path, check: Callable[[Path], object]) -> None:
    """Put `staging` where `target` stands; the old directory ends under the name `staging` or `aside`.

    Parameters
    ----------
    staging, target
        The new and the old directory, absolute, in one parent.
    aside, journal
        Free names in that parent, used where the system has no atomic exchange.
    check
        Called with the old directory after the move; if it raises, or the disk fails, everything is put back.

    """
    mine = staging.stat().st_ino
    with ExitStack() as undo:
        undo.callback(_exchange_back, mine, target, staging)
        exchanged = exchange(staging, target)
        if exchanged:
            check(staging)
            sync(target.parent)
        undo.pop_all()
    if not exchanged:
        _swap_journalled(staging, target, aside, journal, check)


def _swap_journalled(
    staging: Path, target: Path, aside: Path, journal: Path, check: Callable[[Path], object]
) -> None:
    """Replace by two renames; `journal` lets `roll` finish them after a crash."""
    mine = staging.stat().st_ino
    with ExitStack() as undo:
        undo.callback(_roll_back, mine, target, staging, aside, journal)
        descriptor = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump({"staging": staging.name, "aside": aside.name}, file)
            file.flush()
            os.fsync(file.fileno())
        sync(target.parent)
        target.rename(aside)
        sync(target.parent)
        check(aside)
        staging.rename(target)
        sync(target.parent)
        undo.pop_all()
    # The new bundle stands; a journal that stays makes the next run find nothing left to do.
    with suppress(OSError):
        journal.unlink()
        sync(target.parent)


def _stands(inode: int, path: Path) -> bool:
    return os.path.lexists(path) and path.lstat().st_ino == inode


def _move_back(mine: int, target: Path, staging: Path) -> None:
    if _stands(mine, target):
        target.rename(staging)


def _exchange_back(mine: int, target: Path, staging: Path) -> None:
    if _stands(mine, target):
        exchange(staging, target)


def _roll_back(mine: int, target: Path, staging: Path, aside: Path, journal: Path) -> None:
    if os.path.lexists(aside):
        _move_back(mine, target, staging)
        aside.rename(target)
        sync(target.parent)
    journal.unlink(missing_ok=True)


def pending(journal: Path) -> tuple[Path, Path] | None:
    """The staging and aside paths of an unfinished replacement; None if there is none.

    A journal that cannot be read was never flushed, so no rename followed it. Names that are not ours are
    not followed: the parent may be a directory that others write to.
    """
    prefix = journal.name.removesuffix("journal")
    try:
        names = json.loads(journal.read_text("ascii"))
        staging, aside = names["staging"], names["aside"]
        ours = all(name.startswith(prefix) and "/" not in name for name in (staging, aside))
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return (journal.with_name(staging), journal.with_name(aside)) if ours else None


def roll(target: Path, journal: Path) -> None:
    """Finish the replacement that a crash interrupted, or take it back where the new bundle is gone."""
    names = pending(journal)
    if names is not None and os.path.lexists(names[1]):
        staging, aside = names
        try:
            if os.path.lexists(staging):
                staging.rename(target)
            elif not os.path.lexists(target):
                aside.rename(target)
        except OSError as error:
            raise InputOutputError(
                f"an interrupted replacement of '{target}' cannot be finished ({error.strerror}); "
                f"the earlier bundle is kept in '{aside}'",
                f"move '{target}' out of the way and run again",
            ) from error
        sync(target.parent)
    if os.path.lexists(journal):
        journal.unlink()
        sync(target.parent)
