"""One contestant, as a process that serves runs: ``python -m vampconv.bench.contestant SPEC``, which is JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.bench.inputs import frames_in, inputs
from vampconv.bench.rival import Work, serve
from vampconv.runtime.bundle import Bundle

Array = NDArray[Any]
Prepare = Callable[[float], Work]


@dataclass(frozen=True)
class Spec:
    """Who runs what."""

    who: str
    """One of `CONTESTANTS`."""
    part: str
    """Of a bundle, or ``vamp``."""
    bundle: str
    threads: int
    model: str = ""
    """An ONNX file, of the exporter."""
    paths: dict[str, str] = field(default_factory=dict)
    """The checkpoints, of the reference."""
    steps: int = 12
    """Of a vamp's coarse model."""

    def command(self) -> list[str]:
        """What starts it."""
        return [sys.executable, "-m", "vampconv.bench.contestant", json.dumps(asdict(self))]

    def inputs(self, seconds: float) -> dict[str, Array]:
        """Of a graph."""
        bundle = Bundle(self.bundle)
        frames = frames_in(seconds, bundle.number("sample_rate"), bundle.number("hop"))
        return inputs(self.part, bundle.architecture(self.part), frames)


def ours(spec: Spec) -> Prepare:
    """`vampconv.runtime`."""
    from vampconv.runtime import Codec
    from vampconv.runtime.transformer import Transformer

    bundle = Bundle(spec.bundle)
    if spec.part in ("encoder", "decoder"):
        codec = Codec.of_bundle(spec.bundle, workers=spec.threads)
        run: Callable[[Array], Array] = codec.encode if spec.part == "encoder" else codec.decode
        return lambda seconds: _plain(run, *spec.inputs(seconds).values())
    model = Transformer(bundle.path(spec.part), bundle.architecture(spec.part), spec.threads)
    return lambda seconds: _plain(model.session.run, ["logits"], spec.inputs(seconds))


def _plain(function: Callable[..., Any], *given: Any) -> Work:
    """A call whose parts are not known; of several results the first."""

    def work() -> tuple[Array, dict[str, float]]:
        found = function(*given)
        return np.asarray(found[0] if isinstance(found, list) else found), {}

    return work


def exporter(spec: Spec) -> Prepare:
    """Another graph of the same part in ONNX Runtime, with its own defaults."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = spec.threads
    session = onnxruntime.InferenceSession(spec.model, options, providers=["CPUExecutionProvider"])
    known = {port.name for port in session.get_inputs()}

    def prepare(seconds: float) -> Work:
        feeds = {name: x for name, x in spec.inputs(seconds).items() if name in known}
        return _turned(_plain(session.run, None, feeds), spec.part)

    return prepare


def _turned(work: Work, part: str) -> Work:
    """Logits [batch, vocab, rows] as we have them, [batch, rows, vocab]; a view, which takes no time."""
    if part not in ("coarse", "c2f"):
        return work

    def turned() -> tuple[Array, Any]:
        found, parts = work()
        return found.swapaxes(1, 2), parts

    return turned


def floor(spec: Spec) -> Prepare:
    """The products of our graph alone."""
    from vampconv.bench.floor import Floor

    products = Floor(Bundle(spec.bundle).path(spec.part), spec.threads)

    def prepare(seconds: float) -> Work:
        session, feeds = products.prepare(spec.inputs(seconds))
        return _plain(session.run, None, feeds)

    return prepare


def reference(spec: Spec) -> Prepare:
    """PyTorch in eager mode, float32, no gradients."""
    import torch

    from vampconv.bench.modules import arguments, load_reference, module

    torch.set_num_threads(spec.threads)
    paths = {label: Path(path) for label, path in spec.paths.items()}
    if spec.part == "vamp":
        from vampconv.bench.reference_vamp import ReferenceVamp

        vamp = ReferenceVamp.load(Path(spec.bundle), paths, spec.steps)
        return vamp.prepare
    model = module(spec.part, load_reference(Path(spec.bundle), paths, spec.part))

    def prepare(seconds: float) -> Work:
        given = {name: torch.from_numpy(x) for name, x in spec.inputs(seconds).items()}

        @torch.inference_mode()
        def run() -> Array:
            return np.asarray(model(**arguments(given)).numpy())

        return _turned(_plain(run), spec.part)

    return prepare


CONTESTANTS = {"reference": reference, "exporter": exporter, "ours": ours, "floor": floor}

if __name__ == "__main__":
    chosen = Spec(**json.loads(sys.argv[1]))
    serve(CONTESTANTS[chosen.who](chosen))
