"""The benchmarks that are commands of their own, on tiny models."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

from vampconv.bench import exactness, long_audio, loop, optimize
from vampconv.bench.checkpoints import Size
from vampconv.bench.reference_vamp import generate
from vampconv.reference.lac_config import LACConfig


def rows(command, *arguments):
    """The cells of the rows of a command's table."""
    ran = CliRunner().invoke(command.main, arguments, catch_exceptions=False)
    assert ran.exit_code == 0
    return [[c.strip() for c in line.split("│")[1:-1]] for line in ran.output.splitlines() if line[:1] == "│"]


def test_exactness(workshop, monkeypatch):
    """With fine-tunes and controls; that all recordings agree at all opsets is tested elsewhere."""
    chosen = [r for r in exactness.RECORDINGS if r.data in ("coarse_lora", "coarse_ctrl")]
    monkeypatch.setattr(exactness, "RECORDINGS", chosen)
    found = rows(exactness, str(workshop.golden))
    assert [row[0] for row in found] == ["coarse_lora", "coarse_ctrl"]
    for row in found:
        agreed, of = row[4].split(" of ")
        assert int(agreed) == int(of)
        assert float(row[2]) < 1e-6
        assert float(row[3]) < 1e-6


SMALL = LACConfig(
    encoder_dim=4,
    encoder_rates=(2,),
    decoder_dim=8,
    decoder_rates=(2,),
    codebook_dims=(8,) * 2,
    sample_rate=2000,
)


def test_long_audio(monkeypatch):
    """The ends are as those of a whole run."""
    monkeypatch.setattr(Size, "codec", lambda _size: SMALL)
    encoder, decoder = rows(long_audio, "--minutes", "0.05", "--excerpt", "1", "--width", "16")
    assert encoder[4:6] == ["100.00% equal"] * 2
    for end in decoder[4:6]:
        assert float(end) < 1e-5
    assert 50 < float(encoder[3]) < 1000


SUMS = """
< ir_version: 8, opset_import: ["" : 17] >
sums (float[batch, 1, time] codes) => (float[batch, 1, samples] audio)
<float[1, 1, 3] weight = {1, 1, 1}>
{ audio = Conv <pads = [1, 1]> (codes, weight) }
"""


@pytest.mark.parametrize(("first", "last"), [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0)])
def test_ends_that_differ_are_seen(tmp_path, first, last):
    codes = np.random.default_rng(0).standard_normal((1, 1, 400)).astype(np.float32)
    audio = np.convolve(codes[0, 0], np.ones(3), "same")[None, None]
    audio[..., 50] += first
    audio[..., -50] += last
    path = tmp_path / "decoder.onnx"
    onnx.save(onnx.parser.parse_model(SUMS), path)
    for end, change in ((False, first), (True, last)):
        distance = long_audio.compare("decoder", path, codes, audio, 100, last=end)["error"]
        assert (distance > 0.01) == (change > 0)
        assert distance < 0.2


def test_the_loop():
    """All four are measured; the forward alone is beyond itself by nothing."""
    found = rows(loop, "--layers", "1", "--width", "16", "--length", "9", "--steps", "2", "--rounds", "2")
    assert [row[0] for row in found] == [
        "coarse.onnx alone",
        "vamp.onnx",
        "vamp_replay.onnx",
        "draws in numpy",
    ]
    assert float(found[0][3]) == float(found[0][5]) == 0
    assert all(float(row[1]) > 0 and len(row[2].split()) == 2 for row in found)


def test_optimising_what_an_exporter_makes(monkeypatch):
    """Of a small codec's encoder, which takes whole hops."""
    monkeypatch.setattr(Size, "codec", lambda _size: SMALL)
    monkeypatch.setattr(optimize, "EXPORTERS", ("dynamo",))
    (row,) = rows(optimize, "--part", "encoder", "--seconds", "0.1", "--rounds", "1")
    assert row[0] == "encoder, dynamo"
    assert row[6:9] == ["0 of 200"] * 3
    before, after = map(int, row[1].split(" → "))
    assert after < before


def test_the_loop_of_the_reference(workshop):
    for name in ("coarse", "c2f"):
        model = workshop.reference(name)
        fixed, token = model.config.n_conditioning_codebooks, model.config.vocab_size
        codes = torch.from_numpy(
            np.random.default_rng(0).integers(0, token, (1, model.config.n_codebooks, 20))
        )
        shown = []
        model.register_forward_pre_hook(lambda _, given, shown=shown: shown.append(given[0].clone()))
        with torch.inference_mode():
            made = generate(model, codes, 4)
        assert (made[:, :fixed] == codes[:, :fixed]).all()
        assert made.min() >= 0
        assert made.max() < token
        rows = (model.config.n_codebooks - fixed) * 20
        masked = [int((codes[:, fixed:] == token).sum()) for codes in shown]
        assert masked == [rows, *(int(np.cos(r * np.pi / 8) * rows) for r in (1, 2, 3))]
