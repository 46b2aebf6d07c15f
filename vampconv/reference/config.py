"""The constructor arguments that a VampNet checkpoint carries, as a checked record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vampconv.errors import BadInputError, UnsupportedModelError

LORA_RANK = 8
LORA_SCALE = 1 / LORA_RANK
POSITION_BUCKETS = 32

_SINUSOID_PAIRS_FROM = 4  # the spacing of r_cond_dim 2 or 3 divides by zero in the original


@dataclass(frozen=True)
class VampNetConfig:
    """Architecture of a VampNet; the defaults are those of the original's constructor."""

    n_heads: int = 20
    n_layers: int = 16
    r_cond_dim: int = 0
    n_codebooks: int = 9
    n_conditioning_codebooks: int = 0
    latent_dim: int = 8
    embedding_dim: int = 1280
    vocab_size: int = 1024
    flash_attn: bool = True
    ctrl_dims: Mapping[str, int] = field(default_factory=dict)

    @property
    def n_predict(self) -> int:
        """Codebooks that the model predicts: those that are not conditioning."""
        return self.n_codebooks - self.n_conditioning_codebooks

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, Any]) -> VampNetConfig:
        """Read `metadata["kwargs"]` of a checkpoint; arguments without bearing on inference are ignored.

        Raises
        ------
        BadInputError
            A size is not an integer, or the sizes contradict each other.
        UnsupportedModelError
            The original itself cannot run this model.

        """
        noise = kwargs.get("noise_mode", "mask")
        if noise != "mask":
            raise UnsupportedModelError(f"noise_mode is {noise!r}", "only models of noise_mode 'mask' run")
        controls = kwargs.get("ctrl_dims") or {}
        if not isinstance(controls, Mapping):
            raise BadInputError("ctrl_dims is not a mapping of names to sizes", _MEND)
        sizes = {name: _integer(name, kwargs[name]) for name in _SIZES if name in kwargs}
        config = cls(
            **sizes,
            flash_attn=bool(kwargs.get("flash_attn", True)),
            ctrl_dims={name: _integer(f"ctrl_dims[{name!r}]", dim) for name, dim in controls.items()},
        )
        config._check()
        return config

    def to_kwargs(self) -> dict[str, Any]:
        """The arguments as the original saves them, with its defaults for those left out here."""
        sizes: dict[str, Any] = {name: getattr(self, name) for name in _SIZES}
        rest = {"noise_mode": "mask", "dropout": 0.1, "cfg_dropout_prob": 0.2, "cond_dim": 0}
        return sizes | {"flash_attn": self.flash_attn, "ctrl_dims": dict(self.ctrl_dims) or None} | rest

    def _check(self) -> None:
        for name in ("n_heads", "n_layers", "n_codebooks", "latent_dim", "embedding_dim", "vocab_size"):
            if getattr(self, name) < 1:
                raise BadInputError(f"{name} is {getattr(self, name)}, less than 1", _MEND)
        if self.embedding_dim % self.n_heads:
            raise BadInputError(f"{self.n_heads} heads do not divide dim {self.embedding_dim}", _MEND)
        if not 0 <= self.n_conditioning_codebooks < self.n_codebooks:
            raise BadInputError(
                f"{self.n_conditioning_codebooks} of {self.n_codebooks} codebooks are conditioning", _MEND
            )
        if self.r_cond_dim < 0 or 1 < self.r_cond_dim < _SINUSOID_PAIRS_FROM:
            raise UnsupportedModelError(f"r_cond_dim is {self.r_cond_dim}", "0, 1, or 4 and above run")


_SIZES = (
    "n_heads",
    "n_layers",
    "r_cond_dim",
    "n_codebooks",
    "n_conditioning_codebooks",
    "latent_dim",
    "embedding_dim",
    "vocab_size",
)
_MEND = "check the kwargs in the checkpoint's metadata"


def _integer(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadInputError(f"{name} is {value!r}, not an integer", _MEND)
    return value
