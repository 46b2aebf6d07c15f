"""The codebooks of a codec, which a VampNet embeds its codes with."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count, takewhile
from typing import TYPE_CHECKING

from vampconv.errors import BadInputError
from vampconv.reference.loading import without_prefix

if TYPE_CHECKING:
    from torch import Tensor


def table_name(index: int) -> str:
    """Name of codebook `index` in a LAC codec's state dict."""
    return f"quantizer.quantizers.{index}.codebook.weight"


def codec_tables(state: Mapping[str, Tensor]) -> list[Tensor]:
    """Tables [codebook_size, codebook_dim] of a codec, in the order of its codebooks.

    Parameters
    ----------
    state
        State dict of a LAC codec; everything else in it is ignored.

    Raises
    ------
    BadInputError
        There is no table, or one is missing in their sequence.

    """
    state = without_prefix(state)
    names = list(takewhile(state.__contains__, map(table_name, count())))
    present = [n for n in state if n.startswith("quantizer.quantizers.") and n.endswith(".codebook.weight")]
    stray = sorted(set(present) - set(names))
    if not names or stray:
        raise BadInputError(
            f"the codec has no {table_name(len(names))}" + (f" but has {stray[0]}" if stray else ""),
            "give the state dict of a whole LAC codec",
        )
    return [state[name] for name in names]
