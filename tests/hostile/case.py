"""What a case is, and the sound model that most of them spoil."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from vampconv.reference.random_checkpoint import random_codec_tables, random_state_dict

from ..conftest import TINY
from . import archives

Command = tuple[str, ...]
CONVERT: Command = ("convert", "model.pth", "codec.pth", "-o", "out", "--force")
INSPECT: Command = ("inspect", "model.pth")
BOTH = (CONVERT, INSPECT)


@dataclass(frozen=True)
class Case:
    """A bad input: how it is made, and how every command that reads it must end.

    Attributes
    ----------
    name
        For people.
    code
        The exit code.
    words
        A regular expression that the one line must match.
    make
        Given the directory; the bytes that it returns become ``model.pth``.
    commands
        Command lines, run there one after another.
    then
        Changes of files while they are read, as `watch.afterwards` takes them.

    """

    name: str
    code: int
    words: str
    make: Callable[[Path], bytes | None]
    commands: Sequence[Command] = BOTH
    then: Sequence[tuple[str, int, str, str]] = ()


def of(data: bytes) -> Callable[[Path], bytes]:
    """Makes a file of these bytes."""
    return lambda _place: data


@cache
def weights() -> Mapping[str, np.ndarray]:
    """A tiny transformer's."""
    return {name: tensor.numpy() for name, tensor in random_state_dict(TINY, 0).items()}


@cache
def codec() -> bytes:
    """A codec's tables that fit it."""
    tables = random_codec_tables(TINY.n_codebooks, TINY.vocab_size, TINY.latent_dim, 1)
    kwargs = {"sample_rate": 16000, "decoder_rates": [3, 5]}
    return archives.checkpoint({name: tensor.numpy() for name, tensor in tables.items()}, kwargs)


KWARGS: Mapping[str, Any] = TINY.to_kwargs()


@cache
def sound() -> bytes:
    """Its checkpoint, as it should be."""
    return archives.checkpoint(weights(), KWARGS)


def altered(changes: Mapping[Any, Any] = {}, kwargs: Mapping[str, Any] = {}, **more: Any) -> bytes:
    """The checkpoint with other tensors (None drops one) and other arguments."""
    state = {name: value for name, value in {**weights(), **changes}.items() if value is not None}
    return archives.checkpoint(state, {**KWARGS, **kwargs}, **more)
