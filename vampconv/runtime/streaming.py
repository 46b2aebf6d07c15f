"""Audio in, audio out, each stretch as soon as it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, tee
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import UsageError
from vampconv.runtime.arguments import batch_of, check_count, stretched, with_codebooks
from vampconv.runtime.audio.prepare import measure, prepare
from vampconv.runtime.audio.preprocess import LOUDNESS
from vampconv.runtime.checks import check_codes
from vampconv.runtime.masks.rule import Mask, MaskRule, rule_of
from vampconv.runtime.sampling.noise import NoiseSource
from vampconv.runtime.sampling.seeded import source
from vampconv.runtime.vampnet import VampNet

Audio = NDArray[np.float32]
Codes = NDArray[np.int64]
Pieces = Iterable[Audio]


def stream_audio(
    vampnet: VampNet,
    audio: Pieces | Callable[[], Pieces],
    sample_rate: int,
    *,
    mask: MaskRule | NDArray[Any],
    gain: float | None = None,
    loudness: float = LOUDNESS,
    stereo: bool = False,
    noise: NoiseSource | int | None = None,
    batch_size: int = 1,
    time_stretch_factor: int = 1,
    **options: Any,
) -> Iterator[Audio]:
    """Stretches of audio float32 [batch, channels, samples] at the bundle's rate, each as soon as it is made.

    They join to what encoding, vamping and decoding the whole gives. No more is held than a chunk of the coarse model
    and what the codec has in work. All four models are loaded.

    Parameters
    ----------
    vampnet
        The models.
    audio
        Float32 [channels, samples] in pieces; or, where there is no `gain`, what gives them anew each time that it is
        called, for the loudness of the whole must be known before the first is encoded.
    sample_rate
        Of the audio, in Hz.
    mask
        1 where codes are to be made anew: [batch, n_codebooks, time] or [batch, time], of the length of the audio
        or longer, or a rule for any length such as a `StreamedMask`; the batch may be 1.
    gain
        By which the audio is multiplied; by default the one that brings it to a loudness.
    loudness
        In LUFS.
    stereo
        Whether each channel is vamped, with the same mask and draws; otherwise their mean is, as in the original.
    noise
        All draws, or a seed for them; by default a seed that no one knows.
    batch_size
        How many variations are made.
    time_stretch_factor
        So many steps for each, all but the first of them made anew.
    options
        As for `VampNet.vamping`.

    Raises
    ------
    UsageError
        If neither a gain is given, nor audio that can be read twice.

    """
    check_count("batch_size", batch_size)
    check_count("time_stretch_factor", time_stretch_factor)
    vamping = vampnet.vamping(noise=source(noise), **options)
    rule = mask if callable(mask) else rule_of(mask)
    if gain is None:
        if not callable(audio):
            raise UsageError(
                "the loudness of audio that comes once is not known", "give gain=, or what gives it twice"
            )
        gain = measure(audio(), sample_rate, vampnet.sample_rate, stereo=stereo).gain(loudness)
    pieces = audio() if callable(audio) else audio
    sound = prepare(
        pieces, sample_rate, to_rate=vampnet.sample_rate, hop=vampnet.hop, gain=gain, stereo=stereo
    )

    def vamped(codes: Iterable[Codes]) -> Iterator[Codes]:
        counts = vamping.coarse.n_codebooks, vamping.fine.n_codebooks
        chosen = masked(codes, rule, *counts, vamping.coarse.vocab_size, batch_size, time_stretch_factor)
        return (piece.codes for piece in vamping.stream(chosen))

    found = each_row(vampnet.codec.encode_stream(sound), vamped)
    return (_by_channel(piece, batch_size) for piece in vampnet.codec.decode_stream(found))


def masked(
    codes: Iterable[Codes],
    rule: MaskRule,
    least: int,
    count: int,
    vocab: int,
    batch_size: int,
    factor: int,
) -> Iterator[tuple[Codes, Mask]]:
    """Codes [1, n, time] in pieces, with their masks, as they are vamped: of all codebooks, batched and stretched."""
    start = 0
    for piece in codes:
        check_codes(piece, count, vocab)
        stop = start + piece.shape[-1]
        mask = rule(start, stop)
        mask = np.broadcast_to(mask, (max(len(mask), len(piece)), piece.shape[1], piece.shape[2]))
        both = with_codebooks(piece, mask, least, count)
        if len(mask) > 1:
            both = np.broadcast_to(both[0], (len(mask), *both[0].shape[1:])), both[1]
        yield stretched(*batch_of(*both, batch_size), factor)
        start = stop


def each_row(pieces: Iterable[Codes], call: Callable[[Iterable[Codes]], Iterator[Codes]]) -> Iterator[Codes]:
    """What a function of pieces [1, …] makes of each row of pieces [rows, …], one row after another in a batch.

    The rows' functions take turns, so no more is held than one of them has in work.
    """
    coming = iter(pieces)
    first = next(coming, None)
    if first is None:
        return
    copies = tee(chain([first], coming), len(first))
    rows = [call(_row(copy, row)) for row, copy in enumerate(copies)]
    for made in zip(*rows, strict=True):
        yield np.concatenate(made)


def _row(pieces: Iterable[Codes], row: int) -> Iterator[Codes]:
    return (piece[row : row + 1] for piece in pieces)


def _by_channel(audio: Audio, batch: int) -> Audio:
    """[channels·batch, 1, samples] -> [batch, channels, samples]."""
    return audio.reshape(-1, batch, audio.shape[-1]).swapaxes(0, 1)
