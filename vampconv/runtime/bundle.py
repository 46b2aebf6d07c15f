"""Finding the models of a bundle and their sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vampconv.errors import InputOutputError

MANIFEST = "vampconv.json"
FORMAT = 1


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
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise InputOutputError(
                f"{directory} is not a bundle: it has no {MANIFEST}", "give a converted bundle"
            ) from None
        except (OSError, ValueError, RecursionError) as error:
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

    def architecture(self, part: str) -> dict[str, Any]:
        """The sizes of a part."""
        sizes = self._entry(part).get("architecture")
        if not isinstance(sizes, dict):
            raise self._damaged(f"it has no architecture of {part}")
        return sizes

    def number(self, name: str) -> int:
        """A positive whole number that holds for all parts: ``sample_rate`` in Hz, ``hop`` in samples."""
        value = self.content.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self._damaged(f"it has no {name}")
        return value

    def chunk_seconds(self, part: str) -> float:
        """How long the chunks are in which a part runs."""
        seconds = self.content.get("chunk_seconds")
        value = seconds.get(part) if isinstance(seconds, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
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
        """The CRC of each tensor of the checkpoints, by ``checkpoint:tensor``."""
        try:
            return {
                f"{checkpoint['file']}:{tensor['name']}": str(tensor["crc32"])
                for checkpoint in self.content["checkpoints"]
                for tensor in checkpoint["tensors"]
            }
        except (KeyError, TypeError):
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
