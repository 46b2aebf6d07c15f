"""The committed checkpoints make sound and know their tokens, on music that they were not trained on."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from tests.common import manifest
from training.figures import distance, likelihood, perplexities, reconstruct
from training.spectral import stft_distance

from .conftest import TRAINED


@pytest.fixture(scope="module")
def decoded(trained, clips):
    """Audio through all codebooks, and the codes."""
    return reconstruct(trained, clips)


def test_the_checkpoints_are_small_and_as_the_original_saves_them():
    files = sorted(TRAINED.glob("*.pth"))
    assert [f.stem for f in files] == ["c2f", "coarse", "codec"]
    assert sum(f.stat().st_size for f in files) <= 8_000_000
    for file in files:
        content = torch.load(file, weights_only=True)
        assert set(content) == {"state_dict", "metadata"}
        assert content["metadata"]["kwargs"]
        assert {t.dtype for t in content["state_dict"].values()} == {torch.float32}
        assert all(torch.isfinite(t).all() for t in content["state_dict"].values())
        if file.stem != "codec":
            assert not any("codebook" in name or "codec" in name for name in content["state_dict"])


def test_every_tensor_is_accounted_for(trained):
    fates = [t["fate"] for c in manifest(trained)["checkpoints"] for t in c["tensors"]]
    assert fates
    assert set(fates) <= {"used", "shared"}


def test_sound_is_at_most_half_as_far_as_silence_or_an_untrained_codec(decoded, untrained_codec, clips):
    found = distance(decoded[0], clips)
    silent = distance(torch.zeros_like(clips), clips)
    random = distance(reconstruct(untrained_codec, clips)[0], clips)
    for other in (silent, random):
        assert found.linear <= other.linear / 2
        assert found.logarithmic <= other.logarithmic / 2


def test_no_clip_is_lost(decoded, clips):
    for sound, clip in zip(decoded[0], clips, strict=True):
        assert stft_distance(sound[None], clip[None])[0] < 0.65


def test_more_codebooks_come_nearer(trained, clips, decoded):
    few = distance(reconstruct(trained, clips, 4)[0], clips)
    assert distance(decoded[0], clips).linear < few.linear < 0.8


def test_every_codebook_is_in_use(decoded, trained):
    size = manifest(trained)["models"]["encoder"]["architecture"]["codebook_size"]
    assert min(perplexities(decoded[1], size)) > size / 8


@pytest.mark.parametrize("part", ["coarse", "c2f"])
def test_masked_tokens_are_likelier_than_by_their_frequencies(trained, decoded, part):
    found = likelihood(trained, part, decoded[1], seed=1, draws=2)
    assert found.model <= found.frequencies - 0.5


def test_a_shuffled_context_is_of_no_use(trained, decoded):
    """The gain comes from what surrounds a token: it vanishes where time is out of order."""
    order = np.random.default_rng(0).permutation(decoded[1].shape[-1])
    plain = likelihood(trained, "coarse", decoded[1], seed=1, draws=1)
    shuffled = likelihood(trained, "coarse", decoded[1][..., order], seed=1, draws=1)
    assert shuffled.model > plain.model + 0.3


def test_the_example_is_held_out_music():
    sound, rate = soundfile.read(TRAINED / "example.flac")
    assert rate == 16000
    assert sound.ndim == 1
    assert 5 <= len(sound) / rate <= 15
    assert np.sqrt(np.mean(sound**2)) > 0.03
