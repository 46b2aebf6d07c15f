"""What is vamped: audio that is encoded, or tokens."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vampconv.play.arrays import read_tokens
from vampconv.play.request import Request
from vampconv.runtime import VampNet
from vampconv.runtime.audio import AudioFile, QuietAudioWarning
from vampconv.runtime.audio.levels import LevelMeter, Levels
from vampconv.runtime.audio.prepare import measure, prepare
from vampconv.runtime.checks import check_codes

Audio = NDArray[np.float32]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """Codes, and where they came from.

    Attributes
    ----------
    codes
        Int64 [channels, n_codebooks, time].
    told
        In words.
    levels
        Of the audio as it was encoded, or None.
    mono
        All of it, float32 [samples], if it was asked for.
    warnings
        For the user.

    """

    codes: Codes
    told: str
    levels: Levels | None = None
    mono: Audio | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Opened:
    """A file of audio, and by what it is multiplied."""

    file: AudioFile
    gain: float
    told: str
    warnings: tuple[str, ...]
    steps: int
    """Of its codes."""

    def prepared(self, vampnet: VampNet, *, stereo: bool) -> Iterator[Audio]:
        """Pieces float32 [rows, 1, samples] for the encoder."""
        return prepare(
            self.file.blocks(),
            self.file.sample_rate,
            to_rate=vampnet.sample_rate,
            hop=vampnet.hop,
            gain=self.gain,
            stereo=stereo,
        )


def open_audio(request: Request, vampnet: VampNet) -> Opened:
    """The request's file of audio, after a first look at all of it."""
    assert request.audio is not None
    file = AudioFile(request.audio)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", QuietAudioWarning)
        level = measure(file.blocks(), file.sample_rate, vampnet.sample_rate, stereo=request.stereo)
    gain = level.gain(request.loudness) if request.gain is None else request.gain
    mixed = "" if file.channels == 1 else (", each vamped" if request.stereo else ", mixed to mono")
    told = (
        f"{request.audio}: {file.samples / file.sample_rate:.2f} s, {file.channels} "
        f"channel{'s' * (file.channels > 1)} at {file.sample_rate} Hz ({file.format}){mixed}; "
        f"{level.loudness:.1f} LUFS, {decibels(gain)}"
    )
    found = tuple(f"{request.audio}: {w.message}" for w in caught if w.category is QuietAudioWarning)
    return Opened(file, gain, told, found, max(1, math.ceil(level.samples / vampnet.hop)))


def decibels(gain: float) -> str:
    """A gain, in words."""
    return f"gain {20 * math.log10(abs(gain)):+.1f} dB" if gain else "gain 0"


def encoded(
    request: Request, vampnet: VampNet, opened: Opened, tell: Callable[[int, int], None], *, keep: bool
) -> Source:
    """A file of audio, encoded; `tell` hears of steps done and of all, `keep` is whether the audio is needed yet."""
    meter: LevelMeter | None = None
    kept: list[Audio] = []

    def watched() -> Iterator[Audio]:
        nonlocal meter
        for piece in opened.prepared(vampnet, stereo=request.stereo):
            meter = meter or LevelMeter(vampnet.sample_rate, len(piece))
            meter.add(piece[:, 0])
            if keep:
                kept.append(piece[:, 0].mean(axis=0))
            yield piece

    pieces: list[Codes] = []
    for piece in vampnet.codec.encode_stream(watched()):
        pieces.append(piece)
        tell(sum(p.shape[-1] for p in pieces), opened.steps)
    assert meter is not None
    mono = np.concatenate(kept) if keep else None
    codes = np.concatenate(pieces, axis=-1)
    return Source(codes, opened.told, meter.levels(), mono, opened.warnings)


def stored(request: Request, vampnet: VampNet) -> Source:
    """The request's tokens."""
    assert request.tokens is not None
    codes = read_tokens(request.tokens)
    sizes = vampnet.bundle.architecture("coarse")
    check_codes(codes, vampnet.bundle.architecture("c2f")["n_codebooks"], sizes["vocab_size"])
    rows, codebooks, time = codes.shape
    told = f"{request.tokens}: {time} steps of {codebooks} codebooks" + f", {rows} channels" * (rows > 1)
    return Source(codes, told)
