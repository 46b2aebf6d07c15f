"""What is noted down of a comparison, and values taken a few at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vampconv.reference.lac import LACReference
from vampconv.verify.anchors import Place
from vampconv.verify.audio_files import snr_db
from vampconv.verify.compare import Measured
from vampconv.verify.result import Case, Comparison, Sound

Array = NDArray[Any]


def batches(group: dict[str, Array], most: int) -> Iterator[dict[str, Array]]:
    """The values, taken out of `group` a few at a time."""
    batch: dict[str, Array] = {}
    for name in list(group):
        batch[name] = group.pop(name)
        if sum(array.nbytes for array in batch.values()) >= most:
            yield batch
            batch = {}
    if batch:
        yield batch


def row_of(place: Place, case: Case, measured: Measured) -> Comparison:
    return Comparison(
        place.name,
        place.stands_for[0][0] if place.stands_for else "",
        place.module,
        place.rules,
        case,
        measured.shape,
        measured.error_ort,
        measured.error_torch,
        measured.bound,
        measured.verdict,
        measured.worst_index,
        measured.worst_found,
        measured.worst_truth,
        measured.problem,
    )


def codec_of(model: nn.Module) -> LACReference:
    assert isinstance(model, LACReference)
    return model


def sound_of(part: str, found: Array, truth: Tensor) -> Sound:
    if found.shape != tuple(truth.shape):
        return Sound(part, float("-inf"), float("inf"))
    difference = torch.from_numpy(found).double() - truth
    return Sound(part, snr_db(found, truth.numpy()), float(difference.abs().max()))
