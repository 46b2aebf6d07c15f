"""Recorded vamps, with their draws: whole, as a stream, and from pieces of any length."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from tests.runtime.recordings import CHUNK, options, recording, steps_of, vamp_noise
from vampconv.runtime.sampling import Sampling
from vampconv.runtime.sampling.tokens import draw
from vampconv.runtime.vamping import Vamping, rejoin

loop = importlib.import_module("vampconv.runtime.sampling.generate")


@pytest.fixture(params=["vamp_chunked", "vamp_stretch2"])
def archive(request):
    return recording(request.param)


def test_codes_and_what_was_masked(vampnet, archive):
    found = vampnet.vamp(archive["codes"], archive["mask"], noise=vamp_noise(archive), **options(archive))
    np.testing.assert_array_equal(found.codes, archive["output"], strict=True)
    np.testing.assert_array_equal(found.masked, archive["output_masked"], strict=True)


def test_every_token_of_every_step(vampnet, archive, monkeypatch):
    """In the order of the original: all coarse chunks first. Tokens that are not masked are not drawn."""
    seen = {"coarse": [], "c2f": []}
    part: list[str] = []

    def drawn(*given):
        found = draw(*given)
        seen[part[-1]].append((found[0], given[3]))
        return found

    monkeypatch.setattr(loop, "draw", drawn)
    noise = vamp_noise(archive)
    plain = noise.generation
    noise.generation = lambda name, *rest: part.append(name) or plain(name, *rest)
    vampnet.vamp(archive["codes"], archive["mask"], noise=noise, **options(archive))
    every = seen["coarse"] + seen["c2f"]
    assert len(every) == steps_of(archive, "call")
    for call, (tokens, masked) in enumerate(every):
        assert masked.any()
        np.testing.assert_array_equal(tokens[masked], archive[f"call{call}/sampled"][masked])


def test_a_stream_gives_each_chunk_as_soon_as_it_is_made(vampnet, archive):
    told = []
    stream = vampnet.stream(
        archive["codes"],
        archive["mask"],
        noise=vamp_noise(archive),
        on_progress=told.append,
        **options(archive),
    )
    assert told == []
    first = next(stream)
    assert [p.part for p in told] == ["coarse"] * options(archive)["sampling_steps"] + ["c2f"] * 2
    pieces = [first, *stream]
    assert {p.codes.shape[-1] for p in pieces[:-1]} == {CHUNK["c2f"]}
    joined = np.concatenate([p.codes for p in pieces], axis=-1)
    np.testing.assert_array_equal(joined, archive["output"])
    assert len(told) == steps_of(archive, "call")


@pytest.mark.parametrize("length", [1, 5, 18, 30, 100])
def test_pieces_of_any_length(vampnet, length):
    archive = recording("vamp_chunked")
    vamping = Vamping(
        coarse=vampnet.coarse,
        fine=vampnet.c2f,
        coarse_length=CHUNK["coarse"],
        fine_length=CHUNK["c2f"],
        noise=vamp_noise(archive),
        options=Sampling(**options(archive)),
    )
    pieces = rejoin([(archive["codes"], archive["mask"].astype(bool))], length)
    found = list(vamping.stream(pieces))
    np.testing.assert_array_equal(np.concatenate([f.codes for f in found], -1), archive["output"])
    np.testing.assert_array_equal(np.concatenate([f.masked for f in found], -1), archive["output_masked"])
