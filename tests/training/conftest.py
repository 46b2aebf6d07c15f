"""The committed checkpoints, converted, and music that they were not trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.common import ROOT
from training.codec import untrained
from training.data import HELD_OUT_SEEDS, songs
from training.files import load_codec, save

TRAINED = ROOT / "fixtures" / "trained"


@pytest.fixture(scope="session")
def trained(workshop) -> Path:
    """The bundle of all committed trained checkpoints."""
    return workshop.bundle(TRAINED)


@pytest.fixture(scope="session")
def untrained_codec(workshop) -> Path:
    """The bundle of a codec of the same sizes, before its training."""
    path = workshop.place() / "codec.pth"
    save(untrained(load_codec(TRAINED / "codec.pth").config, 0), path)
    return workshop.bundle(path)


@pytest.fixture(scope="session")
def clips() -> torch.Tensor:
    """Held-out music [clips, 1, samples], the beginnings of six pieces."""
    return songs(HELD_OUT_SEEDS[:6], 4.0)
