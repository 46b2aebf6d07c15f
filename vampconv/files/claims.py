"""Names under which files are written before they are put in place, and what killed writers left there.

A writer claims each directory that it writes to: a file ``.vamp-TOKEN.lock``, on which it holds a lock as long as it
lives, and beside it ``.NAME.vamp-TOKEN`` for each file NAME that is to be, and ``.NAME.vamp-TOKEN.old`` for the one
that it replaces, until all are in place. What is to be done is written into the lock's file before it is begun, so
that whoever comes next can finish it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vampconv.files.disk import sync

LONGEST_NAME = 200
"""Bytes of a file's name that still fit into that of its staged one."""
LONGEST_PLAN = 1 << 20
"""Bytes of a lock's file that are read."""

_LOCK = re.compile(r"\.vamp-([0-9a-f]{16})\.lock")


@dataclass(frozen=True)
class Plan:
    """What is to be done in a directory: names of files that are put in place, and of files that go then."""

    replaced: Sequence[str]
    """May replace what is there."""
    fresh: Sequence[str] = ()
    """May not; they come first."""
    dropped: Sequence[str] = ()


@dataclass(frozen=True)
class Claim:
    """A directory that is written to."""

    directory: Path
    token: str
    descriptor: int
    """Holds the lock."""

    def staged(self, name: str) -> Path:
        """Where to write what becomes a file of this name."""
        return _staged(self.directory, self.token, name)

    def resolve(self, plan: Plan) -> None:
        """Write down what is to be done; from here on, whoever sweeps the directory finishes it."""
        content = json.dumps([list(plan.fresh), list(plan.replaced), list(plan.dropped)]).encode()
        os.truncate(self.descriptor, 0)
        written = os.pwrite(self.descriptor, content, 0)
        if written != len(content):
            raise OSError(f"{written} of {len(content)} bytes were written")
        os.fsync(self.descriptor)
        sync(self.directory)

    def revoke(self) -> None:
        """Take back what was written down."""
        os.truncate(self.descriptor, 0)

    def release(self, *, keep: bool = False) -> None:
        """Give it up; nothing is staged any more, or `keep` the lock's file, that someone sweeps up what is."""
        with suppress(OSError):
            if not keep:
                _lock_of(self.directory, self.token).unlink()
        os.close(self.descriptor)


def claim(directory: Path) -> Claim:
    """Claim a directory. On a file system without locks `sweep` never touches it.

    Raises
    ------
    OSError
        If nothing can be written there.

    """
    while True:
        token = secrets.token_hex(8)
        try:
            descriptor = _locked(_lock_of(directory, token))
        except BaseException:
            with suppress(OSError):
                _lock_of(directory, token).unlink(missing_ok=True)
            raise
        if descriptor is not None:
            return Claim(directory, token, descriptor)


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock of a new file; None if that is gone again."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    # A sweeper that saw the file before it was locked has taken it away.
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), path.lstat()):
            return descriptor
    os.close(descriptor)
    return None


def sweep(directory: Path) -> None:
    """Finish what killed writers began to put in place, and remove what they left; those that live hold locks."""
    with suppress(OSError):
        tokens = [match[1] for path in directory.iterdir() if (match := _LOCK.fullmatch(path.name))]
        for token in tokens:
            _settle(directory, token)


def put(staged: Path, target: Path, *, replacing: bool) -> None:
    """Put a file in place.

    Raises
    ------
    FileExistsError
        If there is one, and it is not to be replaced.
    OSError
        If that is not possible.

    """
    if replacing:
        staged.replace(target)
        return
    try:
        os.link(staged, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            raise FileExistsError(target) from None
        staged.rename(target)
    else:
        staged.unlink()


def _settle(directory: Path, token: str) -> None:
    """Finish the work of a dead writer; one that lives keeps its lock."""
    lock = _lock_of(directory, token)
    with suppress(OSError):
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (plan := _plan_in(descriptor)) is not None:
                _finish(directory, token, plan)
            for pattern in (f".*.vamp-{token}", f".*.vamp-{token}.old"):
                for path in directory.glob(pattern):
                    path.unlink(missing_ok=True)
            lock.unlink()
        finally:
            os.close(descriptor)


def _plan_in(descriptor: int) -> Plan | None:
    """What a lock's file tells is to be done; None if nothing, or nothing that we wrote ourselves."""
    if os.fstat(descriptor).st_uid != os.geteuid():  # in a directory that others write to, it may be forged
        return None
    try:
        fresh, replaced, dropped = json.loads(os.pread(descriptor, LONGEST_PLAN, 0))
        names = (*fresh, *replaced, *dropped)
        plain = all(isinstance(n, str) and "/" not in n and n not in ("", ".", "..") for n in names)
    except (ValueError, TypeError, RecursionError):
        return None
    return Plan(replaced, fresh, dropped) if plain else None


def _finish(directory: Path, token: str, plan: Plan) -> None:
    for name in (*plan.fresh, *plan.replaced):
        staged, target = _staged(directory, token, name), directory / name
        # A file that is there and not replaced is another writer's, or ours, which has two names yet.
        with suppress(FileExistsError):
            if os.path.lexists(staged):
                put(staged, target, replacing=name in plan.replaced)
    for name in plan.dropped:
        (directory / name).unlink(missing_ok=True)
    sync(directory)


def _staged(directory: Path, token: str, name: str) -> Path:
    content = os.fsencode(name)
    short = name if len(content) <= LONGEST_NAME else hashlib.sha256(content).hexdigest()[:32]
    return directory / f".{short}.vamp-{token}"


def _lock_of(directory: Path, token: str) -> Path:
    return directory / f".vamp-{token}.lock"
