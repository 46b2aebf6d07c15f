"""The sizes of a VampNet, read from its weights and checked against its metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeGuard

import numpy as np

from vampconv.errors import BadInputError, UnsupportedModelError
from vampconv.frontend.weights import Weights

MASK = "embedding.special.MASK"
CONTROL = re.compile(r"ctrl_encoder\.ctrl_encoders\.(.+)\.weight")
LAYER = re.compile(r"transformer\.layers\.(\d+)\.")
KNOWN_NOISE_MODE = "mask"


@dataclass(frozen=True)
class VampNetArchitecture:
    """Sizes of a VampNet.

    Attributes are named as the arguments of the original's constructor; `ctrl_dims` maps a control
    to its number of features, and `r_cond_dim` is 0 for a model without FiLM.
    """

    n_layers: int
    n_heads: int
    embedding_dim: int
    n_codebooks: int
    n_conditioning_codebooks: int
    vocab_size: int
    latent_dim: int
    r_cond_dim: int
    flash_attn: bool
    ctrl_dims: Mapping[str, int]

    @property
    def part(self) -> str:
        """The part of a bundle that it is: ``c2f`` for a model with conditioning codebooks, else ``coarse``."""
        return "c2f" if self.n_conditioning_codebooks else "coarse"

    @property
    def n_predict(self) -> int:
        """Number of codebooks that the model predicts."""
        return self.n_codebooks - self.n_conditioning_codebooks

    def adaptable(self) -> dict[str, tuple[int, int]]:
        """The linears that may carry a LoRA pair: module path -> (out, in)."""
        dim = self.embedding_dim
        of_layer = {"feed_forward.w_1": (4 * dim, dim), "feed_forward.w_2": (dim, 2 * dim)}
        if not self.flash_attn:
            of_layer |= {f"self_attn.{name}": (dim, dim) for name in ("w_qs", "w_vs", "fc")}
        return {
            f"transformer.layers.{i}.{m}": size for i in range(self.n_layers) for m, size in of_layer.items()
        }

    def as_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**values, "ctrl_dims": dict(self.ctrl_dims)}


def read_architecture(
    weights: Weights, metadata: Mapping[str, object], codec_vocab: int | None
) -> VampNetArchitecture:
    """Sizes of the model whose tensors are `weights`.

    Parameters
    ----------
    weights
        The checkpoint's tensors.
    metadata
        Its metadata; ``kwargs`` in it, where present, must agree with the weights.
    codec_vocab
        Rows of the codec's tables, which give the vocabulary where the metadata does not.

    Raises
    ------
    BadInputError
        If the weights contradict each other or the metadata.
    UnsupportedModelError
        If the model is of a kind that cannot be converted.

    """
    kwargs = metadata.get("kwargs")
    given: Mapping[str, Any] = _plain(kwargs) if isinstance(kwargs, Mapping) else {}
    name = weights.checkpoint.path.name
    codebooks, latent = _matrix(weights, MASK)
    dim = _length(weights, "embedding.out_proj.bias")
    flash = _attention_class(weights, given, name)
    rows = _length(weights, "classifier.layers.0.bias")
    vocab = given.get("vocab_size", codec_vocab)
    if not _is_size(vocab):
        raise BadInputError(
            f"{name}: nothing tells its vocabulary size", "give the codec that it was trained with"
        )
    predicted, rest = divmod(rows, vocab)
    if rest or not 1 <= predicted <= codebooks:
        raise BadInputError(
            f"{name}: classifier.layers.0 has {rows} rows, not {vocab} for 1 to {codebooks} codebooks",
            "give the codec that it was trained with, or a checkpoint with its own metadata",
        )
    found = VampNetArchitecture(
        n_layers=_layers(weights, name),
        n_heads=_heads(weights, given, dim, name, flash=flash),
        embedding_dim=dim,
        n_codebooks=codebooks,
        n_conditioning_codebooks=codebooks - predicted,
        vocab_size=vocab,
        latent_dim=latent,
        r_cond_dim=_second(weights, "transformer.layers.0.film_1.gamma.weight"),
        flash_attn=flash,
        ctrl_dims={m[1]: _second(weights, n) for n in weights.tensors if (m := CONTROL.fullmatch(n))},
    )
    _agree(found, given, name)
    return found


def _attention_class(weights: Weights, given: Mapping[str, Any], name: str) -> bool:
    """Whether the weights are those of FlashMHA."""
    there = "transformer.layers.0.self_attn.Wqkv.weight" in weights
    if given.get("flash_attn") and not there:
        raise UnsupportedModelError(
            f"{name} says flash_attn=True, but transformer.layers.0.self_attn.Wqkv.weight is not in it",
            "its attention weights are lost: convert a checkpoint that holds them",
        )
    return there


def _heads(weights: Weights, given: Mapping[str, Any], dim: int, name: str, *, flash: bool) -> int:
    table = "transformer.layers.0.self_attn.relative_attention_bias.weight"
    heads = given.get("n_heads") if flash else _matrix(weights, table)[1]
    if not _is_size(heads):
        raise BadInputError(
            f"{name}: nothing tells its number of attention heads", "its metadata must give n_heads"
        )
    if dim % heads:
        raise BadInputError(
            f"{name}: {heads} attention heads do not divide {dim} features",
            "get the checkpoint that was saved",
        )
    return heads


def _layers(weights: Weights, name: str) -> int:
    """Number of layers; a gap is refused here, since a number in a name may be larger than any list of them."""
    found = {int(m[1]) for n in weights.tensors if (m := LAYER.match(n))}
    gap = next(i for i in range(len(found) + 1) if i not in found)
    if gap < len(found):
        raise BadInputError(
            f"{name} misses every tensor of transformer.layers.{gap}., but goes on to layer {max(found)}",
            "the checkpoint is incomplete or altered: get the whole one",
        )
    return gap


def _agree(found: VampNetArchitecture, given: Mapping[str, Any], name: str) -> None:
    for field in fields(found):
        here = getattr(found, field.name)
        there = given.get(field.name, here) or type(here)()
        if there != here:
            raise BadInputError(
                f"{name}: the metadata says {field.name}={there!r}, the weights {here!r}",
                "get a checkpoint whose weights and metadata are of one model",
            )
    mode = given.get("noise_mode", KNOWN_NOISE_MODE)
    if mode != KNOWN_NOISE_MODE:
        raise UnsupportedModelError(
            f"{name} says noise_mode={mode!r}", f"convert a model of noise_mode={KNOWN_NOISE_MODE!r}"
        )


def _plain(value: object) -> Any:
    """Arguments with a description in place of each array, so that all can be compared."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else value


def _is_size(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _matrix(weights: Weights, name: str) -> tuple[int, int]:
    rows, columns = _sizes(weights, name, 2, "matrix")
    return rows, columns


def _length(weights: Weights, name: str) -> int:
    return _sizes(weights, name, 1, "vector")[0]


def _sizes(weights: Weights, name: str, rank: int, what: str) -> tuple[int, ...]:
    shape = weights.shape(name)
    if len(shape) != rank or 0 in shape:
        raise BadInputError(
            f"{weights.checkpoint.path.name}: {name} is {list(shape)}, not a {what}",
            "the checkpoint is altered: get the one that was saved",
        )
    return shape


def _second(weights: Weights, name: str) -> int:
    return _matrix(weights, name)[1] if name in weights else 0
