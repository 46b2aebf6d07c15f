"""One contestant of the codec's benchmark: ``python -m vampconv.bench.codec_rival WHO PART FOLDER OUTPUT``.

``export`` is none: it makes what ``exporter`` runs.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vampconv.bench.rival import serve

if TYPE_CHECKING:
    import torch

    from vampconv.reference.lac import LACReference

Array = NDArray[Any]
INPUTS = {"encoder": "audio", "decoder": "codes"}


def contestant(who: str, part: str, folder: Path) -> Callable[[], Array]:
    """What runs `part` on the input in `folder`."""
    x = np.load(folder / f"{INPUTS[part]}.npy")
    if who == "reference":
        return _reference(part, folder, x)
    if who == "exporter":
        return _session(folder / f"{part}.exported.onnx", x)
    if who == "graph":
        return _session(folder / "bundle" / f"{part}.onnx", x)
    from vampconv.runtime import Codec

    codec = Codec.of_bundle(folder / who)
    return (lambda: codec.encode(x)) if part == "encoder" else (lambda: codec.decode(x))


def _session(path: Path, x: Array) -> Callable[[], Array]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: np.asarray(session.run(None, {name: x})[0])


def _reference(part: str, folder: Path, x: Array) -> Callable[[], Array]:
    import torch

    module, tensor = _module(part, load(folder)), torch.from_numpy(x)

    def run() -> Array:
        with torch.inference_mode():
            return np.asarray(module(tensor).numpy())

    return run


def load(folder: Path) -> LACReference:
    """The torch reference of the checkpoint."""
    import torch

    from vampconv.reference.lac import LACReference

    loaded = torch.load(folder / "codec.pth", mmap=True, weights_only=True)
    return LACReference.from_state_dict(loaded["state_dict"], loaded["metadata"]["kwargs"])


def _module(part: str, codec: LACReference) -> torch.nn.Module:
    """Audio to codes, or codes to audio, as a module of its own."""
    import torch

    class Encoder(torch.nn.Module):
        def forward(self, audio: torch.Tensor) -> torch.Tensor:
            return codec.quantizer(codec.encoder(audio)).codes

    class Decoder(torch.nn.Module):
        def forward(self, codes: torch.Tensor) -> torch.Tensor:
            return codec.decode(codec.quantizer.from_codes(codes))

    module: torch.nn.Module = Encoder() if part == "encoder" else Decoder()
    module.codec = codec
    return module


def export(part: str, folder: Path) -> None:
    """Write the model that torch's exporter makes of the reference, for whole hops of audio."""
    import torch
    from torch.export import Dim

    codec, frames = load(folder), 40
    audio = torch.zeros(2, 1, codec.config.hop * frames)
    codes = torch.zeros(2, codec.config.n_codebooks, frames, dtype=torch.long)
    inputs, time = (
        (audio, codec.config.hop * Dim("time", min=2, max=1 << 20))
        if part == "encoder"
        else (codes, Dim.DYNAMIC)
    )
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(action="ignore"):
        program = torch.onnx.export(
            _module(part, codec), (), kwargs={INPUTS[part]: inputs}, verbose=False,
            dynamic_shapes={INPUTS[part]: {0: Dim.DYNAMIC, 2: time}}, dynamo=True,
        )  # fmt: skip
    assert program is not None
    program.save(folder / f"{part}.exported.onnx", external_data=True)


def main(who: str, part: str, folder: Path, output: Path) -> None:
    """Export, or serve runs."""
    if who == "export":
        export(part, folder)
    else:
        serve(contestant(who, part, folder), output)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
