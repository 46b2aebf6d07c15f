"""The trained checkpoints: how good they are on music that they were not trained on, and what is told of them."""

from __future__ import annotations

import re

import numpy as np
import pytest
import soundfile
import torch

import evaluate
from tests.common import ROOT
from training.codec import CODEC
from training.instruments import SAMPLE_RATE
from training.music import render
from training.transformer import COARSE, COARSE_TO_FINE

FIXTURES = ROOT / "fixtures"
TRAINED = FIXTURES / "trained"
MEGABYTE = 10**6
EXAMPLE_SEED = 1_000_003


def tables(text: str) -> dict[str, list[float]]:
    """Rows of Markdown tables of numbers, by their first cells."""
    rows = (line.strip("|").split("|") for line in text.splitlines() if line.startswith("|"))
    found = {}
    for name, *cells in rows:
        numbers = [re.match(r" *(-?[\d.]+)", cell) for cell in cells]
        if all(numbers):
            found[name.strip()] = [float(n[1]) for n in numbers if n]
    return found


@pytest.fixture(scope="module")
def measured():
    """What `fixtures/evaluate.py` prints of the checkpoints."""
    return tables(evaluate.measure(TRAINED))


def test_decoded_music_is_at_most_half_as_far_as_silence_and_as_untrained(measured):
    linear, logarithmic = measured["trained, all codebooks"]
    for other in ("silence", "the codec untrained"):
        assert linear <= measured[other][0] / 2
        assert logarithmic <= measured[other][1] / 2
    coarse = measured[f"trained, the first {evaluate.N_COARSE} codebooks"]
    assert linear < coarse[0] < measured["silence"][0]


def test_no_codebook_is_collapsed(measured):
    for index in range(CODEC.n_codebooks):
        perplexity, used = measured[str(index)]
        assert perplexity > CODEC.codebook_size / 4
        assert used > CODEC.codebook_size / 2


@pytest.mark.parametrize("part", ["coarse", "c2f"])
def test_masked_tokens_are_half_a_nat_likelier_than_by_their_frequencies(measured, part):
    model, frequencies, gain = measured[part]
    assert gain == pytest.approx(frequencies - model, abs=2e-3)
    assert model <= frequencies - 0.5


def test_the_figures_in_the_readme_are_these(measured):
    told = tables((FIXTURES / "README.md").read_text())
    assert set(measured) <= set(told)
    for name, numbers in measured.items():
        assert told[name] == pytest.approx(numbers, rel=0.02, abs=0.02), name


def test_files_are_small_and_laid_out_as_the_original_does():
    files = sorted(TRAINED.glob("*.pth"))
    assert [file.stem for file in files] == ["c2f", "coarse", "codec"]
    assert sum(file.stat().st_size for file in files) <= 8 * MEGABYTE
    everything = [f for f in FIXTURES.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    assert sum(file.stat().st_size for file in everything) <= 20 * MEGABYTE
    for file, config in zip(files, (COARSE_TO_FINE, COARSE, CODEC), strict=True):
        content = torch.load(file, weights_only=True)
        assert set(content) == {"state_dict", "metadata"}
        assert content["metadata"]["kwargs"] == config.to_kwargs()
        assert all(tensor.isfinite().all() for tensor in content["state_dict"].values())


def test_the_example_is_a_held_out_piece():
    audio, rate = soundfile.read(TRAINED / "example.flac", dtype="float32")
    assert rate == SAMPLE_RATE
    np.testing.assert_allclose(audio, render(EXAMPLE_SEED, len(audio) / rate), atol=2**-15)


def test_the_line_to_try_makes_sound(vampconv, tmp_path, monkeypatch):
    """The commands of README's first line, but for the installation, give new music that is like the example."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fixtures").symlink_to(FIXTURES)
    block = re.search(r"<!-- try -->\n```sh\n(.*?)\n```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block
    commands = [part.split()[1:] for part in block[1].split(" && ") if ".venv/bin/vampconv " in part]
    for command in commands:
        expanded = [
            str(path) for word in command for path in (sorted(tmp_path.glob(word)) if "*" in word else [word])
        ]
        ran = vampconv(*expanded)
        assert ran.code == 0, ran.err
    made, rate = soundfile.read(tmp_path / "vamp.wav", dtype="float32")
    given, _ = soundfile.read(TRAINED / "example.flac", dtype="float32")
    assert rate == SAMPLE_RATE
    assert abs(len(made) - len(given)) <= CODEC.hop
    level, wanted = (20 * np.log10(np.sqrt(np.mean(np.square(x)))) for x in (made, given))
    assert level == pytest.approx(wanted, abs=6)
