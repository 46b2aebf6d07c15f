"""The mask of each variation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import BadInputError
from vampconv.play.arrays import read_array
from vampconv.play.request import Request
from vampconv.runtime import VampNet
from vampconv.runtime.arguments import whole_mask
from vampconv.runtime.audio.onsets import onset_steps
from vampconv.runtime.masks.beat import beat_mask
from vampconv.runtime.masks.build import build_mask
from vampconv.runtime.sampling.noise import NoiseSource

Mask = NDArray[np.bool_]
Audio = NDArray[np.float32]


class Masks:
    """Masks of codes of one piece; what is heard in its audio is looked for once.

    Parameters
    ----------
    request
        What to make anew.
    vampnet
        The models.
    shape
        Codebooks and time of the codes.
    mono
        The audio as it is encoded, float32 [samples], for onsets and beats.

    Raises
    ------
    BadInputError
        If a mask is given that does not fit.

    """

    def __init__(
        self, request: Request, vampnet: VampNet, shape: tuple[int, int], mono: Audio | None
    ) -> None:
        self.request, self.vampnet, self.shape = request, vampnet, shape
        self.given = None if request.mask_file is None else read_mask(request, shape)
        self.onsets, self.beats = None, None
        if self.given is None and mono is not None:
            if request.mask_options.onset_mask_width:
                self.onsets = onset_steps(mono, vampnet.sample_rate, vampnet.hop)
            if request.beat_options is not None:
                self.beats = vampnet.beat_tracker.find(mono[None, None], vampnet.sample_rate)
                vampnet.__dict__.pop("beat_tracker", None)  # its memory is needed for what follows

    def of(self, noise: NoiseSource) -> Mask:
        """Bool [1 or batch, n_codebooks, time]."""
        if self.given is not None:
            return self.given
        beats, options = None, self.request.beat_options
        if options is not None and self.beats is not None:
            beats = beat_mask(self.shape[1], self.beats, self.vampnet.s2t, options, noise)
        rate = self.vampnet.sample_rate / self.vampnet.hop
        return build_mask((1, *self.shape), self.request.mask_options, noise, rate, self.onsets, beats)


def read_mask(request: Request, shape: tuple[int, int]) -> Mask:
    """The request's mask, which must fit codes of so many codebooks and steps.

    Raises
    ------
    BadInputError
        If it does not, or cannot be read.

    """
    path = request.mask_file
    assert path is not None
    mask = read_array(path, "mask")
    batch = request.batch_size if mask.ndim and len(mask) != 1 else 1
    if mask.dtype.kind == "f" and np.isin(mask, (0, 1)).all():
        mask = mask.astype(np.bool_)
    try:
        return whole_mask(mask, (batch, *shape))
    except BadInputError as error:
        raise BadInputError(f"{path}: {error.problem}", error.fix) from error
