"""Golden models as the verifier sees them: what they are, how they are built, what they are converted to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import onnx_ir as ir
import pytest

from vampconv.convert.inputs import open_inputs
from vampconv.convert.plan import make_drafts
from vampconv.frontend.frontend import Draft
from vampconv.passes.pipeline import Options, compile_graph
from vampconv.plugins import builtin_rules, select_rules
from vampconv.verify.layers import PartVerifier
from vampconv.verify.result import Case
from vampconv.verify.side import References
from vampconv.verify.subjects import Subject
from vampconv.verify.verify import find_subjects

from ..common import GOLDEN


class Made(NamedTuple):
    """How a model comes about: checkpoints, options of the conversion, and which part of the bundle it is."""

    names: tuple[str, ...]
    options: dict[str, Any]
    part: str


CODEC = {"codec": GOLDEN / "codec.pth"}
ALL = ("coarse", "c2f", "codec", "wavebeat")
MODELS = {
    **{part: Made(ALL, {}, part) for part in ("coarse", "c2f", "encoder", "decoder", "wavebeat")},
    "film": Made(("coarse_film",), CODEC, "coarse"),
    "ctrl": Made(("coarse_ctrl",), CODEC, "coarse"),
    "lora": Made(("coarse",), {"loras": [GOLDEN / "coarse_lora.pth"], **CODEC}, "coarse"),
    "odd encoder": Made(("codec_odd",), {}, "encoder"),
    "odd decoder": Made(("codec_odd",), {}, "decoder"),
}


class Golden:
    """The golden models; each is opened, built and converted once."""

    def __init__(self, workshop, stack: ExitStack) -> None:
        self.workshop, self.stack = workshop, stack
        self._opened: dict[tuple[str, ...], tuple[dict[str, Draft], dict[str, Subject]]] = {}
        self.references = cache(self._references)
        self.graph = cache(self._graph)

    def draft(self, name: str) -> Draft:
        return self._open(name)[0][MODELS[name].part]

    def subject(self, name: str) -> Subject:
        return self._open(name)[1][MODELS[name].part]

    def path(self, name: str, opset: int = 17) -> Path:
        """The file that it is converted to."""
        made = MODELS[name]
        return self.workshop.whole(*made.names, opset=opset, **made.options) / f"{made.part}.onnx"

    def verifier(self, name: str, path: Path | None = None, **options: Any) -> PartVerifier:
        """A verifier of its file, or of another one, with both sides run on a short case."""
        verifier = PartVerifier(
            self.references(name), path or self.path(name), layerwise=True, threads=1, **options
        )
        return at(verifier, Case(1, 13, 0))

    def _references(self, name: str) -> References:
        return References(self.subject(name), remembers=True)

    def _graph(self, name: str, opset: int, disable: tuple[str, ...] = ()) -> onnx.ModelProto:
        """What it is compiled to, without its constants."""
        model = self.draft(name).build(opset=opset)
        try:
            rules = select_rules(builtin_rules(), disable=disable)
            compile_graph(model, Options(opset, "portable", rules))
        finally:
            model.graph.initializers.clear()  # a constant is of one graph only
        return ir.to_proto(model)

    def _open(self, name: str) -> tuple[dict[str, Draft], dict[str, Subject]]:
        made = MODELS[name]
        key = (*made.names, *made.options)
        if key not in self._opened:
            files = [GOLDEN / f"{n}.pth" for n in made.names]
            inputs = open_inputs(files, made.options.get("codec"), made.options.get("loras", ()), self.stack)
            drafts = {d.part: d for d in make_drafts(inputs, self.stack)[0]}
            self._opened[key] = drafts, {s.part: s for s in find_subjects(inputs)}
        return self._opened[key]


def at(verifier: PartVerifier, case: Case) -> PartVerifier:
    """The verifier with both sides run on a case, each with the codes that it chooses itself."""
    for side in (verifier.truth, verifier.rival):
        side.run(verifier.anchors, verifier.subject.feeds(case), [])
    return verifier


@pytest.fixture(scope="session")
def golden(workshop) -> Iterator[Golden]:
    with ExitStack() as stack:
        yield Golden(workshop, stack)
