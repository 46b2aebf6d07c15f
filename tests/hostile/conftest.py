"""Directories for cases, and the processes that run them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vampconv.convert import Request, convert

from .case import Case, codec, sound
from .runner import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """For all commands but ``verify``."""
    warm = Server()
    yield warm
    warm.close()


@pytest.fixture(scope="session")
def torch_server() -> Iterator[Server]:
    """For ``verify``."""
    warm = Server("torch")
    yield warm
    warm.close()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small transformer, its codec, and an earlier bundle of them."""
    place = tmp_path_factory.mktemp("template")
    (place / "model.pth").write_bytes(sound())
    (place / "codec.pth").write_bytes(codec())
    convert(Request([place / "model.pth", place / "codec.pth"], place / "out"))
    return place


@pytest.fixture
def directory(template: Path, tmp_path: Path, workshop) -> Callable[[Case], Path]:
    """A directory of its own for a case, with what its commands name."""

    def make(case: Case) -> Path:
        place = tmp_path / "here"
        words = {word for command in case.commands for word in command}
        if "bundle" not in words:
            shutil.copytree(template, place)
            return place
        place.mkdir()
        for name in ("model.pth", "codec.pth"):
            shutil.copy(template / name, place)
        whole = (
            template / "out" if "verify" in words else workshop.whole("coarse", "c2f", "codec", "wavebeat")
        )
        shutil.copytree(whole, place / "bundle")
        return place

    return make
