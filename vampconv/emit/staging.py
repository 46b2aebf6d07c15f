"""Where a bundle is built: names beside the output, who owns them, and what a crash left behind."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vampconv.emit.exchange import pending
from vampconv.files.disk import sync

_LONGEST_NAME = 200
_NO_LOCKS = frozenset(
    {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL, errno.EBADF}
)
_LOCK_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


@dataclass(frozen=True)
class Place:
    """An output directory and the names beside it that belong to it.

    While a conversion runs, these stand beside ``NAME``, each after ``.NAME.vampconv-``: ``TOKEN`` (the
    staging directory), ``TOKEN.lock`` (held by its owner), ``lock`` (held while any of these come or go) and,
    while an old bundle is replaced on a system without atomic exchange, ``TOKEN.aside`` and ``journal``.
    """

    target: Path

    @property
    def parent(self) -> Path:
        return self.target.parent

    @property
    def journal(self) -> Path:
        return self.beside("journal")

    @property
    def prefix(self) -> str:
        name = os.fsencode(self.target.name)
        short = len(name) <= _LONGEST_NAME
        return f".{self.target.name if short else hashlib.sha256(name).hexdigest()[:32]}.vampconv-"

    def beside(self, suffix: str) -> Path:
        return self.parent / (self.prefix + suffix)

    def traces(self) -> set[str]:
        """The tokens, ``lock`` and ``journal`` for which a name stands beside the output."""
        pattern = re.compile(re.escape(self.prefix) + r"([0-9a-f]{16}|lock|journal)(\.lock|\.aside)?")
        try:
            found = [pattern.fullmatch(entry.name) for entry in self.parent.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return set()
        return {match[1] for match in found if match}


def locate(output: Path) -> Place:
    """The place that `output` means; a link stands for what it points to."""
    return Place(Path(os.path.realpath(output)))


def aside(staging: Path) -> Path:
    """The name for the old bundle while `staging` replaces it."""
    return staging.with_name(staging.name + ".aside")


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """Hold the output's lock; goes on without where the file system has no locks. Waits for other holders."""
    path = place.beside("lock")
    try:
        descriptor = _acquire(path)
    except BaseException:
        _unlink_if_free(path)
        raise
    with os.fdopen(descriptor, "rb"):
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()


def _acquire(path: Path) -> int:
    """A descriptor that holds the lock of a file, which is made if there is none."""
    while True:
        descriptor = os.open(path, _LOCK_FLAGS | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
            # Whoever held the lock before has unlinked the file, and a lock on a nameless file excludes nobody.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.lstat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _unlink_if_free(path: Path) -> None:
    """Remove a lock's file that nobody holds."""
    with suppress(OSError):
        descriptor = os.open(path, _LOCK_FLAGS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                path.unlink()
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


@contextmanager
def workspace(place: Place) -> Iterator[Path]:
    """Yield a new empty directory beside the output; at the end remove what has its name then.

    Missing parents are made, and removed if they are empty at the end. The directory's mode is what the umask
    or the parent's default access list gives.
    """
    with ExitStack() as undo:
        for directory in _missing(place.parent):
            directory.mkdir(exist_ok=True)
            undo.callback(_remove_if_empty, directory)
            sync(directory.parent)
        staging = place.beside(secrets.token_hex(8))
        lock = staging.with_name(staging.name + ".lock")
        with locked(place):
            undo.callback(_unlink, lock)
            descriptor = os.open(lock, _LOCK_FLAGS | os.O_CREAT | os.O_EXCL, 0o666)
            undo.callback(os.close, descriptor)
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            undo.callback(_discard, place, staging)
            staging.mkdir()
        yield staging


def _unlink(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)


def seal(directory: Path) -> None:
    """Flush everything in `directory`, and give it the modes that a new directory and new files have here."""
    mode = stat.S_IMODE(directory.stat().st_mode)
    for folder, _, files in os.walk(directory, topdown=False, onerror=throw):
        for path in (Path(folder) / name for name in files):
            if path.is_file() and not path.is_symlink():
                _set_mode(path, mode & 0o666)
                sync(path)
        _set_mode(Path(folder), mode)
        sync(Path(folder))


def throw(error: OSError) -> None:
    """For `os.walk`, which otherwise skips what it cannot list."""
    raise error


def _set_mode(path: Path, mode: int) -> None:
    """Set the permissions, where the file system has them."""
    if stat.S_IMODE(path.stat().st_mode) != mode:
        with suppress(PermissionError):
            path.chmod(mode)


def _missing(directory: Path) -> list[Path]:
    """The directories that must be made for `directory` to exist, outermost first."""
    return [path for path in (*reversed(directory.parents), directory) if not path.exists()]


def _remove_if_empty(directory: Path) -> None:
    with suppress(OSError):
        directory.rmdir()


def _discard(place: Place, staging: Path) -> None:
    """Remove a staging directory and the old bundle moved aside for it, unless the journal needs them yet."""
    with suppress(OSError):
        if staging not in (pending(place.journal) or ()):
            for leftover in (staging, aside(staging)):
                _remove_tree(leftover)


def _remove_tree(directory: Path) -> None:
    """Remove a directory, as far as that is possible; a bundle may have been made read-only."""
    for folder, _, _ in os.walk(directory):
        with suppress(OSError):
            Path(folder).chmod(stat.S_IRWXU)
    shutil.rmtree(directory, ignore_errors=True)


def sweep(place: Place) -> None:
    """Remove what crashed runs left beside the output; needs the lock, and a journal that was rolled."""
    for token in place.traces() - {"lock", "journal"}:
        staging = place.beside(token)
        lock = staging.with_name(staging.name + ".lock")
        if _abandoned(lock):
            _discard(place, staging)
            _unlink(lock)


def _abandoned(lock: Path) -> bool:
    """Whether no live process holds `lock`; where that cannot be known, assume that one does."""
    try:
        descriptor = os.open(lock, _LOCK_FLAGS)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
