"""The codebooks of a LAC codec, as far as the transformers need them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import onnx_ir as ir

from vampconv.checkpoint import Checkpoint
from vampconv.errors import BadInputError
from vampconv.frontend.architecture import VampNetArchitecture
from vampconv.frontend.weights import Weights

TABLE = "quantizer.quantizers.{}.codebook.weight"
PATTERN = re.compile(r"quantizer\.quantizers\.(\d+)\.codebook\.weight")


@dataclass(frozen=True)
class CodecTables:
    """The tables of a codec's quantizers, one for each codebook, [vocab_size, latent_dim]."""

    weights: Weights

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> CodecTables:
        return cls(Weights(checkpoint))

    @property
    def name(self) -> str:
        return self.weights.checkpoint.path.name

    @property
    def count(self) -> int:
        """Number of codebooks."""
        return sum(1 for n in self.weights.tensors if PATTERN.fullmatch(n))

    @property
    def is_whole(self) -> bool:
        """Whether there is an encoder or a decoder beside the tables."""
        return any(name.startswith(("encoder.", "decoder.")) for name in self.weights.tensors)

    @property
    def vocab_size(self) -> int:
        """Rows of the first table."""
        shape = self.weights.shape(TABLE.format(0))
        return shape[0] if shape else 0

    def take(self, architecture: VampNetArchitecture, model: str) -> list[ir.Value]:
        """The tables of the first `n_codebooks` codebooks; a codec may have more than the model uses.

        Raises
        ------
        BadInputError
            If the codec has too few, or their sizes are not the model's.

        """
        wanted = architecture.n_codebooks
        if self.count < wanted:
            raise BadInputError(
                f"{self.name} has {self.count} codebooks, but {model} uses {wanted}",
                "give the codec that the model was trained with",
            )
        size = (architecture.vocab_size, architecture.latent_dim)
        for i in range(wanted):
            found = self.weights.shape(TABLE.format(i))
            if found != size:
                raise BadInputError(
                    f"{self.name}: {TABLE.format(i)} is {list(found)}, but {model} needs {list(size)}",
                    "give the codec that the model was trained with",
                )
        tables = [self.weights.take(TABLE.format(i), *size) for i in range(wanted)]
        self.weights.settle_wants()
        return tables

    def facts(self) -> dict[str, Any]:
        """Sample rate in Hz and hop in samples, as far as the codec's metadata tells them."""
        kwargs = self.weights.checkpoint.metadata.get("kwargs")
        given: Mapping[str, Any] = kwargs if isinstance(kwargs, Mapping) else {}
        facts: dict[str, Any] = {}
        if _is_count(given.get("sample_rate")):
            facts["sample_rate"] = given["sample_rate"]
        rates = given.get("decoder_rates")
        if isinstance(rates, (list, tuple)) and rates and all(map(_is_count, rates)):
            hop = prod(rates)
            facts |= {"hop": hop} if _is_count(hop) else {}
        return facts


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 31
