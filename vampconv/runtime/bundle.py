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
