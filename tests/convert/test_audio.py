"""Encoder, decoder and beat tracker as `convert` writes them, against what the original recorded."""

from __future__ import annotations

import numpy as np
import pytest

from vampconv.convert import Request, convert
from vampconv.errors import BadInputError, PluginError, UnsupportedModelError

from ..common import OPSETS, manifest

PARTS = ["coarse", "c2f", "encoder", "decoder", "wavebeat"]


@pytest.fixture(scope="module")
def five(workshop):
    """A bundle of all five parts."""
    names = ("wavebeat", "codec", "c2f", "coarse")
    return workshop.bundle(*(workshop.golden / f"{name}.pth" for name in names))


@pytest.fixture(scope="module", params=OPSETS)
def audio(workshop, request):
    """Sessions of encoder, decoder and beat tracker at every opset."""
    files = [workshop.golden / f"{name}.pth" for name in ("codec", "wavebeat")]
    bundle = workshop.bundle(*files, opset=request.param)
    return {part: workshop.session(bundle, part) for part in ("encoder", "decoder", "wavebeat")}


def test_the_contract(five):
    models = manifest(five)["models"]
    assert list(models) == PARTS
    ports = {part: (models[part]["inputs"][0], models[part]["outputs"][0]) for part in PARTS}
    sound = {"name": "audio", "dtype": "float32", "shape": ["batch", 1, "samples"]}
    assert ports["encoder"] == (sound, {"name": "codes", "dtype": "int64", "shape": ["batch", 14, "time"]})
    assert ports["decoder"] == ({"name": "codes", "dtype": "int64", "shape": ["batch", "n", "time"]}, sound)
    activations = {"name": "activations", "dtype": "float32", "shape": ["batch", 2, "frames"]}
    assert ports["wavebeat"] == (sound, activations)
    architecture = models["encoder"]["architecture"]
    assert (architecture["hop"], architecture["min_samples"], architecture["sample_rate"]) == (768, 1, 44100)
    assert (manifest(five)["sample_rate"], manifest(five)["hop"]) == (44100, 768)


def test_every_tensor_has_a_fate(five):
    fates = {c["file"]: [t["fate"] for t in c["tensors"]] for c in manifest(five)["checkpoints"]}
    assert set(fates["codec.pth"]) == {"used"}
    assert len(fates["codec.pth"]) == 528
    assert sorted(set(fates["wavebeat.pth"])) == ["dropped", "used"]
    (beats,) = (c for c in manifest(five)["checkpoints"] if c["file"] == "wavebeat.pth")
    for entry in beats["tensors"]:
        assert (entry["fate"] == "dropped") == entry["name"].endswith("num_batches_tracked")
        assert entry["fate"] == "used" or entry["reason"] == "counts training steps"
    (codec,) = (c for c in manifest(five)["checkpoints"] if c["file"] == "codec.pth")
    table = next(t for t in codec["tensors"] if t["name"] == "quantizer.quantizers.0.codebook.weight")
    assert {use.partition(":")[0] for use in table["uses"]} == {f"{p}.onnx" for p in PARTS[:4]}


@pytest.mark.parametrize("name", ["codec_n5376", "codec_n3841", "codec_n6911"])
def test_recorded_audio(workshop, relative, audio, name):
    recorded = workshop.recorded(name)
    codes = audio["encoder"].run(None, {"audio": recorded["audio"]})[0]
    np.testing.assert_array_equal(codes, recorded["codes"])
    sound = audio["decoder"].run(None, {"codes": recorded["codes"]})[0]
    assert relative(sound, recorded["vampnet_decode"]) <= 2e-5


def test_recorded_mask_tokens_and_beats(workshop, relative, audio):
    recorded = workshop.recorded("decode_with_mask_tokens")
    assert (recorded["codes"] == 64).any()
    sound = audio["decoder"].run(None, {"codes": recorded["codes"]})[0]
    assert relative(sound, recorded["audio"]) <= 2e-5
    recorded = workshop.recorded("wavebeat")
    activations = audio["wavebeat"].run(None, {"audio": recorded["audio"]})[0]
    assert relative(activations, recorded["activations"]) <= 1e-6


def test_odd_strides(workshop, relative):
    bundle = workshop.bundle(workshop.golden / "codec_odd.pth")
    recorded = workshop.recorded("codec_odd")
    encoder, decoder = (workshop.session(bundle, part) for part in ("encoder", "decoder"))
    for length in ("n105", "n150", "n151", "n299"):
        codes = encoder.run(None, {"audio": recorded[f"{length}/audio"]})[0]
        np.testing.assert_array_equal(codes, recorded[f"{length}/codes"])
        sound = decoder.run(None, {"codes": codes})[0]
        assert sound.shape == recorded[f"{length}/decoded"].shape
        assert relative(sound, recorded[f"{length}/decoded"]) <= 2e-5
    assert manifest(bundle)["models"]["encoder"]["architecture"]["min_samples"] == 16


def test_a_codec_of_tables_only_lends_them(workshop):
    place = workshop.pair()
    done = convert(Request([place / "coarse.pth", place / "codec.pth"], place / "out"))
    assert list(done.manifest["models"]) == ["coarse"]
    assert any("holds tables only" in note for note in done.notes)
    with pytest.raises(UnsupportedModelError, match="only a codec's tables"):
        convert(Request([place / "codec.pth"], place / "other"))


def test_adding_the_codec_to_the_transformers(workshop, five, tmp_path):
    golden = workshop.golden
    convert(
        Request([golden / "coarse.pth", golden / "c2f.pth"], tmp_path / "out", codec=golden / "codec.pth")
    )
    convert(Request([golden / "codec.pth"], tmp_path / "out", add=True))
    convert(Request([golden / "wavebeat.pth"], tmp_path / "out", add=True))
    assert list(manifest(tmp_path / "out")["models"]) == PARTS
    for file in five.glob("*.onnx*"):
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    "name", ["encoder.block.0.weight_v", "decoder.model.0.bias", "quantizer.quantizers.3.in_proj.bias"]
)
def test_a_missing_tensor_is_named(workshop, tmp_path, name):
    saved = workshop.load("codec")
    del saved["state_dict"][name]
    workshop.save(saved, tmp_path / "codec.pth")
    with pytest.raises(BadInputError, match=name):
        convert(Request([tmp_path / "codec.pth"], tmp_path / "out"))


def test_rules_can_be_switched_off(workshop, relative, tmp_path):
    off = ("FoldSnakeScales", "FoldSnakeOutputScale", "FoldBatchNorm")
    files = [workshop.golden / f"{name}.pth" for name in ("codec", "wavebeat")]
    convert(Request(files, tmp_path / "plain", disable=off))
    rules = manifest(tmp_path / "plain")["models"]
    assert not set(off) & {name for entry in rules.values() for name in entry["rules"]}
    recorded = workshop.recorded("codec_n5376")
    sound = workshop.session(tmp_path / "plain", "decoder").run(None, {"codes": recorded["codes"]})[0]
    assert relative(sound, recorded["vampnet_decode"]) <= 2e-5
    with pytest.raises(PluginError, match=r"vamp\.NearestCode"):
        convert(Request(files, tmp_path / "less", disable=("NearestByProduct",)))
