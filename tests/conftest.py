"""What several directories of tests need: golden data, conversions, the command line, and comparisons."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from vampconv.cli import main
from vampconv.convert import Request, convert
from vampconv.reference.codec_tables import codec_tables
from vampconv.reference.config import VampNetConfig
from vampconv.reference.lac_config import LACConfig
from vampconv.reference.random_audio_checkpoint import random_codec
from vampconv.reference.random_checkpoint import checkpoint, random_codec_tables, random_state_dict
from vampconv.reference.vampnet import VampNetReference

from .common import GOLDEN

TINY = VampNetConfig(
    n_heads=2, n_layers=1, n_codebooks=2, latent_dim=3, embedding_dim=6, vocab_size=7, flash_attn=False
)


EVEN = LACConfig(
    encoder_dim=4,
    encoder_rates=(2, 4),
    decoder_dim=16,
    decoder_rates=(4, 2),
    codebook_dims=(8,) * 4,
    codebook_size=64,
)


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


class Workshop:
    """Makes checkpoints, bundles and sessions; what it makes lies in a directory of the test session."""

    golden = GOLDEN
    tiny = TINY

    def __init__(self, root: Path) -> None:
        self.root = root
        self.numbers = count()
        self.bundles: dict[tuple[Any, ...], Path] = {}

    def place(self) -> Path:
        """A new empty directory."""
        path = self.root / f"place{next(self.numbers)}"
        path.mkdir()
        return path

    def load(self, name: str) -> Any:
        """A golden checkpoint, as torch loads it."""
        return torch.load(GOLDEN / f"{name}.pth", weights_only=True)

    def recorded(self, name: str) -> dict[str, np.ndarray]:
        """A golden recording."""
        with np.load(GOLDEN / f"{name}.npz") as archive:
            return {key: archive[key] for key in archive.files}

    def save(self, value: object, path: Path) -> Path:
        torch.save(value, path)
        return path

    def model(
        self, directory: Path, config: VampNetConfig = TINY, name: str = "coarse.pth", **options
    ) -> Path:
        """A random transformer, in a file."""
        state = random_state_dict(config, options.pop("seed", 0), **options)
        return self.save(checkpoint(state, config.to_kwargs()), directory / name)

    def codec(
        self, directory: Path, config: VampNetConfig = TINY, name: str = "codec.pth", more: int = 0
    ) -> Path:
        """The tables of a codec that fits a transformer, in a file."""
        state = random_codec_tables(config.n_codebooks + more, config.vocab_size, config.latent_dim, 1)
        kwargs = {"sample_rate": 16000, "decoder_rates": [3, 5]}
        return self.save(checkpoint(state, kwargs), directory / name)

    def pair(self, config: VampNetConfig = TINY) -> Path:
        """A new directory with a random transformer and its codec."""
        place = self.place()
        self.model(place, config)
        self.codec(place, config)
        return place

    def all_kinds(self) -> list[Path]:
        """The golden transformer and beat tracker, between them a small codec of even strides: files of all parts."""
        codec = checkpoint(random_codec(EVEN, 3), EVEN.to_kwargs())
        return [
            GOLDEN / "coarse.pth",
            self.save(codec, self.place() / "codec.pth"),
            GOLDEN / "wavebeat.pth",
        ]

    def bundle(self, *paths: Path | str, **options: Any) -> Path:
        """A bundle of golden checkpoints (by name) or files; the same one for the same arguments.

        Beside transformers, ``"codec"`` lends its tables only.
        """
        if "codec" in paths and len(paths) > 1:
            paths = tuple(p for p in paths if p != "codec")
            options = {"codec": GOLDEN / "codec.pth", **options}
        key = (*paths, *sorted((k, str(v)) for k, v in options.items()))
        if key not in self.bundles:
            files = [GOLDEN / f"{p}.pth" if isinstance(p, str) else p for p in paths]
            output = self.place() / "bundle"
            convert(Request(files, output, **options))
            self.bundles[key] = output
        return self.bundles[key]

    def whole(self, *names: str, **options: Any) -> Path:
        """A bundle of all that golden checkpoints hold, the codec's encoder and decoder among it."""
        return self.bundle(*(GOLDEN / f"{name}.pth" for name in names), **options)

    def session(self, bundle: Path, part: str = "coarse") -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        return onnxruntime.InferenceSession(
            bundle / f"{part}.onnx", options, providers=["CPUExecutionProvider"]
        )

    def logits(self, session: onnxruntime.InferenceSession, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.asarray(session.run(None, dict(feeds))[0])

    def reference(
        self, name: str, lora: str | None = None, dtype: torch.dtype = torch.float32
    ) -> VampNetReference:
        """The torch model of a golden checkpoint."""
        saved, codec = self.load(name), self.load("codec")["state_dict"]
        pairs = self.load(lora) if lora else None
        kwargs = saved["metadata"]["kwargs"]
        return VampNetReference.from_state_dict(
            saved["state_dict"], kwargs, codec_tables(codec), pairs, dtype=dtype
        )


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    torch.set_num_threads(1)
    return Workshop(tmp_path_factory.mktemp("workshop"))


def _relative(found: np.ndarray | torch.Tensor, wanted: np.ndarray | torch.Tensor) -> float:
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    assert wanted.size > 0
    assert np.isfinite(found).all()
    return float(
        np.linalg.norm(found.astype(np.float64) - wanted) / np.linalg.norm(wanted.astype(np.float64))
    )


@pytest.fixture(scope="session")
def relative() -> Callable[..., float]:
    """Relative L2 distance of two arrays or tensors of one shape, never of empty or non-finite ones."""
    return _relative


@pytest.fixture
def vampconv(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Runs the command line in this process."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(*arguments: object) -> Ran:
        with pytest.raises(SystemExit) as stop:
            main([str(a) for a in arguments])
        text = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return Ran(stop.value.code, text.out, text.err)

    return run


@pytest.fixture(scope="session")
def child() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the command line in a process of its own."""

    def run(*arguments: object, env: Mapping[str, str] | None = None, **options: Any):
        command = [sys.executable, "-m", "vampconv", *map(str, arguments)]
        clean = {k: v for k, v in os.environ.items() if k != "VAMPCONV_TRACEBACK"} | dict(env or {})
        options = {"capture_output": True, "text": True, "timeout": 60, "check": False} | options
        return subprocess.run(command, env=clean, **options)

    return run


def _tree(root: Path) -> dict[str, object]:
    """Everything under a directory, hidden names too, but for Python's caches: contents of files, targets of links."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if "__pycache__" in path.parts:
            continue
        if path.is_symlink():
            found[name] = ("link", str(path.readlink()))
        else:
            found[name] = path.read_bytes() if path.is_file() else "directory"
    return found


@pytest.fixture(scope="session")
def tree() -> Callable[[Path], dict[str, object]]:
    """A snapshot of a directory tree, to compare with."""
    return _tree


@pytest.fixture
def golden_copy(tmp_path: Path) -> Callable[..., Path]:
    """Copies golden checkpoints to a new directory."""

    def copy(*names: str, into: str = "checkpoints") -> Path:
        place = tmp_path / into
        place.mkdir(exist_ok=True)
        for name in names:
            shutil.copy(GOLDEN / f"{name}.pth", place)
        return place

    return copy
