"""Whether a mutant is another function at all: graphs compared with each other, not with the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from vampconv.dialect.builder import VALUE
from vampconv.runtime.session import LOADING_ERRORS
from vampconv.verify.evaluation import Evaluator
from vampconv.verify.result import Case
from vampconv.verify.side import FAILURES
from vampconv.verify.subjects import Feeds, Subject

Array = NDArray[Any]
CODES = (Case(1, 1, 0), Case(2, 13, 0), Case(3, 40, 1), Case(1, 110, 2))
"""Wider than what mutants are verified on: other seeds and batches, and distances beyond the last bucket."""
AUDIO = (Case(1, 1, 0), Case(2, 13, 0), Case(1, 20, 1))
AUDIO_PARTS = frozenset({"encoder", "wavebeat"})
PLAIN = 1e-3
"""A relative difference that rounding never makes."""
ROUNDING = 16 * 2.0**-24
"""A relative difference that float32 cannot show."""
LATENTS = 4096
"""Random latents that are given to each codebook of an encoder."""


class Differences:
    """Finds differences between a graph and mutants of it.

    Parameters
    ----------
    clean
        The graph, with its weights in memory.
    subject
        Gives inputs for it.

    """

    def __init__(self, clean: onnx.ModelProto, subject: Subject) -> None:
        self.clean = clean
        self.feeds = [subject.feeds(case) for case in (AUDIO if subject.part in AUDIO_PARTS else CODES)]
        if "codes" in self.feeds[0]:
            self.feeds.append(_every_code(self.feeds))
        self.outputs = [_run(clean, feeds) for feeds in self.feeds]
        self.constants = {t.name: t.SerializeToString() for t in clean.graph.initializer}
        self._exact: list[dict[str, Tensor]] = []

    def in_constants(self, mutant: onnx.ModelProto) -> bool:
        """Whether any constant is another, new or gone."""
        return self.constants != {t.name: t.SerializeToString() for t in mutant.graph.initializer}

    def found(self, mutant: onnx.ModelProto) -> bool:
        """Whether an output of the mutant differs plainly, or cannot be computed, or, in float64, any value that
        a module puts out differs by more than float32 rounds.
        """
        for feeds, outputs in zip(self.feeds, self.outputs, strict=True):
            try:
                found = _run(mutant, feeds)
            except LOADING_ERRORS:
                return True
            if any(_differs(found[name], truth, PLAIN) for name, truth in outputs.items()):
                return True
        return any(self._found_exactly(mutant, start) for start in range(len(self.starts)))

    @cached_property
    def starts(self) -> list[tuple[dict[str, Tensor], list[str]]]:
        """Values to start from, and those to compute: all named ones of each input, and codes of many latents."""
        named = list(_named(self.clean).values())
        return [(_tensors(feeds), named) for feeds in self.feeds] + list(_latents(self.clean))

    def _found_exactly(self, mutant: onnx.ModelProto, start: int) -> bool:
        known, wanted = self.starts[start]
        if len(self._exact) <= start:
            self._exact.append(Evaluator(self.clean, Path(), torch.float64).values(wanted, known))
        try:
            found = Evaluator(mutant, Path(), torch.float64).values(wanted, known)
        except FAILURES:
            return True
        return any(_differs(found[name], self._exact[start][name], ROUNDING) for name in wanted)


def _every_code(feeds: Sequence[Feeds]) -> Feeds:
    """Codes [1, n, rows] of which each codebook has every one, after the last of some inputs."""
    last = feeds[-1]
    count = 1 + max(int(f["codes"].max()) for f in feeds)
    books = max(f["codes"].shape[1] for f in feeds)
    codes = (np.arange(count)[None] + np.arange(books)[:, None]) % count
    others = {name: array[..., :count] for name, array in last.items() if name != "codes"}
    return {"codes": codes[None].astype(np.int64), **others}


def _tensors(feeds: Feeds) -> dict[str, Tensor]:
    known = {name: torch.from_numpy(array) for name, array in feeds.items()}
    return {name: x.double() if x.is_floating_point() else x for name, x in known.items()}


def _named(model: onnx.ModelProto) -> dict[str, str]:
    """Values of the graph by the first name that the reference has for each."""
    notes = (
        (note.value, node.output[0])
        for node in model.graph.node
        for note in node.metadata_props
        if note.key == VALUE
    )
    return {words.split()[0].partition("@")[0]: value for words, value in notes}


def _latents(model: onnx.ModelProto) -> Iterator[tuple[dict[str, Tensor], list[str]]]:
    """For each codebook of an encoder random latents, whose codes are wanted, and all codes, whose rows are."""
    named = _named(model)
    sizes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    for lookup in (node for node in model.graph.node if node.op_type == "Gather"):
        codes = lookup.input[1]
        book = next(
            (n.removesuffix("#1") for n, value in named.items() if value == codes and n.endswith("#1")), None
        )
        if book is not None:
            rows, width = sizes[lookup.input[0]]
            random = torch.randn(1, LATENTS, width, generator=torch.Generator().manual_seed(0))
            yield {named[f"{book}.in_proj"]: random.double()}, [codes]
            yield {codes: torch.arange(rows)[None]}, [named[f">{book}.out_proj"]]


def _run(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs, as they are without any optimisation."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, map(np.asarray, session.run(names, dict(feeds))), strict=True))


def _differs(found: Array | Tensor, truth: Array | Tensor, least: float) -> bool:
    one, other = (np.asarray(x).astype(np.float64) for x in (found, truth))
    if one.shape != other.shape:
        return True
    if not np.array_equal(np.isfinite(one), np.isfinite(other)):
        return True
    sound = np.isfinite(one)
    with np.errstate(all="ignore"):
        distance = np.linalg.norm(one[sound] - other[sound])
    return bool(distance > least * (np.linalg.norm(other[sound]) or 1.0))
