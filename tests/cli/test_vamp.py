"""``vampconv vamp``, as it is typed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.common import LINE
from vampconv.cli.vamp import vamp
from vampconv.cli.vamp_options import BEAT_NAMES
from vampconv.play import perform as play
from vampconv.play.presets import PRESETS
from vampconv.play.sound import wav_header
from vampconv.runtime import VampNet
from vampconv.runtime.masks.beat import BeatOptions
from vampconv.runtime.masks.build import MaskOptions
from vampconv.runtime.sampling.options import Sampling

OF_THE_COMMAND = {
    "audio", "output", "bundle", "preset", "seed", "variations", "batch_size", "stereo", "loudness", "gain", "tokens",
    "tokens_output", "plot", "streamed", "force", "threads", "check_hashes", "as_json",
}  # fmt: skip
"""Parameters that say neither what to make anew nor how."""
QUICK = ("--steps", "2", "--seed", "3", "--threads", "1")
BLOCKED = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnx_ir", "onnxscript", "jinja2", "onnx_graphsurgeon"):
            raise ImportError(f"{name} must not be needed")
sys.meta_path.insert(0, Finder())
from vampconv.cli import main
main()
"""


def sound(channels=2, rate=44100, seconds=0.5, seed=0):
    """Plucked notes over a little noise, float32 [samples, channels]."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(rate * seconds)) / rate
    notes = np.exp(-20 * (t % 0.125)) * np.sin(2 * np.pi * 330 * t)
    audio = 0.2 * notes[:, None] * np.linspace(1, 0.4, channels) + rng.normal(0, 0.003, (len(t), channels))
    return audio.astype(np.float32)


@pytest.fixture(scope="module")
def bundle(workshop):
    return workshop.whole("coarse", "c2f", "codec", "wavebeat")


@pytest.fixture
def place(tmp_path, monkeypatch, bundle):
    """The current directory, with a bundle right under it and a file of audio."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bundle").symlink_to(bundle)
    soundfile.write("in.wav", sound(), 44100, "PCM_24")
    return tmp_path


def files(place):
    return sorted(p.name for p in place.iterdir())


@pytest.mark.usefixtures("place")
def test_audio_to_audio(vampconv, bundle):
    """The same as the runtime's own calls, of which it is made."""
    ran = vampconv("vamp", "in.wav", "-o", "out.wav", *QUICK, "--periodic", "5", "--temperature", "0.9")
    assert (ran.code, ran.err) == (0, "")
    vampnet = VampNet(bundle, threads=1)
    audio, rate = soundfile.read("in.wav", dtype="float32", always_2d=True)
    codes = vampnet.encode(np.ascontiguousarray(audio.T)[None], rate)
    mask = vampnet.build_mask(codes, noise=3, periodic_prompt=5)
    made = vampnet.vamp(codes, mask, noise=3, temperature=0.9, sampling_steps=2)
    wanted = vampnet.decode(made.codes)[0, 0]
    found, rate = soundfile.read("out.wav", dtype="float32")
    assert rate == vampnet.sample_rate
    np.testing.assert_array_equal(found, wanted)
    for word in (
        "in.wav: 0.50 s, 2 channels at 44100 Hz (WAV, PCM_24), mixed to mono",
        "LUFS",
        "kept",
        "took",
    ):
        assert word in ran.out


def test_everything_at_once_and_in_json(vampconv, place):
    more = ("--plot", "p.html", "--save-tokens", "t.npz", "--variations", "2", "--json")
    ran = vampconv("vamp", "in.wav", "-o", "o.flac", *QUICK, *more)
    assert (ran.code, ran.err) == (0, "")
    made = ["o-1.flac", "o-2.flac", "p-1.html", "p-2.html", "t-1.npz", "t-2.npz"]
    assert files(place) == sorted(["bundle", "in.wav", *made])
    told = json.loads(ran.out)
    assert [o["seed"] for o in told["outputs"]] == [3, 4]
    assert {"encoder", "coarse", "coarse to fine", "decoder", "plot"} <= told["took_seconds"].keys()
    tokens = np.load("t-2.npz")
    for name in ("codes", "before", "kept"):
        assert tokens[name].shape == (1, 14, told["time_steps"])
    assert told["outputs"][1]["kept"] == pytest.approx(tokens["kept"].mean(), abs=1e-4)
    assert told["outputs"][1]["same"] == pytest.approx((tokens["codes"] == tokens["before"]).mean(), abs=1e-4)
    np.testing.assert_array_equal(tokens["codes"][tokens["kept"]], tokens["before"][tokens["kept"]])
    assert b"data:image/png;base64" in (place / "p-1.html").read_bytes()
    alone = vampconv("vamp", "in.wav", "-o", "alone.flac", "--steps", "2", "--seed", "4", "--threads", "1")
    assert alone.code == 0
    assert (place / "alone.flac").read_bytes() == (place / "o-2.flac").read_bytes()


def test_levels_of_what_came_out(vampconv, place):
    ran = vampconv("vamp", "in.wav", "-o", "o.wav", *QUICK, "--json")
    told = json.loads(ran.out)["outputs"][0]
    audio, rate = soundfile.read(place / "o.wav")
    assert told["seconds"] == pytest.approx(len(audio) / rate, abs=1e-3)
    assert told["peak_db"] == pytest.approx(20 * np.log10(np.abs(audio).max()), abs=1e-3)
    assert told["rms_db"] == pytest.approx(10 * np.log10(np.square(audio).mean()), abs=1e-3)


@pytest.mark.usefixtures("place")
def test_stereo_vamps_each_channel_alone(vampconv):
    """With the same mask and draws."""
    options = (*QUICK, "--gain", "0.7")
    assert vampconv("vamp", "in.wav", "-o", "both.wav", "--stereo", *options).code == 0
    both, _ = soundfile.read("both.wav", dtype="float32")
    audio, rate = soundfile.read("in.wav")
    for channel in range(2):
        soundfile.write("one.wav", audio[:, channel], rate, "PCM_24")
        assert vampconv("vamp", "one.wav", "-o", "o.wav", "--force", *options).code == 0
        np.testing.assert_array_equal(both[:, channel], soundfile.read("o.wav", dtype="float32")[0])


@pytest.mark.usefixtures("place")
def test_tokens_there_and_back(vampconv):
    assert vampconv("vamp", "in.wav", "-o", "a.wav", *QUICK, "--save-tokens", "t.npz").code == 0
    np.savez("before.npz", codes=np.load("t.npz")["before"])
    assert (
        vampconv("vamp", "--from-tokens", "before.npz", "-o", "b.ogg", *QUICK, "--save-tokens", "u.npz").code
        == 0
    )
    np.testing.assert_array_equal(np.load("u.npz")["codes"], np.load("t.npz")["codes"])
    assert soundfile.info("b.ogg").format == "OGG"
    np.save("coarse.npy", np.load("t.npz")["codes"][0, :4])
    ran = vampconv(
        "vamp", "--from-tokens", "coarse.npy", "-o", "c.wav", *QUICK, "--stretch", "2", "--plot", "c.png"
    )
    assert (ran.code, ran.err) == (0, "")
    assert soundfile.info("c.wav").frames == 2 * soundfile.info("a.wav").frames


@pytest.mark.parametrize("shape", [(14, 29), (29,)], ids=["codebooks and time", "time"])
@pytest.mark.usefixtures("place")
def test_a_mask_of_ones_own(vampconv, shape):
    mask = np.random.default_rng(0).integers(0, 2, (1, *shape))
    np.savez("m.npz", mask=mask)
    assert (
        vampconv("vamp", "in.wav", "-o", "o.wav", *QUICK, "--mask", "m.npz", "--save-tokens", "t.npz").code
        == 0
    )
    tokens = np.load("t.npz")
    np.testing.assert_array_equal(tokens["mask"], np.broadcast_to(mask.reshape(1, -1, 29), (1, 14, 29)))
    kept = tokens["kept"]
    assert kept[tokens["mask"] == 0].all()
    assert not kept[:, 4:][tokens["mask"][:, 4:] == 1].any()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.usefixtures("place")
def test_presets(vampconv, monkeypatch, preset):
    """Each runs, and is what its options say."""
    asked = []
    perform = play.perform

    def run(request, tell):
        asked.append(request)
        return perform(request, tell)

    def stop(request, _tell):
        asked.append(request)
        raise SystemExit(0)

    by_name = {parameter.name: parameter.opts[0] for parameter in vamp.params}
    options = PRESETS[preset].options.items()
    typed = [str(word) for name, value in options for word in (by_name[name], value)]
    monkeypatch.setattr(play, "perform", run)
    assert vampconv("vamp", "in.wav", "-o", "a.wav", *QUICK, "--preset", preset).code == 0
    monkeypatch.setattr(play, "perform", stop)
    assert vampconv("vamp", "in.wav", "-o", "a.wav", *QUICK, *typed).code == 0
    assert asked[0] == asked[1]


OPTIONS = [
    ("--intensity 0.5", "mask_options.rand_mask_intensity", 0.5),
    ("--prefix 1.5", "mask_options.prefix_s", 1.5),
    ("--suffix 1.5", "mask_options.suffix_s", 1.5),
    ("--periodic 5", "mask_options.periodic_prompt", 5),
    ("--periodic-width 3", "mask_options.periodic_prompt_width", 3),
    ("--onset-width 2", "mask_options.onset_mask_width", 2),
    ("--dropout 0.1", "mask_options.dropout", 0.1),
    ("--upper-codebook-mask 4", "mask_options.upper_codebook_mask", 4),
    ("--keep-codebooks 1", "mask_options.ncc", 1),
    ("--beats keep", "beat_options", BeatOptions()),
    ("--beats make", "beat_options", BeatOptions(invert=False)),
    ("--beats keep --beat-before 0.1", "beat_options.before_beat_s", 0.1),
    ("--beats keep --beat-after 0.1", "beat_options.after_beat_s", 0.1),
    ("--beats keep --no-upbeats", "beat_options.mask_upbeats", False),
    ("--beats keep --no-downbeats", "beat_options.mask_downbeats", False),
    ("--beats keep --beat-every 2", "beat_options.beat_downsample_factor", 2),
    ("--beats keep --downbeat-every 2", "beat_options.downbeat_downsample_factor", 2),
    ("--beats keep --beat-dropout 0.1", "beat_options.dropout", 0.1),
    ("--mask m.npy", "mask_file", Path("m.npy")),
    ("--temperature 0.8", "sampling.temperature", 0.8),
    ("--mask-temperature 3", "sampling.mask_temperature", 3),
    ("--top-p 0.8", "sampling.top_p", 0.8),
    ("--top-k 9", "sampling.top_k", 9),
    ("--typical on", "sampling.typical_filtering", True),
    ("--typical-mass 0.3", "sampling.typical_mass", 0.3),
    ("--typical-min-tokens 5", "sampling.typical_min_tokens", 5),
    ("--sample-cutoff 0.5", "sampling.sample_cutoff", 0.5),
    ("--steps 5", "sampling.sampling_steps", 5),
    ("--feedback 2", "feedback_steps", 2),
    ("--stretch 2", "time_stretch_factor", 2),
    ("--coarse-chunk 1", "coarse_chunk_s", 1),
    ("--c2f-chunk 1", "c2f_chunk_s", 1),
    ("--ctrl loud=a.npy", "controls", {"loud": Path("a.npy")}),
    ("--ctrl-mask loud=a.npy", "control_masks", {"loud": Path("a.npy")}),
    ("--cfg-scale 2", "sampling.cfg_scale", 2),
]
"""What is typed, what it sets in the request, and to what."""


def flat(values, prefix=""):
    """The values of a request and of all in it, by their paths."""
    found = {}
    for field in fields(values):
        value = getattr(values, field.name)
        found[prefix + field.name] = value
        if is_dataclass(value) and not isinstance(value, BeatOptions):
            del found[prefix + field.name]
            found |= flat(value, f"{field.name}.")
    return found


@pytest.mark.parametrize(("typed", "path", "value"), OPTIONS, ids=lambda x: x if isinstance(x, str) else "")
@pytest.mark.usefixtures("place")
def test_every_option_sets_one_thing(vampconv, monkeypatch, typed, path, value):
    asked = []

    def stop(request, _tell):
        asked.append(request)
        raise SystemExit(0)

    monkeypatch.setattr(play, "perform", stop)
    for options in ([], typed.split()):
        assert vampconv("vamp", "in.wav", "-o", "a.wav", "--seed", "3", *options).code == 0
    before, after = map(flat, asked)
    name, _, inner = path.partition(".")
    if name == "beat_options" and inner:
        path, value = name, BeatOptions(**{inner: value})
    assert {p for p in after if after[p] != before[p]} == {path}
    assert after[path] == value


def test_the_table_of_options_is_complete():
    made = {parameter.opts[0] for parameter in vamp.params if parameter.name not in OF_THE_COMMAND}
    secondary = {"--upbeats": "--no-upbeats", "--downbeats": "--no-downbeats"}
    typed = {word for row in OPTIONS for word in row[0].split() if word.startswith("--")}
    assert {secondary.get(option, option) for option in made} == typed


@pytest.mark.parametrize("length", [0.5, 12.0], ids=["short", "longer than the codec takes at once"])
@pytest.mark.usefixtures("place")
def test_one_seed_on_one_and_on_two_threads(vampconv, length):
    soundfile.write("long.wav", sound(1, seconds=length), 44100, "FLOAT")
    made = []
    for threads in (1, 1, 2):
        options = ("--steps", "2", "--seed", "8", "--threads", threads, "--force", "--save-tokens", "t.npz")
        assert vampconv("vamp", "long.wav", "-o", "o.wav", *options).code == 0
        made.append((Path("o.wav").read_bytes(), np.load("t.npz")["codes"].tobytes()))
    assert made[0] == made[1] == made[2]
    assert vampconv("vamp", "long.wav", "-o", "p.wav", "--steps", "2", "--seed", "9").code == 0
    assert Path("p.wav").read_bytes() != made[0][0]


@pytest.mark.usefixtures("place")
def test_without_a_seed_one_is_told_that_makes_it_again(vampconv):
    seeds = []
    for file in ("a.wav", "b.wav"):
        ran = vampconv("vamp", "in.wav", "-o", file, "--steps", "2", "--json")
        seeds.append(json.loads(ran.out)["outputs"][0]["seed"])
    assert seeds[0] != seeds[1]
    assert vampconv("vamp", "in.wav", "-o", "c.wav", "--steps", "2", "--seed", seeds[1]).code == 0
    assert Path("c.wav").read_bytes() == Path("b.wav").read_bytes()


@pytest.mark.usefixtures("place")
def test_more_channels_are_their_mean(vampconv):
    audio = sound(6) * np.random.default_rng(1).uniform(0.2, 1, 6).astype(np.float32)
    soundfile.write("six.wav", audio, 44100, "FLOAT")
    soundfile.write("mean.wav", np.ascontiguousarray(audio.T).mean(axis=0), 44100, "FLOAT")
    for name in ("six", "mean"):
        assert vampconv("vamp", f"{name}.wav", "-o", f"of-{name}.wav", *QUICK).code == 0
    assert Path("of-six.wav").read_bytes() == Path("of-mean.wav").read_bytes()


@pytest.mark.parametrize(
    ("name", "subtype", "worst"),
    [
        ("x.aiff", "PCM_24", 1e-6),
        ("x.flac", "PCM_24", 1e-6),
        ("x.au", "FLOAT", 1e-9),
        ("x.w64", "DOUBLE", 1e-9),
        ("x.caf", "PCM_32", 1e-9),
        ("x.ogg", "VORBIS", 0.2),
        ("x.mp3", "MPEG_LAYER_III", 0.5),
    ],
)
@pytest.mark.usefixtures("place")
def test_formats_that_libsndfile_reads(vampconv, name, subtype, worst):
    """What is encoded is what the file holds, lossy ones but for their loss."""
    audio = sound(2)
    soundfile.write("x.wav", audio, 44100, "FLOAT")
    soundfile.write(name, audio, 44100, subtype)
    levels = []
    for file in ("x.wav", name):
        ran = vampconv("vamp", file, "-o", f"{file}.flac", *QUICK, "--json")
        assert (ran.code, ran.err) == (0, "")
        levels.append(json.loads(ran.out)["before"]["rms_db"])
    assert levels[0] == pytest.approx(levels[1], abs=10 * worst + 1e-4)


@pytest.fixture(scope="module")
def steered(workshop):
    """A bundle whose coarse model has controls."""
    return workshop.whole("coarse_ctrl", "c2f", "codec")


@pytest.mark.usefixtures("place")
def test_controls(vampconv, steered):
    """As the runtime's own call takes them; without a scale they are of no effect."""
    vampnet = VampNet(steered, threads=1)
    name, dim = next(iter(vampnet.coarse.ctrl_dims.items()))
    audio, rate = soundfile.read("in.wav", dtype="float32", always_2d=True)
    codes = vampnet.encode(np.ascontiguousarray(audio.T)[None], rate)
    time = codes.shape[-1]
    control = np.random.default_rng(0).normal(0, 2, (dim, time)).astype(np.float32)
    heard = (np.arange(time) % 3 > 0).astype(np.float32)
    np.save("c.npy", control)
    np.save("m.npy", heard)
    options = ("--bundle", steered, *QUICK, "--periodic", "0", "--coarse-chunk", "0.2", "--force")
    given = ("--ctrl", f"{name}=c.npy", "--ctrl-mask", f"{name}=m.npy")
    made = {}
    for scale in ("3", "1", "0", None):
        steering = () if scale is None else (*given, "--cfg-scale", scale)
        ran = vampconv("vamp", "in.wav", "-o", "o.wav", *options, *steering, "--save-tokens", "t.npz")
        assert (ran.code, ran.err) == (0, "")
        made[scale] = np.load("t.npz")["codes"]
    short = VampNet(steered, threads=1, coarse_chunk_s=0.2)
    mask = short.build_mask(codes, noise=3, periodic_prompt=0)
    sampling = {"noise": 3, "sampling_steps": 2, "cfg_scale": 3.0}
    arrays = {"ctrls": {name: control[None]}, "ctrl_masks": {name: heard[None]}}
    np.testing.assert_array_equal(made["3"], short.vamp(codes, mask, **sampling, **arrays).codes)
    np.testing.assert_array_equal(made["0"], made[None])
    assert (made["3"] != made["1"]).any()
    assert (made["1"] != made["0"]).any()


@pytest.mark.parametrize(
    ("control", "told"),
    [
        (np.zeros((1, 29)), "there is no control 'nothing' of the model"),
        (np.zeros((1, 28), np.float32), "does not fit"),
        (np.full((1, 29), np.nan, np.float32), "is not finite"),
        (np.zeros((1, 29), str), "give float32"),
    ],
    ids=["name", "time", "value", "type"],
)
def test_controls_that_do_not_fit(vampconv, place, steered, control, told):
    names = VampNet(steered).coarse.ctrl_dims
    name, dim = next(iter(names.items()))
    np.save("c.npy", control.repeat(dim, axis=0))
    before = files(place)
    typed = "nothing" if "nothing" in told else name
    options = ("--bundle", steered, "--ctrl", f"{typed}=c.npy", *QUICK)
    ran = vampconv("vamp", "in.wav", "-o", "o.wav", *options)
    assert (ran.code, ran.out) == (3, "")
    assert LINE.fullmatch(ran.err)
    assert told in ran.err
    assert files(place) == before


@pytest.mark.usefixtures("place")
def test_options_override_a_preset(vampconv):
    options = ("--preset", "inpainting", "--prefix", "0", "--suffix", "0", "--save-tokens", "t.npz")
    assert vampconv("vamp", "in.wav", "-o", "a.wav", *QUICK, *options).code == 0
    tokens = np.load("t.npz")
    assert tokens["mask"].all()
    assert not tokens["kept"].any()


def test_help_shows_presets_and_defaults_are_the_originals(vampconv):
    told = vampconv("vamp", "--help").out
    for name, preset in PRESETS.items():
        assert f"{name} " in told
        assert preset.meaning[:50] in told
    ours = {parameter.name: parameter.default for parameter in vamp.params}
    ours |= {"typical_filtering": False, "dropout": ours["dropout"]}
    for options in (MaskOptions, Sampling, BeatOptions):
        renamed = {value: name for name, value in BEAT_NAMES.items()} if options is BeatOptions else {}
        for field in fields(options):
            name = renamed.get(field.name, field.name)
            if name != "invert":
                default = ours[name] if not repr(ours[name]).startswith("Sentinel") else None
                assert default == field.default, name


def test_a_stream_is_the_file(place, vampconv):
    """Byte for byte, as it comes out of a pipe."""
    options = ("--coarse-chunk", "0.2", "--c2f-chunk", "0.1", "--stereo", *QUICK)
    assert vampconv("vamp", "in.wav", "-o", "o.wav", *options).code == 0
    command = [sys.executable, "-m", "vampconv", "vamp", "in.wav", "--stream", *options]
    ran = subprocess.run(command, capture_output=True, check=True, cwd=place)
    assert ran.stdout == (place / "o.wav").read_bytes()
    found = soundfile.info("o.wav")
    assert (found.channels, found.samplerate, found.subtype) == (2, 44100, "FLOAT")
    assert ran.stdout.startswith(wav_header(44100, 2, found.frames))
    assert b"seed 3" in ran.stderr


@pytest.mark.parametrize(
    ("prepare", "options", "code", "told"),
    [
        (lambda place: write_nan(place), (), 3, b"1 samples are NaN or infinite"),
        (lambda place: write_empty(place), (), 3, b"there are no samples"),
        (lambda place: without_part("decoder")(place), (), 6, b"has no decoder"),
        (lambda place: other_weights(place), (), 6, b"is not the file"),
        (lambda place: np.save(place / "m.npy", np.ones((1, 28), int)), ("--mask", "m.npy"), 3, b"the mask is"),
        (None, ("--ctrl", "loud=in.wav"), 2, b"no controls"),
        (None, ("--variations", "2"), 2, b"one stretch of audio after another"),
        (None, ("--save-tokens", "t.npz"), 2, b"one stretch of audio after another"),
        (None, ("--json",), 2, b"both write to stdout"),
    ],
)  # fmt: skip
def test_what_a_stream_refuses_is_told_before_it_begins(place, prepare, options, code, told):
    if prepare is not None:
        prepare(place)
    command = [sys.executable, "-m", "vampconv", "vamp", "in.wav", "--stream", *options, *QUICK]
    ran = subprocess.run(command, capture_output=True, check=False, cwd=place)
    assert (ran.returncode, ran.stdout) == (code, b"")
    assert LINE.fullmatch(ran.stderr.decode())
    assert told in ran.stderr


@pytest.mark.parametrize(
    ("audio", "rate", "subtype"),
    [
        (np.full((1, 1), 0.5, np.float32), 44100, "PCM_16"),
        (sound(1, 8000), 8000, "PCM_16"),
        (sound(1, 96000, 0.2), 96000, "PCM_24"),
        (sound(6), 44100, "PCM_24"),
    ],
    ids=["one sample", "8 kHz", "96 kHz", "six channels"],
)
@pytest.mark.usefixtures("place")
def test_audio_of_all_kinds(vampconv, audio, rate, subtype):
    soundfile.write("x.wav", audio, rate, subtype)
    ran = vampconv("vamp", "x.wav", "-o", "o.wav", *QUICK)
    assert (ran.code, ran.err) == (0, "")
    frames = int(np.ceil(int(len(audio) * 44100 / rate) / 768)) or 1
    assert soundfile.info("o.wav").frames == frames * 768


@pytest.mark.usefixtures("place")
def test_silence_is_warned_of(vampconv):
    soundfile.write("silence.flac", np.zeros(9000), 44100)
    ran = vampconv("vamp", "silence.flac", "-o", "o.wav", *QUICK)
    assert ran.code == 0
    assert ran.err == "vampconv: warning: silence.flac: the audio is at or below -70 LUFS\n"


def write_nan(place):
    soundfile.write(place / "in.wav", np.array([0, np.nan, 0.1]), 44100, "FLOAT")


def write_empty(place):
    soundfile.write(place / "in.wav", np.empty((0, 1)), 44100)


def write_text(place):
    (place / "in.wav").write_text("la la la")


def write_tokens(value):
    def write(place):
        np.save(place / "t.npy", value)

    return write


def without_part(*parts):
    def write(place):
        target = (place / "bundle").resolve()
        (place / "bundle").unlink()
        shutil.copytree(target, place / "bundle")
        path = place / "bundle" / "vampconv.json"
        content = json.loads(path.read_text())
        for part in parts:
            del content["models"][part]
        path.write_text(json.dumps(content))

    return write


def other_weights(place):
    without_part()(place)
    path = place / "bundle" / "c2f.onnx.data"
    path.write_bytes(path.read_bytes()[::-1])


TOKENS = ("--from-tokens", "t.npy", "-o", "o.wav")
MASKED = ("in.wav", "-o", "o.wav", "--mask", "t.npy")
PLAIN = ("in.wav", "-o", "o.wav")


@pytest.mark.parametrize(
    ("prepare", "arguments", "code", "told"),
    [
        (write_nan, PLAIN, 3, "1 samples are NaN or infinite"),
        (write_empty, PLAIN, 3, "there are no samples"),
        (write_text, PLAIN, 3, "is not audio"),
        (write_tokens(np.zeros(29, int)), MASKED, 3, "mask: int64 [29] cannot be taken"),
        (write_tokens(np.zeros((1, 30), int)), MASKED, 3, "the mask is [1, 30]"),
        (write_tokens(np.full((1, 29), 2)), MASKED, 3, "the mask holds 2"),
        (write_tokens(np.zeros((1, 29), int)), (*MASKED, "--prefix", "1"), 2, "--prefix has no effect"),
        (write_tokens(np.full((14, 5), 65)), TOKENS, 3, "there is a code 65"),
        (write_tokens(np.full((14, 5), -1)), TOKENS, 3, "there is a code -1"),
        (write_tokens(np.zeros((15, 5), int)), TOKENS, 3, "15 codebooks"),
        (write_tokens(np.zeros((14, 5))), TOKENS, 3, "are no tokens"),
        (write_tokens(np.array({}, object)), TOKENS, 3, "is not an array"),
        (write_tokens(np.zeros((14, 5), int)), (*TOKENS, "--beats", "keep"), 2, "are made from audio"),
        (without_part("c2f"), PLAIN, 6, "has no c2f"),
        (without_part("decoder"), PLAIN, 6, "has no decoder"),
        (without_part("wavebeat"), (*PLAIN, "--preset", "beat"), 6, "has no wavebeat"),
        (other_weights, PLAIN, 6, "is not the file that bundle was written with"),
        (None, ("none.wav", "-o", "o.wav"), 6, "none.wav does not exist"),
        (None, ("in.wav", "-o", "o.mp3"), 2, "names no format"),
        (None, ("in.wav", "-o", "none/o.wav"), 6, "there is no directory none"),
        (None, ("in.wav", "-o", "in.wav"), 6, "in.wav is there already"),
        (None, ("in.wav",), 2, "not one place"),
        (None, ("-o", "o.wav"), 2, "not one thing to vamp"),
        (None, (*PLAIN, "--stream"), 2, "not one place"),
        (None, (*PLAIN, "--steps", "0"), 2, "sampling_steps is 0"),
        (None, (*PLAIN, "--top-p", "nan"), 2, "top_p is nan"),
        (None, (*PLAIN, "--loudness", "inf"), 2, "loudness is inf"),
        (None, (*PLAIN, "--gain", "nan"), 2, "gain is nan"),
        (None, (*PLAIN, "--coarse-chunk", "0"), 2, "coarse_chunk_s is 0"),
        (None, (*PLAIN, "--stretch", "0"), 2, "time_stretch_factor is 0"),
        (None, (*PLAIN, "--variations", "0"), 2, "0 files are asked for"),
        (None, (*PLAIN, "--batch-size", "2", "--variations", "2"), 2, "both --variations and --batch-size"),
        (None, (*PLAIN, "--plot", "p.pdf"), 2, "names no kind of picture"),
        (None, (*PLAIN, "--ctrl", "loud=in.wav"), 3, "is not an array of numpy"),
        (None, (*PLAIN, "--preset", "nothing"), 2, "nothing"),
        (None, (*PLAIN, "--bundle", "in.wav"), 6, "is not a bundle"),
    ],
)
def test_what_is_refused_leaves_nothing(vampconv, place, tree, prepare, arguments, code, told):
    if prepare is not None:
        prepare(place)
    before = tree(place)
    ran = vampconv("vamp", *arguments)
    assert (ran.code, ran.out) == (code, "")
    assert LINE.fullmatch(ran.err), ran.err
    assert told in ran.err
    assert tree(place) == before


def test_what_is_there_is_replaced_only_by_force(vampconv, place):
    (place / "t.npz").write_text("mine")
    arguments = ("vamp", "in.wav", "-o", "o.wav", "--save-tokens", "t.npz", *QUICK)
    ran = vampconv(*arguments)
    assert (ran.code, files(place)) == (6, ["bundle", "in.wav", "t.npz"])
    assert (place / "t.npz").read_text() == "mine"
    assert vampconv(*arguments, "--force").code == 0
    assert files(place) == ["bundle", "in.wav", "o.wav", "t.npz"]
    assert np.load("t.npz")["codes"].shape[1] == 14


def test_a_failure_at_the_end_leaves_nothing(vampconv, place, monkeypatch):
    """Audio and tokens are staged already where the picture cannot be drawn."""

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("vampconv.play.plot.draw", fail)
    ran = vampconv("vamp", "in.wav", "-o", "o.wav", "--save-tokens", "t.npz", "--plot", "p.png", *QUICK)
    assert (ran.code, files(place)) == (8, ["bundle", "in.wav"])
    assert LINE.fullmatch(ran.err)


def test_without_the_extra(vampconv, place, monkeypatch):
    monkeypatch.setattr("vampconv.play.plot.find_spec", lambda _name: None)
    ran = vampconv("vamp", "in.wav", "-o", "o.wav", "--plot", "p.png")
    assert (ran.code, files(place)) == (2, ["bundle", "in.wav"])
    assert "pip install 'vampconv[plot]'" in ran.err


def test_without_torch_and_the_converter(place):
    arguments = ("vamp", "in.wav", "-o", "o.wav", "--preset", "beat", "--plot", "p.svg", *QUICK)
    command = [sys.executable, "-c", BLOCKED, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert files(place) == ["bundle", "in.wav", "o.wav", "p.svg"]


def test_progress_on_a_terminal_only(place):
    controller, terminal = os.openpty()
    command = [sys.executable, "-m", "vampconv", "vamp", "in.wav", "-o", "o.wav", *QUICK, "--threads", "1"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "150"}
    ran = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=terminal, check=True, cwd=place, env=environment
    )
    os.close(terminal)
    shown = b""
    try:
        while piece := os.read(controller, 65536):
            shown += piece
    except OSError:
        pass
    os.close(controller)
    assert b"decoding" in shown
    assert b"chunk 1 of 1, step 2 of 2" in shown
    assert ran.stdout.startswith(b"from in.wav")
