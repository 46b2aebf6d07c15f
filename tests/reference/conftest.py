from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from vampconv.reference.codec_tables import codec_tables
from vampconv.reference.vampnet import VampNetReference

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"


class Recorded(NamedTuple):
    """A recording of the original, and how to call the reference to repeat it."""

    arrays: dict[str, Tensor]
    inputs: dict[str, Any]


class Golden:
    """Checkpoints and recordings of the original."""

    root = GOLDEN

    def checkpoint(self, name: str) -> Any:
        return torch.load(GOLDEN / f"{name}.pth", weights_only=True)

    def tables(self) -> list[Tensor]:
        return codec_tables(self.checkpoint("codec")["state_dict"])

    def model(self, name: str, lora: str | None = None, **options: Any) -> VampNetReference:
        saved = self.checkpoint(name)
        fine_tune = self.checkpoint(lora) if lora else None
        state, kwargs = saved["state_dict"], saved["metadata"]["kwargs"]
        return VampNetReference.from_state_dict(state, kwargs, self.tables(), fine_tune, **options)

    def recorded(self, name: str) -> Recorded:
        with np.load(GOLDEN / f"{name}.npz") as archive:
            arrays = {key: torch.from_numpy(archive[key]) for key in archive.files}
        inputs: dict[str, Any] = {key: arrays[key] for key in ("codes", "r") if key in arrays}
        for group, argument in (("ctrl/", "ctrls"), ("ctrl_mask/", "ctrl_masks")):
            named = {key.removeprefix(group): arrays[key] for key in arrays if key.startswith(group)}
            inputs |= {argument: named} if named else {}
        return Recorded(arrays, inputs)


@pytest.fixture(scope="session")
def golden() -> Golden:
    return Golden()


def _relative_l2(found: Tensor, wanted: Tensor) -> float:
    assert found.shape == wanted.shape
    assert wanted.numel() > 0
    assert torch.isfinite(found).all()
    difference = torch.linalg.vector_norm(found.double() - wanted.double())
    return float(difference / torch.linalg.vector_norm(wanted.double()))


@pytest.fixture(scope="session")
def relative_l2() -> Callable[[Tensor, Tensor], float]:
    """Relative L2 distance of two tensors of the same shape, never of empty or non-finite ones."""
    return _relative_l2
