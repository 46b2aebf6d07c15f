"""Real audio through the reference and through the bundle, to listen to side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vampconv.errors import UsageError
from vampconv.reference.lac import LACReference
from vampconv.runtime.audio.files import read_audio, write_wav
from vampconv.runtime.resample import resample
from vampconv.verify.audio_files import snr_db
from vampconv.verify.result import PartResult, Sound
from vampconv.verify.side import References
from vampconv.verify.taps import Taps
from vampconv.verify.tokens import added, judge_codes

LONGEST = 30.0
"""Seconds that are taken from the beginning of a file."""


def listen(
    file: Path, references: References, bundle: Path, results: dict[str, PartResult], directory: Path
) -> None:
    """Encode and decode a file by both, write what comes out, and enter the difference.

    Parameters
    ----------
    file
        Audio of any format that libsndfile reads; channels are averaged.
    references
        Of the codec.
    bundle
        With encoder and decoder.
    results
        Of both parts; the codes are judged as well.
    directory
        Where ``<stem>.reference.wav`` and ``<stem>.onnx.wav`` go.

    Raises
    ------
    UsageError
        If the bundle has no codec.
    VampconvError
        If the file cannot be read, or the others not be written.

    """
    if not {"encoder", "decoder"} <= results.keys():
        raise UsageError("--audio needs a bundle with encoder and decoder", "convert the codec as well")
    exact, near = (_codec(r.model) for r in (references.exact, references.near))
    audio, rate = read_audio(file)
    wanted = near.config.sample_rate
    mono = resample(audio[:, : int(LONGEST * rate)], rate, wanted).mean(axis=0, dtype=np.float32)[None, None]
    with torch.inference_mode():
        given = torch.from_numpy(mono)
        encoded = near.encode(given)
        reference = near.decode_codes(encoded["codes"]).numpy()
        z = exact.encoder(exact.pad(given.double()))
    with Taps(bundle / "encoder.onnx") as taps:
        codes = taps.outputs({"audio": mono})["codes"]
    with Taps(bundle / "decoder.onnx") as taps:
        found = taps.outputs({"codes": codes})["audio"]
    judged = judge_codes(codes, (exact, z), (near, encoded["z"]))
    results["encoder"].tokens = added(results["encoder"].tokens, judged)
    if judged.real:
        results["encoder"].problems.append(f"{judged.real} codes of {file.name} differ beyond ties")
    files = []
    for name, sound in (("reference", reference), ("onnx", found)):
        path = directory / f"{file.stem}.{name}.wav"
        write_wav(path, sound[0, :, : mono.shape[-1]], wanted)
        files.append(str(path))
    difference = float(np.abs(found.astype(np.float64) - reference).max())
    sound_result = Sound(file.name, snr_db(found, reference), difference, tuple(files))
    results["decoder"].sounds.append(sound_result)


def _codec(model: torch.nn.Module) -> LACReference:
    assert isinstance(model, LACReference)
    return model
