"""What the runtime refuses, with what is wrong in one line."""

from __future__ import annotations

import numpy as np
import pytest

from tests.common import LINE
from vampconv.errors import BadInputError
from vampconv.runtime import WaveBeat, pick_beats

GOOD = np.zeros((2, 1, 2000), np.float32)
CODES = np.zeros((2, 14, 9), np.int64)


def with_value(array, place, value):
    changed = array.copy()
    changed[place] = value
    return changed


AUDIO = {
    r"nan at \[1, 0, 77\]": with_value(GOOD, (1, 0, 77), np.nan),
    r"inf at \[0, 0, 0\]": with_value(GOOD, (0, 0, 0), np.inf),
    r"-inf at \[1, 0, 1999\]": with_value(GOOD, (1, 0, 1999), -np.inf),
    "float64": GOOD.astype(np.float64),
    r"float32 \[2, 2000\]": GOOD[:, 0],
    r"float32 \[2, 1, 0\]": GOOD[..., :0],
    r"float32 \[0, 1, 2000\]": GOOD[:0],
    "2 channels": GOOD.repeat(2, axis=1),
    "list": GOOD.tolist(),
}
WRONG_CODES = {
    "a code 65": with_value(CODES, (1, 3, 4), 65),
    "a code -1": with_value(CODES, (0, 0, 0), -1),
    "15 codebooks": np.zeros((1, 15, 3), np.int64),
    "int32": CODES.astype(np.int32),
    "float32": CODES.astype(np.float32),
    r"int64 \[14, 9\]": CODES[0],
    r"int64 \[2, 14, 0\]": CODES[..., :0],
    r"int64 \[2, 0, 9\]": CODES[:, :0],
}
ACTIVATIONS = {
    "finite": np.full((2, 9), np.nan, np.float32),
    r"float32 \[9\]": np.zeros(9, np.float32),
    r"float32 \[3, 9\]": np.zeros((3, 9), np.float32),
    "float64": np.zeros((2, 9)),
    "NoneType": None,
}


def refuses(call, argument, message):
    with pytest.raises(BadInputError, match=message) as error:
        call(argument)
    assert LINE.fullmatch(error.value.line() + "\n")


@pytest.mark.parametrize("message", AUDIO)
def test_audio(codec, bundles, message):
    refuses(codec("codec").encode, AUDIO[message], message)
    refuses(WaveBeat.of_bundle(bundles["codec"]).activations, AUDIO[message], message)


@pytest.mark.parametrize("message", WRONG_CODES)
def test_codes(codec, message):
    refuses(codec("codec").decode, WRONG_CODES[message], message)


@pytest.mark.parametrize("message", ACTIVATIONS)
def test_activations(message):
    refuses(lambda a: pick_beats(a, 100.0), ACTIVATIONS[message], message)


def test_too_short_for_odd_strides(codec):
    model = codec("codec_odd")
    assert model.encode(GOOD[..., : model.min_samples]).shape[2] == 1
    refuses(model.encode, GOOD[..., : model.min_samples - 1], "15 samples, and the model needs 16")
