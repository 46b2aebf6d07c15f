"""Masks of codes: true where a code is to be made anew. All are bool [batch, n_codebooks, time]."""

from vampconv.runtime.masks.beat import beat_mask
from vampconv.runtime.masks.build import MaskOptions, build_mask
from vampconv.runtime.masks.onset import onset_mask

__all__ = ["MaskOptions", "beat_mask", "build_mask", "onset_mask"]
