"""The graph from audio to audio: the runtime's samples and codes, of the same weights."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import pytest
from onnxruntime.capi import onnxruntime_pybind11_state as state

from vampconv.convert import Request, convert
from vampconv.inspect.bundle import try_run
from vampconv.opsets import newest
from vampconv.runtime import VampNet

from ..common import LINE, manifest
from .conftest import session
from .test_bundle import graphs

PARTS = ("encoder", "coarse", "c2f", "decoder")
HOP = 768
OPTIONS = {"temperature": 0.9, "mask_temperature": 5.0, "top_p": 0.95, "sample_cutoff": 0.8}
CASES = [
    # samples, batch, steps, seed, chunks (coarse, c2f), period of the mask
    (40 * HOP, 1, 4, 3, (18, 6), 7),
    (40 * HOP - 5, 1, 3, 2**60, (18, 6), 0),
    (36 * HOP, 2, 3, 5, (18, 6), 3),
    (18 * HOP, 1, 1, -4, (18, 18), 7),
    (7 * HOP, 1, 2, 0, (1, 1), 2),
    (9 * HOP, 3, 5, 8, (575, 173), 4),
    (1, 1, 2, 0, (575, 173), 0),
]


@pytest.fixture(scope="module")
def whole(workshop):
    return workshop.whole("coarse", "c2f", "codec")


@pytest.fixture(scope="module")
def runs(whole):
    return [session(whole / "vamp_audio.onnx", threads) for threads in (1, 2)]


def feeds(audio, mask, steps, seed, chunks, options=OPTIONS):
    given = {"audio": audio, "mask": mask, "steps": np.array(steps), "seed": np.array(seed)}
    given |= {f"{part}_chunk": np.array(chunk) for part, chunk in zip(("coarse", "c2f"), chunks, strict=True)}
    return given | {name: np.array(value, np.float32) for name, value in options.items()}


def noise(batch, samples):
    return np.random.default_rng(samples).normal(0, 0.1, (batch, 1, samples)).astype(np.float32)


def player(bundle, chunks):
    seconds = [(chunk - 0.5) * HOP / 44100 for chunk in chunks]
    return VampNet(bundle, threads=1, coarse_chunk_s=seconds[0], c2f_chunk_s=seconds[1])


@pytest.mark.parametrize(("samples", "batch", "steps", "seed", "chunks", "period"), CASES)
def test_it_is_the_runtime(whole, runs, samples, batch, steps, seed, chunks, period):
    vampnet, audio = player(whole, chunks), noise(batch, samples)
    assert (vampnet.chunk_length("coarse"), vampnet.chunk_length("c2f")) == chunks
    codes = vampnet.codec.encode(audio)
    mask = vampnet.build_mask(codes, noise=seed, periodic_prompt=period, rand_mask_intensity=0.9)
    wanted = vampnet.vamp(codes, mask, noise=seed, sampling_steps=steps, **OPTIONS).codes
    for run in runs:
        sound, made = run.run(None, feeds(audio, mask, steps, seed, chunks))
        np.testing.assert_array_equal(made, wanted)
        np.testing.assert_array_equal(sound, vampnet.decode(wanted))
    assert samples == 1 or (made != codes).mean() > 0.3


def test_seeds_options_and_chunks_count(runs):
    audio = noise(1, 40 * HOP)
    mask = np.ones((1, 14, 40), np.int64)
    plain = runs[0].run(["generated"], feeds(audio, mask, 3, 1, (18, 6)))[0]
    others = [feeds(audio, mask, 3, 2, (18, 6)), feeds(audio, mask, 3, 1, (17, 6))]
    others += [feeds(audio, mask, 3, 1, (18, 5)), feeds(audio, mask, 4, 1, (18, 6))]
    others += [feeds(audio, mask, 3, 1, (18, 6), OPTIONS | {"temperature": 0.5})]
    for other in others:
        assert (runs[0].run(["generated"], other)[0] != plain).mean() > 0.02
    again = runs[0].run(["generated"], feeds(audio, mask, 3, 1, (18, 6)))[0]
    np.testing.assert_array_equal(again, plain)


def test_what_is_kept_is_kept(runs, whole):
    audio = noise(1, 20 * HOP)
    codes = player(whole, (20, 20)).codec.encode(audio)
    (made,) = runs[0].run(["generated"], feeds(audio, np.zeros_like(codes), 3, 1, (20, 20)))
    np.testing.assert_array_equal(made, codes)


def test_a_mask_of_another_time_fails(runs):
    given = feeds(noise(1, 20 * HOP), np.ones((1, 14, 19), np.int64), 2, 1, (20, 20))
    with pytest.raises((state.Fail, state.InvalidArgument, state.RuntimeException)):
        runs[0].run(None, given)


def test_weights_are_those_of_the_parts(whole):
    model = onnx.load(whole / "vamp_audio.onnx", load_external_data=False)
    stored = {t.name: t.external_data for t in model.graph.initializer if t.external_data}
    lent = {}
    for part in PARTS:
        alone = onnx.load(whole / f"{part}.onnx", load_external_data=False)
        lent |= {f"{part}/{t.name}": t.external_data for t in alone.graph.initializer if t.external_data}
    assert stored == {name: lent[name] for name in stored}
    assert {data[0].value for data in stored.values()} == {f"{part}.onnx.data" for part in PARTS}
    assert not (whole / "vamp_audio.onnx.data").exists()


@pytest.mark.parametrize("opset", [17, newest()])
def test_standard_ops_and_names_given_once(workshop, opset):
    bundle = workshop.whole("coarse", "c2f", "codec", **({} if opset == 17 else {"opset": opset}))
    onnx.checker.check_model(str(bundle / "vamp_audio.onnx"), full_check=True)
    model = onnx.load(bundle / "vamp_audio.onnx", load_external_data=False)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
    every = list(graphs(model.graph))
    assert {n.domain for g in every for n in g.node} <= {"", "ai.onnx"}
    names = [n.name for g in every for n in g.node]
    values = [v for g in every for n in g.node for v in n.output]
    values += [v.name for g in every for v in g.input] + [t.name for t in model.graph.initializer]
    assert len(set(names)) == len(names)
    assert len(set(values)) == len(values)


def test_the_manifest_and_inspection(whole):
    entry = manifest(whole)["whole"]["vamp_audio"]
    run = session(whole / "vamp_audio.onnx")
    assert entry["of"] == list(PARTS)
    assert [p["name"] for p in entry["inputs"]] == [p.name for p in run.get_inputs()]
    assert [p["name"] for p in entry["outputs"]] == ["vamped", "generated"]
    assert "vamp_audio.onnx" in manifest(whole)["files"]
    rows = [row for row in try_run(whole) if row["file"] == "vamp_audio.onnx"]
    assert len(rows) == 3
    assert all(row["finite"] and row["input"] == row["output"] for row in rows)


def test_parts_that_come_one_after_another(workshop, tmp_path, tree, whole):
    """The bundle is that of one conversion, byte for byte."""
    out = tmp_path / "out"
    codec = workshop.golden / "codec.pth"
    convert(Request([codec], out))
    for name in ("c2f", "coarse"):
        assert manifest(out)["whole"] == {}
        convert(Request([workshop.golden / f"{name}.pth"], out, codec=codec, add=True))
    assert tree(out) == tree(whole)


def test_without_loops_and_after_a_part_was_replaced(workshop, tmp_path, whole):
    out, codec = tmp_path / "out", workshop.golden / "codec.pth"
    files = [workshop.golden / f"{name}.pth" for name in ("coarse", "c2f", "codec")]
    convert(Request(files, out, loops=False))
    assert manifest(out)["whole"] == {}
    assert not (out / "vamp_audio.onnx").exists()
    convert(Request(files[:1], out, codec=codec, add=True))
    assert (out / "vamp_audio.onnx").read_bytes() == (whole / "vamp_audio.onnx").read_bytes()
    convert(Request([workshop.golden / "wavebeat.pth"], out, add=True, loops=False))
    assert list(manifest(out)["whole"]) == ["vamp_audio"]
    convert(Request(files[1:2], out, codec=codec, add=True, loops=False))
    assert manifest(out)["whole"] == {}
    assert not (out / "vamp_audio.onnx").exists()


def test_parts_that_do_not_fit(workshop, tmp_path):
    """Controls are of no time that the graph could cut; opsets must be one."""
    assert manifest(workshop.whole("coarse_ctrl", "c2f", "codec"))["whole"] == {}
    out, codec = tmp_path / "out", workshop.golden / "codec.pth"
    convert(Request([workshop.golden / "coarse.pth", codec], out))
    convert(Request([workshop.golden / "c2f.pth"], out, codec=codec, add=True, opset=18))
    assert manifest(out)["whole"] == {}


def test_a_standing_part_that_is_damaged(workshop, tmp_path, tree, vampconv):
    out, codec = tmp_path / "out", workshop.golden / "codec.pth"
    convert(Request([workshop.golden / "coarse.pth", codec], out))
    (out / "encoder.onnx").write_bytes(b"no model")
    before = tree(tmp_path)
    ran = vampconv("convert", workshop.golden / "c2f.pth", "--codec", codec, "-o", out, "--add")
    assert ran.code == 6
    assert LINE.fullmatch(ran.err)
    assert "encoder.onnx" in ran.err
    assert tree(tmp_path) == before


def test_after_the_bundle_was_moved(whole, tmp_path, runs):
    shutil.copytree(whole, tmp_path / "there")
    given = feeds(noise(1, 9 * HOP), np.ones((1, 14, 9), np.int64), 2, 1, (9, 9))
    moved = session(tmp_path / "there" / "vamp_audio.onnx").run(None, given)
    for found, wanted in zip(moved, runs[0].run(None, given), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_manifest_of_an_earlier_version(whole, tmp_path, vampconv):
    shutil.copytree(whole, tmp_path / "old")
    path = tmp_path / "old" / "vampconv.json"
    content = json.loads(path.read_text())
    del content["whole"], content["files"]["vamp_audio.onnx"]
    path.write_text(json.dumps(content))
    (tmp_path / "old" / "vamp_audio.onnx").unlink()
    assert vampconv("inspect", tmp_path / "old").code == 0
