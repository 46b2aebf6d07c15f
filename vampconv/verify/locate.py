"""Finds the bundle to verify and the checkpoints that it was made from, and tells whether they are what they were."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from vampconv.checkpoint import open_checkpoint
from vampconv.checkpoint.source import Source
from vampconv.emit.standing import MANIFEST
from vampconv.errors import (
    InputOutputError,
    NotACheckpointError,
    UnsupportedModelError,
    UsageError,
    VampconvError,
)
from vampconv.frontend.families import FAMILIES
from vampconv.frontend.frontend import Frontend
from vampconv.frontend.kinds import kind_of
from vampconv.frontend.weights import plain_name

SHOWN = 12
"""Digits of a SHA-256 that errors show."""


@dataclass
class Located:
    """The files that stand for a manifest's checkpoints; all mappings are by the manifest's labels."""

    paths: dict[str, Path] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file as it is now."""
    problems: list[str] = field(default_factory=list)
    """Files that are not the checkpoints that the bundle was made from."""
    notes: list[str] = field(default_factory=list)
    """Where files were found, and those passed over."""


@dataclass(frozen=True)
class Wanted:
    """A checkpoint as the manifest describes it."""

    label: str
    kind: str
    size: int
    sha256: str
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Wanted:
        """The manifest's entry, checked."""
        try:
            shapes = {plain_name(t["name"]): tuple(t["shape"]) for t in entry["tensors"]}
            return cls(str(entry["file"]), entry["kind"], int(entry["bytes"]), str(entry["sha256"]), shapes)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InputOutputError(
                f"{MANIFEST} is damaged: its entry of a checkpoint is incomplete",
                "convert again with --force",
            ) from None

    def __str__(self) -> str:
        return f"{self.label} (sha256 {self.sha256[:SHOWN]})"

    @property
    def place(self) -> PurePosixPath:
        """Where it lay, as far as the label tells: its name, perhaps with some folders."""
        return PurePosixPath(self.label.removesuffix(f"#{self.sha256[:8]}"))


def find_bundle(path: Path | None = None) -> Path:
    """The bundle that is meant: the given one, or else the one here or right under here.

    Raises
    ------
    UsageError
        If none was given, and none or several are here.
    InputOutputError
        If what was given is no bundle.

    """
    if path is not None:
        if _size(path / MANIFEST) < 0:
            told = f"is not a bundle: it has no {MANIFEST}" if os.path.lexists(path) else "does not exist"
            raise InputOutputError(f"{path} {told}", "give a directory that `vampconv convert` wrote")
        return path
    here = Path.cwd()
    if _size(here / MANIFEST) >= 0:
        return here
    under = [p for p in _entries(here) if not p.name.startswith(".") and _size(p / MANIFEST) >= 0]
    if len(under) != 1:
        listed = ", ".join(p.name for p in under)
        told = f"there are several bundles here: {listed}" if under else "there is no bundle here"
        raise UsageError(told, "name the one to verify" if under else "name the directory of a bundle")
    return Path(under[0].name)


def check_files(manifest: Mapping[str, Any], bundle: Path) -> list[str]:
    """How the bundle's files differ from what the manifest says of them."""
    return hash_files(manifest, bundle)[1]


def hash_files(manifest: Mapping[str, Any], bundle: Path) -> tuple[dict[str, str], list[str]]:
    """SHA-256 of each file that the manifest lists, as it is now; and how they differ from what it says."""
    with ThreadPoolExecutor(2) as pool:
        read = list(pool.map(lambda name: _read(bundle, name), manifest["files"]))
    hashes, problems = {}, []
    for (name, entry), (sha256, problem) in zip(manifest["files"].items(), read, strict=True):
        listed = entry.get("sha256") if isinstance(entry, Mapping) else None
        if problem:
            problems.append(problem)
            continue
        hashes[name] = sha256
        if sha256 != listed:
            problems.append(
                f"{name} is not as it was written: sha256 {sha256[:SHOWN]} instead of {str(listed)[:SHOWN]}"
            )
    return hashes, problems


def _read(bundle: Path, name: str) -> tuple[str, str]:
    """SHA-256 of a file of the bundle, or the problem of reading it."""
    if PurePosixPath(name).name != name:
        return "", f"{MANIFEST} lists {name!r}, which is no file of the bundle"
    if not os.path.lexists(bundle / name):
        return "", f"{name} is missing"
    try:
        return _sha256(bundle / name), ""
    except VampconvError as error:
        return "", error.problem


def find_checkpoints(
    manifest: Mapping[str, Any],
    bundle: Path,
    against: Sequence[Path] = (),
    frontends: Sequence[Frontend] = FAMILIES,
) -> Located:
    """The file of each checkpoint of the manifest.

    A file is known by its SHA-256, taken only of files of the right size. What is given in `against` goes before
    what lies around, and a file that is named there stands for the checkpoint of its kind whatever its SHA-256.

    Parameters
    ----------
    manifest
        Of the bundle.
    bundle
        Its directory; beside it, above that, and in the current directory the checkpoints are looked for.
    against
        Files, and directories of them.
    frontends
        The families of models that are known.

    Raises
    ------
    UsageError
        If a checkpoint is not found, or a file stands for none.
    VampconvError
        If a file that was named cannot be read or is no checkpoint.

    """
    search = _Search([Wanted.of(entry) for entry in manifest["checkpoints"]], frontends)
    named = list(dict.fromkeys(p for p in against if not p.is_dir()))
    inside = [file for p in against if p.is_dir() for file in _entries(p) if _size(file) >= 0]
    search.by_hash([*named, *inside])
    for path in named:
        search.by_content(path, named=True)
    search.by_hash(_around(bundle, search.missing))
    for path in inside:
        search.by_content(path, named=False)
    if search.missing:
        noun = "checkpoints" if len(search.missing) > 1 else "checkpoint"
        listed = ", ".join(map(str, search.missing))
        raise UsageError(
            f"{noun} {listed} not found beside {bundle} or here{search.seen()}", "give the file by --against"
        )
    return search.located


class _Search:
    """What is still missing, and what was found."""

    def __init__(self, wanted: Sequence[Wanted], frontends: Sequence[Frontend]) -> None:
        self.frontends = frontends
        self.wanted = tuple(wanted)
        self.located = Located()
        self._taken: set[Path] = set()
        self._hashes: dict[Path, str] = {}

    @property
    def missing(self) -> list[Wanted]:
        return [w for w in self.wanted if w.label not in self.located.paths]

    def by_hash(self, files: Sequence[Path]) -> None:
        """Take the files whose SHA-256 is wanted; of several, one of the right name."""
        for wanted in self.missing:
            alike = [f for f in files if _size(f) == wanted.size]
            for path in sorted(alike, key=lambda f: f.name != wanted.place.name):
                if self._sha256(path) == wanted.sha256:
                    self._take(wanted, path)
                    break

    def by_content(self, path: Path, *, named: bool) -> None:
        """Take a file for the missing checkpoint of its kind, tensors and name, as far as these decide."""
        if path.resolve() in self._taken or not (named or self.missing):
            return
        try:
            with open_checkpoint(path) as checkpoint:
                kind = kind_of(checkpoint, self.frontends).kind
                shapes = {plain_name(t.name): t.shape for t in checkpoint.tensors.values()}
        except (NotACheckpointError, UnsupportedModelError):
            if named:
                raise
            return
        alike = [w for w in self.missing if w.kind == kind]
        alike = [w for w in alike if w.shapes == shapes] or alike
        alike = [w for w in alike if w.place.name == path.name] or alike
        if len(alike) == 1:
            self._take(alike[0], path)
        elif named:
            told = (
                f"it could be {' or '.join(w.label for w in alike)}"
                if alike
                else "the bundle has no place for it"
            )
            raise UsageError(
                f"--against {path}: a {kind}, but {told}", "give the checkpoints that the bundle lists"
            )
        else:
            self.located.notes.append(f"passed over: {path}, a {kind}")

    def seen(self) -> str:
        """Mention of the files that have the name of a missing checkpoint, and are another."""
        names = {w.place.name for w in self.missing}
        others = [str(path) for path in self._hashes if path.name in names]
        return f" (another file is {others[0]})" if others else ""

    def _take(self, wanted: Wanted, path: Path) -> None:
        found = self._sha256(path)
        self._taken.add(path.resolve())
        self.located.paths[wanted.label] = path
        self.located.hashes[wanted.label] = found
        self.located.notes.append(f"{wanted.label}: {path}")
        if found != wanted.sha256:
            self.located.problems.append(
                f"{path.name} is not the checkpoint that the bundle was made from ({wanted.label}): "
                f"sha256 {found[:SHOWN]} instead of {wanted.sha256[:SHOWN]}"
            )

    def _sha256(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = _sha256(path)
        return self._hashes[path]


def _around(bundle: Path, wanted: Iterable[Wanted]) -> list[Path]:
    """What lies beside the bundle, above that and here, and in the folders there that the labels name."""
    parents = [bundle.absolute().parent, bundle.resolve().parent, Path.cwd(), bundle.resolve().parent.parent]
    folders = [w.place for w in wanted if len(w.place.parts) > 1 and ".." not in w.place.parts]
    paths: list[Path] = []
    for directory in dict.fromkeys(parents):
        with suppress(InputOutputError):
            paths += _entries(directory)
        paths += [directory / place for place in folders]
    return paths


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError as error:
        raise InputOutputError(
            f"{directory} cannot be listed ({error.strerror})", "check its permissions"
        ) from None


def _size(path: Path) -> int:
    """Bytes of a regular file, -1 of anything else."""
    try:
        status = path.stat()
    except OSError:
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1


def _sha256(path: Path) -> str:
    with closing(Source(path)) as source:
        return source.sha256()
