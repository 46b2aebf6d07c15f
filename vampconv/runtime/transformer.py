"""A converted transformer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from vampconv.runtime.controls import Controls
from vampconv.runtime.session import open_session, processors, run_session


class Transformer:
    """Logits of codes.

    Parameters
    ----------
    path
        The ONNX file.
    architecture
        Sizes as in the manifest: `n_codebooks`, `n_conditioning_codebooks`, `vocab_size`, `r_cond_dim`,
        `ctrl_dims`.
    threads
        As many as there are processors, by default.

    """

    def __init__(self, path: Path, architecture: Mapping[str, Any], threads: int | None = None) -> None:
        self.n_codebooks: int = architecture["n_codebooks"]
        self.n_conditioning_codebooks: int = architecture["n_conditioning_codebooks"]
        self.vocab_size: int = architecture["vocab_size"]
        self.ctrl_dims: dict[str, int] = dict(architecture["ctrl_dims"])
        self.takes_noise_level: bool = architecture["r_cond_dim"] > 0
        self.path, self.threads = path, threads or processors()

    @cached_property
    def session(self) -> InferenceSession:
        """Of ONNX Runtime; opened when it is first used."""
        return open_session(self.path, self.threads)

    def release(self) -> None:
        """Let go of the session; it is opened again when it is used."""
        self.__dict__.pop("session", None)

    @property
    def mask_token(self) -> int:
        """What stands for a code that is to be made."""
        return self.vocab_size

    @property
    def n_predict(self) -> int:
        """Codebooks that do not condition."""
        return self.n_codebooks - self.n_conditioning_codebooks

    def __call__(
        self, codes: NDArray[np.int64], noise_level: np.float32, controls: Controls | None
    ) -> NDArray[np.float32]:
        """Logits float32 [batch, time·n_predict, vocab_size], row ``t·n_predict + c``, the caller's own.

        Parameters
        ----------
        codes
            Int64 [batch, n_codebooks, time].
        noise_level
            Of a model of the FiLM era, from 0 to 1.
        controls
            Of a model with controls; those that are not given have a mask of zeros.

        """
        batch, _, time = codes.shape
        feeds: dict[str, NDArray[Any]] = {"codes": codes}
        if self.takes_noise_level:
            feeds["r"] = np.full(batch, noise_level, np.float32)
        for name, dim in self.ctrl_dims.items():
            given = controls is not None and name in controls.values
            feeds[f"ctrl.{name}"] = (
                controls.values[name] if controls and given else np.zeros((batch, dim, time), np.float32)
            )
            feeds[f"ctrl_mask.{name}"] = (
                controls.masks[name] if controls and given else np.zeros((batch, time), np.float32)
            )
        return np.asarray(run_session(self.session, feeds))
