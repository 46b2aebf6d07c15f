"""Whether a bundle is as it was written: every file with its SHA-256, none missing, none besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vampconv.checkpoint.source import Source
from vampconv.emit.manifest import read_manifest
from vampconv.emit.standing import ACCURACY, MANIFEST, all_files
from vampconv.errors import InputOutputError, VampconvError

RIGHT = "as written"


@dataclass(frozen=True)
class CheckedFile:
    """A file of a bundle, or one that lies in its directory."""

    file: str
    state: str
    """`RIGHT`, or what is wrong."""
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class BundleCheck:
    """What was found."""

    bundle: str
    manifest_sha256: str
    """Of ``vampconv.json``, which all else is compared with: who changes it changes what is right."""
    files: list[CheckedFile]

    @property
    def wrong(self) -> list[CheckedFile]:
        """Files that are not as they were written."""
        return [file for file in self.files if file.state != RIGHT]

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        return {**asdict(self), "as_written": not self.wrong}

    def error(self) -> InputOutputError | None:
        """That it is not as it was written, if it is not."""
        if not self.wrong:
            return None
        more = f" (and {len(self.wrong) - 1} more)" if len(self.wrong) > 1 else ""
        first = self.wrong[0]
        return InputOutputError(
            f"{self.bundle} is not as it was written: {first.file} {first.state}{more}",
            "get it anew, or convert again with --force",
        )


def check_bundle(directory: Path) -> BundleCheck:
    """Compare all files in a bundle's directory with what its manifest says of them.

    Raises
    ------
    InputOutputError
        If there is no manifest, or it cannot be understood; what is wrong with other files is in the result.

    """
    content = read_manifest(directory)
    manifest = _read(directory / MANIFEST)
    files = [_checked(directory, name, content["files"]) for name in content["files"]]
    return BundleCheck(str(directory), str(manifest.sha256), [*files, *_besides(directory, content["files"])])


def _besides(directory: Path, listed: Mapping[str, Any]) -> Iterator[CheckedFile]:
    try:
        found = all_files(directory)
    except OSError as error:
        raise InputOutputError(
            f"{directory} cannot be read: {error.strerror}", "check its permissions"
        ) from error
    for name in sorted(found - listed.keys() - {MANIFEST, ACCURACY}):
        yield CheckedFile(name, "is no part of it")


def _checked(directory: Path, name: str, listed: Mapping[str, Any]) -> CheckedFile:
    """A file that the manifest lists."""
    path, entry = directory / name, listed[name]
    if Path(name).name != name:
        return CheckedFile(name, "is named by the manifest, and is no file of a bundle")
    if not isinstance(entry, Mapping) or not entry.keys() >= {"bytes", "sha256"}:
        return CheckedFile(name, "has no hash in the manifest")
    if path.is_symlink():
        return CheckedFile(name, "is a link")
    if not path.exists():
        return CheckedFile(name, "is missing")
    found = _read(path)
    if found.sha256 is None or (found.bytes, found.sha256) == (entry["bytes"], entry["sha256"]):
        return found
    twin = next(
        (n for n, e in listed.items() if isinstance(e, Mapping) and e.get("sha256") == found.sha256), None
    )
    state = f"is what {twin} should be" if twin else "was changed"
    return CheckedFile(name, state, found.bytes, found.sha256)


def _read(path: Path) -> CheckedFile:
    """Size and hash of a file."""
    try:
        with closing(Source(path)) as source:
            return CheckedFile(path.name, RIGHT, source.size, source.sha256())
    except VampconvError as error:
        return CheckedFile(path.name, f"cannot be read: {error.problem}")
