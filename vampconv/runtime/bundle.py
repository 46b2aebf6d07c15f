"""Finding the models of a bundle and their sizes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeGuard

from vampconv.errors import InputOutputError, UsageError
from vampconv.files.models import check_bundled
from vampconv.files.regular import read_json

MANIFEST = "vampconv.json"
FORMAT = 1
LARGEST = {"sample_rate": 10_000_000, "hop": 1 << 20, "n_codebooks": 1024, "vocab_size": 1 << 24}
"""More of these cannot be meant, and would take all memory."""
WHOLE_FILE = "sha256:"
LONGEST_CHUNK = 86_400
"""Seconds."""
SIZES = {
    "encoder": ("hop", "min_samples", "n_codebooks", "codebook_size", "sample_rate"),
    "decoder": ("hop", "n_codebooks", "codebook_size", "sample_rate"),
    "wavebeat": ("sample_rate",),
    **dict.fromkeys(
        ("coarse", "c2f"), ("n_codebooks", "n_conditioning_codebooks", "vocab_size", "r_cond_dim")
    ),
}
"""Whole numbers that the architecture of a part must give."""


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
        if not _is_bundle(path):
            told = f"is not a bundle: it has no {MANIFEST}" if os.path.lexists(path) else "does not exist"
            raise InputOutputError(f"{path} {told}", "give a directory that `vampconv convert` wrote")
        return path
    here = Path.cwd()
    if _is_bundle(here):
        return here
    try:
        entries = sorted(here.iterdir())
    except OSError as error:
        raise InputOutputError(f"{here} cannot be read: {error.strerror}", "name the bundle") from error
    under = [p for p in entries if not p.name.startswith(".") and _is_bundle(p)]
    if len(under) != 1:
        listed = ", ".join(p.name for p in under)
        told = f"there are several bundles here: {listed}" if under else "there is no bundle here"
        raise UsageError(told, "name the one you mean" if under else "name the directory of a bundle")
    return Path(under[0].name)


def _is_bundle(path: Path) -> bool:
    try:
        return (path / MANIFEST).is_file()
    except OSError:
        return False


class Bundle:
    """What ``vampconv convert`` wrote.

    Parameters
    ----------
    directory
        The bundle.

    Raises
    ------
    InputOutputError
        If it has no manifest, or one that cannot be understood.

    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        path = self.directory / MANIFEST
        if not os.path.lexists(path):
            raise InputOutputError(
                f"{directory} is not a bundle: it has no {MANIFEST}", "give a converted bundle"
            )
        try:
            content = read_json(path)
        except ValueError as error:
            raise InputOutputError(f"{path} cannot be read: {error}", "convert again with --force") from error
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise InputOutputError(
                f"{path} is not a manifest of format {FORMAT}", "convert again with this version"
            )
        models = content.get("models")
        if not isinstance(models, dict):
            raise self._damaged("it has no models")
        self.models: dict[str, Any] = models
        self.content: dict[str, Any] = content

    def __contains__(self, part: str) -> bool:
        return part in self.models

    def path(self, part: str) -> Path:
        """The ONNX file of a part."""
        name = self._entry(part).get("file")
        if not isinstance(name, str) or not name or Path(name).name != name:
            raise self._damaged(f"{part} names {name!r}, which is no file of the bundle")
        return self.directory / name

    def check_model(self, part: str) -> None:
        """Let the files of a part be regular ones, and its weights lie in files of the bundle.

        Raises
        ------
        InputOutputError
            If they are not, or do not.

        """
        known = self.content.get("files")
        check_bundled(self.path(part), known if isinstance(known, dict) else {})

    def architecture(self, part: str) -> dict[str, Any]:
        """The sizes of a part."""
        sizes = self._entry(part).get("architecture")
        if not isinstance(sizes, dict):
            raise self._damaged(f"it has no architecture of {part}")
        for name in SIZES.get(part, ()):
            if not _is_size(sizes.get(name), LARGEST.get(name, 1 << 31)):
                raise self._damaged(f"the architecture of {part} does not tell its {name}")
        controls = sizes.get("ctrl_dims", {})
        if not isinstance(controls, dict) or not all(_is_size(dim, 1 << 31) for dim in controls.values()):
            raise self._damaged(f"the architecture of {part} does not tell its controls")
        return sizes

    def number(self, name: str) -> int:
        """A positive whole number that holds for all parts: ``sample_rate`` in Hz, ``hop`` in samples."""
        value = self.content.get(name)
        if not _is_size(value, LARGEST[name]) or not value:
            raise self._damaged(f"it has no {name} that can be meant")
        return value

    def chunk_seconds(self, part: str) -> float:
        """How long the chunks are in which a part runs."""
        seconds = self.content.get("chunk_seconds")
        value = seconds.get(part) if isinstance(seconds, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= LONGEST_CHUNK:
            raise self._damaged(f"it has no length of chunks of {part}")
        return value

    def files(self, part: str) -> dict[str, tuple[int, str]]:
        """The files of a part, by name, with their sizes in bytes and their SHA-256."""
        data, known = self._entry(part).get("data"), self.content.get("files")
        names = [self.path(part).name, *(data if isinstance(data, list) else [])]
        found = [known.get(n) if isinstance(known, dict) and isinstance(n, str) else None for n in names]
        if any(not isinstance(f, dict) or not {"bytes", "sha256"} <= f.keys() for f in found):
            raise self._damaged(f"it has no hashes of {part}")
        return {n: (f["bytes"], f["sha256"]) for n, f in zip(names, found, strict=True) if f}

    def weights(self, part: str) -> list[list[str]]:
        """For each weight of a part the tensors that it was made from, as ``checkpoint:tensor``."""
        rows = self._entry(part).get("initializers")
        if not isinstance(rows, list) or any(not isinstance(r, dict) or "from" not in r for r in rows):
            raise self._damaged(f"it does not say where the weights of {part} are from")
        return [[str(source) for source in row["from"]] for row in rows]

    def tensor_hashes(self) -> dict[str, str]:
        """The CRC of each tensor of the checkpoints, by ``checkpoint:tensor``.

        Of a tensor without one, as in safetensors files, ``sha256:`` and the digest of its whole file.
        """
        try:
            return {
                f"{checkpoint['file']}:{tensor['name']}": str(tensor.get("crc32", whole))
                for checkpoint in self.content["checkpoints"]
                for whole in [f"{WHOLE_FILE}{checkpoint['sha256']}"]
                for tensor in checkpoint["tensors"]
            }
        except (KeyError, TypeError, AttributeError):
            raise self._damaged("it does not tell the checkpoints' tensors") from None

    def _entry(self, part: str) -> dict[str, Any]:
        if part not in self.models:
            raise InputOutputError(
                f"the bundle {self.directory} has no {part}",
                f"add it: vampconv convert CHECKPOINT --add -o {self.directory}",
            )
        entry = self.models[part]
        if not isinstance(entry, dict):
            raise self._damaged(f"its entry of {part} is incomplete")
        return entry

    def _damaged(self, how: str) -> InputOutputError:
        return InputOutputError(
            f"{self.directory / MANIFEST} is damaged: {how}", "convert again with --force"
        )


def _is_size(value: object, largest: int) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest
