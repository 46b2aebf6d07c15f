"""The benchmarks measure what they say."""

from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

from vampconv.bench.codec import main as codec
from vampconv.bench.convert import main as convert
from vampconv.bench.exactness import RECORDINGS
from vampconv.bench.exactness import main as exactness
from vampconv.bench.long_audio import compare
from vampconv.bench.long_audio import main as long_audio
from vampconv.bench.process import Measurement, measure, medians, take_turns
from vampconv.bench.rival import Rival, compete
from vampconv.bench.vamp import main as vamp
from vampconv.bench.vamp_rival import generate
from vampconv.reference.random_checkpoint import LAC_KWARGS

HOLD = "import time; held = bytearray(b'x') * {size}; time.sleep({seconds})"


def python(code):
    return [sys.executable, "-c", code]


def test_time_and_memory_of_a_process():
    idle = measure(python("pass"))
    busy = measure(python(HOLD.format(size=300_000_000, seconds=0.3)))
    assert busy.seconds >= 0.3
    assert busy.peak_bytes >= idle.peak_bytes
    assert busy.peak_bytes >= 300_000_000


def test_a_failing_process_is_an_error():
    with pytest.raises(RuntimeError, match="ended with 3"):
        measure(python("raise SystemExit(3)"))


def test_turns_alternate(tmp_path):
    log = tmp_path / "log"
    write = "file = open({path!r}, 'a'); file.write({name!r}); file.close()"
    commands = {name: python(write.format(path=str(log), name=name)) for name in "ab"}
    results = take_turns(commands, {"a": 3, "b": 2}, python("pass"))
    assert log.read_text() == "ababa"
    assert {name: len(runs) for name, runs in results.items()} == {"a": 3, "b": 2}


def test_medians():
    runs = [Measurement(seconds, peak) for seconds, peak in ((3, 10), (1, 30), (2, 20))]
    assert medians(runs) == Measurement(2, 30)


def test_conversion_benchmark(tmp_path):
    arguments = ["--layers", "2", "--rounds", "1", "--exporter-rounds", "0", "--directory", str(tmp_path)]
    ran = CliRunner().invoke(convert, arguments, catch_exceptions=False)
    assert "vampconv convert, half the layers" in ran.output
    assert list(tmp_path.iterdir()) == []


SERVE = """
import sys, time
from pathlib import Path
import numpy as np
from vampconv.bench.rival import serve

turns, held = [], bytearray(b"x") * {size}

def run():
    turns.append(0)
    time.sleep({seconds})
    return np.array(turns)

serve(run, Path(sys.argv[1]))
"""


def test_rivals_run_in_turn(tmp_path):
    sizes = {"small": 1, "large": 200_000_000}
    commands = {
        name: [*python(SERVE.format(size=size, seconds=0.05)), str(tmp_path / f"{name}.npy")]
        for name, size in sizes.items()
    }
    results = compete(commands, 3)
    for name in sizes:
        assert len(np.load(tmp_path / f"{name}.npy")) == 4
        assert all(0.05 <= run.seconds < 5 for run in results[name])
    assert results["large"][0].peak_bytes - results["small"][0].peak_bytes >= 190_000_000


def test_a_rival_that_ends_is_an_error():
    with pytest.raises(RuntimeError, match="ended with 3"):
        Rival(python("raise SystemExit(3)"))


SHALLOW = {"encoder_rates": [2, 4], "decoder_rates": [4, 2], "n_codebooks": 3, "sample_rate": 8000}


def test_codec_benchmark(monkeypatch):
    """Of a codec with fewer blocks and codebooks, which the exporter is done with sooner."""
    monkeypatch.setattr("vampconv.bench.codec.LAC_KWARGS", {**LAC_KWARGS, **SHALLOW})
    arguments = ["--seconds", "0.2", "--rounds", "1", "--width", "16", "--disable", "ConvOverImage"]
    ran = CliRunner().invoke(codec, arguments, catch_exceptions=False)
    rows = [line.split("│") for line in ran.output.splitlines() if line.startswith("│")]
    assert len(rows) == 10
    for row in rows[:5]:
        assert row[6].strip() == "600 of 600 codes"
        assert row[7].strip() == "600 best, 0 ties, 0 wrong"
    for row in rows[5:]:
        assert float(row[6]) < 1e-5


def test_vamp_benchmark(tmp_path):
    """All three finish, their parts make up the whole, and models that are there are used again."""
    arguments = ["--seconds", "0.3", "--steps", "2", "--rounds", "2", "--layers", "1", "--width", "16"]
    made = set()
    for only in ([], ["--only", "runtime"]):
        command = [*arguments, *only, "--directory", str(tmp_path)]
        ran = CliRunner().invoke(vamp, command, catch_exceptions=False)
        made.add((tmp_path / "coarse.pth").stat().st_mtime_ns)
        rows = [line.split("│")[1:-1] for line in ran.output.splitlines() if line.startswith("│")]
        assert len(rows) == (1 if only else 3)
        for row in rows:
            median, *parts = (float(row[i]) for i in (1, 3, 4, 5, 6, 7))
            assert sum(parts) == pytest.approx(median, rel=0.3, abs=0.05)
            assert len(row[2].split()) == 2
            assert 50 < float(row[9]) < 2000
    assert len(made) == 1


def test_the_loop_of_the_vamp_benchmark(workshop):
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


def test_long_audio_benchmark():
    arguments = ["--minutes", "0.1", "--excerpt", "1", "--width", "16"]
    ran = CliRunner().invoke(long_audio, arguments, catch_exceptions=False)
    encoder, decoder = (line.split("│") for line in ran.output.splitlines() if line.startswith("│"))
    for end in encoder[5:7]:
        equal, of = end.split(" of ")
        assert int(equal) == int(of.split()[0]) > 200
    for end in decoder[5:7]:
        assert float(end) < 1e-5
    assert 50 < float(encoder[4]) < 1000


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
    (tmp_path / "bundle").mkdir()
    onnx.save(onnx.parser.parse_model(SUMS), tmp_path / "bundle" / "decoder.onnx")
    np.save(tmp_path / "codes.npy", codes)
    np.save(tmp_path / "decoder.npy", audio)
    for end, change in ((False, first), (True, last)):
        distance = float(compare("decoder", tmp_path, 100, 1, last=end))
        assert (distance > 0.01) == (change > 0)
        assert distance < 0.2


def test_every_recording_agrees(workshop):
    ran = CliRunner().invoke(exactness, [str(workshop.golden)], catch_exceptions=False)
    rows = [line.split("│") for line in ran.output.splitlines() if " of " in line]
    assert len(rows) == len(RECORDINGS)
    for row in rows:
        agreed, of = row[5].split(" of ")
        assert int(agreed) == int(of)
        assert float(row[3]) < 1e-6
        assert float(row[4]) < 1e-6
