"""Whether the files of a bundle are those that were written together."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from vampconv.errors import InputOutputError
from vampconv.files.models import require_regular
from vampconv.files.regular import open_regular
from vampconv.runtime.bundle import WHOLE_FILE, Bundle

TABLE = re.compile(r"(?P<checkpoint>.*):.*quantizers\.(?P<codebook>\d+)\.codebook\.weight")
"""A codec's table, as the manifest names what a weight was made from."""


def check_files(bundle: Bundle, part: str) -> None:
    """The files of a part must have the sizes and hashes of the manifest.

    Raises
    ------
    InputOutputError
        If one has not, or cannot be read.

    """
    for name, (size, digest) in bundle.files(part).items():
        path = bundle.directory / name
        try:
            require_regular(path)
            right = path.stat().st_size == size and _sha256(path) == digest
        except OSError as error:
            raise InputOutputError(
                f"{path} cannot be read: {error.strerror}", "convert again with --force"
            ) from error
        if not right:
            raise InputOutputError(
                f"{path} is not the file that {bundle.directory} was written with",
                "convert again with --force",
            )


def check_tables(bundle: Bundle, parts: Iterable[str]) -> None:
    """Parts must have been made with the same tables of a codec, as far as they share its codebooks.

    Raises
    ------
    InputOutputError
        If they were not.

    """
    known: dict[int, tuple[str, str]] = {}
    for part in parts:
        for codebook, digest in _tables(bundle, part).items():
            first, wanted = known.setdefault(codebook, (part, digest))
            # Of a tensor and of its whole file: these cannot be compared.
            alike = digest.startswith(WHOLE_FILE) == wanted.startswith(WHOLE_FILE)
            if alike and digest != wanted:
                raise InputOutputError(
                    f"{part} and {first} of {bundle.directory} were made with different codecs",
                    "convert them in one call",
                )


def _tables(bundle: Bundle, part: str) -> dict[int, str]:
    """The hash of each codebook's table that a part was made from."""
    digests = bundle.tensor_hashes()
    sources = {source for row in bundle.weights(part) for source in row}
    found = ((TABLE.fullmatch(source), digests.get(source, "")) for source in sources)
    return {int(match["codebook"]): digest for match, digest in found if match}


def _sha256(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
