"""A vamp from a file of audio to a stream of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from vampconv.errors import UsageError
from vampconv.play.masking import Masks
from vampconv.play.perform import new_seed, open_vampnet
from vampconv.play.request import Request
from vampconv.play.sound import wav_header
from vampconv.play.source import Opened, open_audio
from vampconv.runtime import stream_audio
from vampconv.runtime.sampling.seeded import source as seeded


def stream(request: Request, write: Callable[[bytes], object]) -> tuple[Opened, int]:
    """Write a WAV file, 32-bit float, each stretch as soon as it is made; what was vamped, and the seed.

    All models are in memory. The samples are those that `perform` writes.

    Raises
    ------
    VampconvError
        If the request cannot be met.

    """
    if request.audio is None or request.controls:
        raise UsageError("--stream takes audio, and no controls", "give -o")
    vampnet, seed = open_vampnet(request), new_seed(request)
    opened = open_audio(request, vampnet)
    mono = None
    if request.mask_options.onset_mask_width or request.beat_options is not None:
        pieces = opened.prepared(vampnet, stereo=request.stereo)
        mono = np.concatenate([piece[:, 0].mean(axis=0) for piece in pieces])
    codebooks = vampnet.bundle.architecture("encoder")["n_codebooks"]
    mask = Masks(request, vampnet, (codebooks, opened.steps), mono).of(seeded(seed))
    stretches = stream_audio(
        vampnet,
        opened.file.blocks(),
        opened.file.sample_rate,
        mask=lambda start, stop: mask[..., start:stop],
        gain=opened.gain,
        stereo=request.stereo,
        noise=seed,
        feedback_steps=request.feedback_steps,
        time_stretch_factor=request.time_stretch_factor,
        **asdict(request.sampling),
    )
    channels = opened.file.channels if request.stereo else 1
    samples = opened.steps * request.time_stretch_factor * vampnet.hop
    write(wav_header(vampnet.sample_rate, channels, samples))
    for audio in stretches:
        write(np.ascontiguousarray(audio[0].T, "<f4").tobytes())
    return opened, seed
