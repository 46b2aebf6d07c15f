"""Build a bundle beside its place and move it there in one step; a failure leaves everything as it was."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from vampconv.emit.exchange import roll, settle, swap
from vampconv.emit.staging import Place, aside, locate, locked, seal, sweep, workspace
from vampconv.emit.standing import all_files, listed_files, occupied, refuse_in_use
from vampconv.errors import InputOutputError

_FIXES = {
    errno.ENOSPC: "free some space there or choose another -o",
    errno.EDQUOT: "free some of your quota or choose another -o",
    errno.EFBIG: "raise the file size limit or choose an -o on another file system",
    errno.EROFS: "choose an -o on a file system that can be written to",
    errno.EIO: "check the disk, or choose an -o on another one",
    errno.EACCES: "check the permissions of its directory or choose another -o",
    errno.EPERM: "check the permissions of its directory or choose another -o",
    errno.ENAMETOOLONG: "choose a shorter -o",
    errno.ENOTDIR: "choose an -o whose parents are directories",
    errno.EBUSY: "choose an -o inside it",
    errno.EXDEV: "choose an -o inside it",
    errno.ENOTEMPTY: "another program wrote there; run again or choose another -o",
}
_ABOUT_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO})


@contextmanager
def staged(output: Path, *, force: bool = False, keep_manifested: bool = False) -> Iterator[Path]:
    """Yield an empty directory beside `output` to build a bundle in, and move it to `output` at the end.

    Parameters
    ----------
    output
        The bundle's directory. Missing parents are made. A link to a directory keeps pointing to its place.
    force
        Replace a bundle that stands there; never anything else.
    keep_manifested
        Replace a bundle that stands there, and carry over from it each file that was not written anew and
        that the new manifest lists with the old manifest's entry.

    Raises
    ------
    InputOutputError
        If `output` may not be replaced (told on entering and again at the end), or cannot be written. Any
        exception, from here or from the caller's block, leaves `output` and its surroundings as they were.

    """
    replace = force or keep_manifested
    with ExitStack() as stack:
        with _explained(output):
            recover(output)
            place = locate(output)
            refuse_in_use(place, output)
            occupied(place.target, output, replace=replace)
            staging = stack.enter_context(workspace(place))
        with _explained(output, within=staging):
            yield staging
        with _explained(output):
            seal(staging)
            with locked(place):
                roll(place.target, place.journal)
                _commit(place, staging, output, replace=replace, keep=keep_manifested)


def check_output(output: Path, *, replace: bool) -> None:
    """Raise what `staged` would raise on entering; nothing is written."""
    with _explained(output):
        place = locate(output)
        refuse_in_use(place, output)
        occupied(place.target, output, replace=replace)


def recover(output: Path) -> None:
    """Finish what a crashed run began at `output`, and remove its leftovers; those of live runs stay."""
    with _explained(output):
        place = locate(output)
        if place.traces():
            with locked(place):
                roll(place.target, place.journal)
                sweep(place)


def _commit(place: Place, staging: Path, output: Path, *, replace: bool, keep: bool) -> None:
    if not occupied(place.target, output, replace=replace):
        settle(staging, place.target)
        return
    if keep and any(place.target.iterdir()):
        _carry_over(place.target, staging, output)
        seal(staging)
    check = partial(occupied, output=output, replace=replace)
    swap(staging, place.target, aside=aside(staging), journal=place.journal, check=check)


def _carry_over(old: Path, staging: Path, output: Path) -> None:
    """Copy into `staging` the files that its manifest lists and that only the old bundle has."""
    before, after = listed_files(old, output), listed_files(staging, output)
    for name in sorted(after.keys() - all_files(staging)):
        source = old / name
        if before.get(name) != after[name] or name not in all_files(old) or source.is_symlink():
            raise InputOutputError(
                f"'{output}' lost or changed '{name}' during the conversion", "run it again"
            )
        (staging / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, staging / name)


@contextmanager
def _explained(output: Path, within: Path | None = None) -> Iterator[None]:
    """Turn an OSError into one about `output`; given `within`, only one about writing or a path in there."""
    try:
        yield
    except OSError as error:
        named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
        if within and error.errno not in _ABOUT_WRITING and not Path(named).is_relative_to(within):
            raise
        problem = f"cannot write '{output}': {error.strerror or error}"
        raise InputOutputError(problem, _FIXES.get(error.errno or 0, "choose another -o")) from error
