"""Files of audio on disks that fail."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import soundfile

from vampconv.errors import InputOutputError
from vampconv.play.sound import sound_writer

AUDIO = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 40_000)).astype(np.float32)
SIZES = {"sample_rate": 44100, "channels": 2, "samples": AUDIO.shape[1]}


def write(place, suffix):
    with sound_writer(place / "staged", place / f"out.{suffix}", **SIZES) as writer:
        writer.add(AUDIO)
    return place / "staged"


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_a_disk_that_takes_no_more(tmp_path, suffix, share):
    """Libsndfile takes a write that failed for success."""
    whole = write(tmp_path, suffix).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(whole * share), hard))
    try:
        with pytest.raises(InputOutputError, match=rf"out\.{suffix} cannot be written: File too large"):
            write(tmp_path, suffix)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("suffix", "most"), [("wav", 0), ("flac", 2**-23), ("ogg", 2)])
def test_a_disk_that_takes_all(tmp_path, suffix, most):
    found, rate = soundfile.read(write(tmp_path, suffix), dtype="float32")
    assert rate == 44100
    assert np.abs(found.T - AUDIO).max() <= most
