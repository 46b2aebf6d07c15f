"""What was made, as audio and as tokens, in files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vampconv.files.outputs import Outputs, numbered
from vampconv.play.arrays import tokens_file
from vampconv.play.request import Request
from vampconv.play.result import Output
from vampconv.play.sound import sound_writer
from vampconv.play.source import Source
from vampconv.play.variations import Tell, Variation
from vampconv.runtime import VampNet
from vampconv.runtime.audio.levels import LevelMeter

Codes = NDArray[np.int64]
Audio = NDArray[np.float32]
AT_ONCE = 1024
"""Steps of codes that the decoder is given at a time."""


@dataclass(frozen=True)
class Names:
    """Files to write, one of each kind for each output."""

    audio: list[Path]
    tokens: list[Path]
    plots: list[Path]

    @classmethod
    def of(cls, request: Request) -> Names:
        """Those of a request."""
        wanted = (request.output, request.tokens_output, request.plot)
        return cls(*(numbered(path, request.files) if path is not None else [] for path in wanted))

    def all(self) -> list[Path]:
        """All of them."""
        return [*self.audio, *self.tokens, *self.plots]


def require_room(request: Request, vampnet: VampNet, found: Source, names: Names, files: Outputs) -> None:
    """Raise an error if the WAV files do not fit on the disk; how long others will be is not known before."""
    rows, _, time = found.codes.shape
    each = rows * time * request.time_stretch_factor * vampnet.hop * 4
    needed = sum(each for path in names.audio if path.suffix.lower() == ".wav")
    files.require_room(needed, each if needed else 0)


@dataclass(frozen=True)
class Take:
    """One output: its tokens, and what was kept of those before."""

    number: int
    variation: Variation
    codes: Codes
    """Int64 [channels, n_codebooks, time]."""
    before: Codes
    """The same, stretched from the source; -1 where it had none."""
    kept: NDArray[np.bool_]
    """The same: whether the token was kept."""
    mask: NDArray[np.bool_]
    """Bool [n_codebooks, time] of the source's codes."""


def takes(request: Request, vampnet: VampNet, found: Source, variations: list[Variation]) -> Iterator[Take]:
    """One take for each file of audio."""
    number, batch = 0, request.batch_size
    for variation in variations:
        for place in range(batch):
            codes = variation.made.codes[place::batch]
            before = np.full_like(codes, -1)
            before[:, : found.codes.shape[1]] = found.codes.repeat(request.time_stretch_factor, axis=-1)
            kept = variation.made.masked[place::batch] != vampnet.coarse.vocab_size
            mask = variation.mask[place % len(variation.mask)]
            yield Take(number, variation, codes, before, kept, mask)
            number += 1


def write_audio(
    request: Request, vampnet: VampNet, take: Take, path: Path, files: Outputs, tell: Tell
) -> tuple[Output, Audio | None]:
    """Decode a take into its file; its channels' mean, float32 [samples], if it is to be drawn."""
    channels, _, time = take.codes.shape
    meter = LevelMeter(vampnet.sample_rate, channels)
    heard: list[Audio] = []
    pieces = (take.codes[..., start : start + AT_ONCE] for start in range(0, time, AT_ONCE))
    sizes = {"sample_rate": vampnet.sample_rate, "channels": channels, "samples": time * vampnet.hop}
    what = "decoding" + f" {take.number + 1} of {request.files}" * (request.files > 1)
    with sound_writer(files.stage(path), path, **sizes) as writer:
        for decoded in vampnet.codec.decode_stream(pieces):
            audio = decoded[:, 0]
            writer.add(audio)
            meter.add(audio)
            if request.plot is not None:
                heard.append(audio.mean(axis=0))
            tell(what, meter.samples, time * vampnet.hop)
    same = float(np.mean(take.codes == take.before))
    output = Output(path, take.variation.seed, meter.levels(), float(take.kept.mean()), same)
    return output, np.concatenate(heard) if heard else None


def tokens_of(vampnet: VampNet, take: Take) -> bytes:
    """What ``--save-tokens`` writes: a ``.npz`` file."""
    return tokens_file(
        {
            "codes": take.codes,
            "before": take.before,
            "kept": take.kept,
            "mask": take.mask[None],
            "seed": np.array(take.variation.seed),
            "sample_rate": np.array(vampnet.sample_rate),
            "hop": np.array(vampnet.hop),
        }
    )
