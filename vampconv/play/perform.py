"""A vamp from file to file."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from vampconv.files.outputs import Outputs, outputs
from vampconv.play.clock import Clock
from vampconv.play.request import Request
from vampconv.play.result import Output, Result
from vampconv.play.sound import check_suffix
from vampconv.play.source import Source, encoded, open_audio, stored
from vampconv.play.variations import Tell, Variation, vary
from vampconv.play.writing import Names, Take, require_room, takes, tokens_of, write_audio
from vampconv.runtime import VampNet

Audio = NDArray[np.float32]
NEEDED = ("codec", "coarse", "c2f")
"""Parts of a `VampNet` that every vamp takes."""


def open_vampnet(request: Request) -> VampNet:
    """The request's models: all parts that it needs are there and right, none is in memory yet."""
    vampnet = VampNet(
        request.bundle,
        threads=request.threads,
        coarse_chunk_s=request.coarse_chunk_s,
        c2f_chunk_s=request.c2f_chunk_s,
        check_hashes=request.check_hashes,
    )
    with ThreadPoolExecutor(len(NEEDED)) as pool:  # hashing takes a second for each gigabyte and thread
        list(pool.map(lambda part: getattr(vampnet, part), NEEDED))
    if request.beat_options is not None and request.mask_file is None:
        vampnet.bundle.path("wavebeat")
    return vampnet


def new_seed(request: Request) -> int:
    """The request's seed, or one that is short enough to be typed again."""
    return secrets.randbits(31) if request.seed is None else request.seed


def perform(request: Request, tell: Tell = lambda _what, _done, _all: None) -> Result:
    """Vamp a file of audio or of tokens; all outputs appear at the end, or none.

    One model is in memory at a time. What grows with the length are the tokens, and the audio at one channel if onsets
    or beats are looked for or spectrograms are drawn.

    Raises
    ------
    VampconvError
        If the request cannot be met; nothing is written then.

    """
    names, clock = Names.of(request), Clock()
    check_suffix(names.audio[0])
    if request.plot is not None:
        from vampconv.play.plot import require_plotting

        require_plotting(request.plot)
    with outputs(names.all(), force=request.force) as files:
        with clock.part("checks"):
            vampnet = open_vampnet(request)
        found = _source(request, vampnet, clock, tell)
        require_room(request, vampnet, found, names, files)
        variations = vary(request, vampnet, found, new_seed(request), clock, tell)
        made = _write(request, vampnet, found, variations, names, files, clock, tell)
    time, codebooks = variations[0].made.codes.shape[2], variations[0].made.codes.shape[1]
    chunks = {f"{part}_chunk_steps": vampnet.chunk_length(part) for part in ("coarse", "c2f")}
    facts = {"time_steps": time, "codebooks": codebooks, "sample_rate": vampnet.sample_rate, **chunks}
    more = [*names.tokens, *names.plots]
    return Result(found.told, found.levels, made, more, facts, clock.seconds, found.warnings)


def _source(request: Request, vampnet: VampNet, clock: Clock, tell: Tell) -> Source:
    if request.tokens is not None:
        return stored(request, vampnet)
    heard = request.beat_options is not None or request.mask_options.onset_mask_width > 0
    with clock.part("loudness"):
        opened = open_audio(request, vampnet)
    with clock.part("encoder"):
        keep = heard or request.plot is not None
        found = encoded(request, vampnet, opened, lambda done, of: tell("encoding", done, of), keep=keep)
        vampnet.codec.release()
    return found


def _write(
    request: Request,
    vampnet: VampNet,
    found: Source,
    variations: list[Variation],
    names: Names,
    files: Outputs,
    clock: Clock,
    tell: Tell,
) -> list[Output]:
    made: list[Output] = []
    for take in takes(request, vampnet, found, variations):
        with clock.part("decoder"):
            output, heard = write_audio(request, vampnet, take, names.audio[take.number], files, tell)
        made.append(output)
        if names.tokens:
            files.write(names.tokens[take.number], tokens_of(vampnet, take))
        if names.plots and heard is not None:
            with clock.part("plot"):
                _draw(vampnet, found, take, output, heard, names, files)
    return made


def _draw(
    vampnet: VampNet,
    found: Source,
    take: Take,
    output: Output,
    heard: Audio,
    names: Names,
    files: Outputs,
) -> None:
    from vampconv.play.plot import Scene, draw

    mono = found.mono
    if mono is None:
        mono = vampnet.codec.decode(found.codes)[:, 0].mean(axis=0)
    path = names.plots[take.number]
    scene = Scene(mono, heard, take, vampnet.sample_rate, vampnet.hop, found.told, output)
    files.write(path, draw(scene, path))
