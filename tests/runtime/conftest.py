"""Converted codecs and beat trackers, whole and in chunks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.codes import Truth
from vampconv.reference.lac_config import LACConfig
from vampconv.reference.random_audio_checkpoint import random_codec
from vampconv.reference.random_checkpoint import checkpoint
from vampconv.runtime import Codec, VampNet

from .recordings import CHUNK_SECONDS

UNEVEN = LACConfig(
    encoder_dim=4,
    encoder_rates=(2, 3),
    decoder_dim=16,
    decoder_rates=(5, 2, 2),
    codebook_dims=(4, 4, 4),
    codebook_size=16,
    sample_rate=8000,
)
"""Its encoder makes a frame of 6 samples, its decoder 20 samples of a frame."""


@pytest.fixture(scope="session")
def uneven() -> dict[str, Any]:
    """A checkpoint whose encoder and decoder have hops of their own."""
    return checkpoint(random_codec(UNEVEN, 3), UNEVEN.to_kwargs())


@pytest.fixture(scope="session")
def truth(workshop, uneven) -> dict[str, Truth]:
    """What judges the codes of each codec."""
    return {name: Truth(workshop.load(name)) for name in ("codec", "codec_odd")} | {"uneven": Truth(uneven)}


@pytest.fixture(scope="session")
def bundles(workshop, uneven) -> dict[str, Path]:
    path = workshop.save(uneven, workshop.place() / "uneven.pth")
    return {
        "codec": workshop.bundle(workshop.golden / "codec.pth", "wavebeat"),
        "codec_odd": workshop.bundle("codec_odd"),
        "uneven": workshop.bundle(path),
    }


@pytest.fixture(scope="session")
def codec(bundles) -> Callable[..., Codec]:
    """A codec by name; with `frames`, in chunks of so many hops."""

    def open_codec(name: str, frames: float | None = None, **options) -> Codec:
        opened = Codec.of_bundle(bundles[name], **options)
        if frames is not None:
            opened.chunk_seconds = (frames + 1e-6) * opened.hop / opened.sample_rate
        return opened

    return open_codec


@pytest.fixture(scope="session")
def whole(codec) -> Callable[[str], Codec]:
    """A codec that takes every signal in one piece."""

    def open_whole(name: str) -> Codec:
        return codec(name, 1e9, workers=1)

    return open_whole


@pytest.fixture(scope="session")
def playable(workshop) -> Path:
    """A bundle of all parts."""
    return workshop.whole("coarse", "c2f", "codec", "wavebeat")


@pytest.fixture(scope="session")
def vampnet(playable) -> VampNet:
    """With chunks as short as in the recorded vamps."""
    seconds = {f"{part}_chunk_s": length for part, length in CHUNK_SECONDS.items()}
    return VampNet(playable, threads=1, **seconds)
