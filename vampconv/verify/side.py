"""The two sides that ONNX Runtime is compared with: the reference in float64, the truth, and in float32."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vampconv.verify.anchors import Anchors
from vampconv.verify.evaluation import Evaluator, MissingValueError, UnknownOperatorError
from vampconv.verify.levels import Levels
from vampconv.verify.subjects import Feeds, Subject
from vampconv.verify.truth import Record, arranged, recording

Array = NDArray[Any]
FAILURES = (MissingValueError, UnknownOperatorError, RuntimeError, IndexError, ValueError, TypeError)
"""What the evaluation of a broken graph may raise."""


JUDGED = frozenset({"encoder"})
"""Names of values, beside the outputs, that chosen codes are judged by."""


@dataclass
class Reference:
    """The reference of a part in one precision.

    Parameters
    ----------
    subject
        The part.
    dtype
        The precision.
    remembers
        Whether runs are kept, for graphs that are verified on the same inputs again and again.

    """

    subject: Subject
    dtype: torch.dtype
    remembers: bool = False
    _runs: dict[bytes, Record] = field(default_factory=dict)
    _ahead: Future[nn.Module] | None = None

    @cached_property
    def model(self) -> nn.Module:
        return self.subject.build(self.dtype) if self._ahead is None else self._ahead.result()

    def build_ahead(self) -> None:
        """Begin to build the model while other things are done."""
        if self._ahead is None and "model" not in vars(self):
            pool = ThreadPoolExecutor(1)
            self._ahead = pool.submit(self.subject.build, self.dtype)
            pool.shutdown(wait=False)

    def watch(self, feeds: Feeds, outputs: Sequence[Array], see: Callable[[str, Tensor], None]) -> Record:
        """Show `see` the values of a run when they are made; those that judge its codes, and the outputs, are kept."""
        with recording(self.model, JUDGED, see) as record:
            found = self.subject.run(self.model, feeds, outputs)
            record.give(found)
        for name, tensor in found.items():
            see(name, tensor)
        return record

    def run(self, kept: frozenset[str], feeds: Feeds, outputs: Sequence[Array]) -> Record:
        """The values of a run, those named in `kept` and the outputs."""
        key = _digest(kept, feeds, outputs) if self.remembers else b""
        if key not in self._runs:
            with recording(self.model, kept) as record:
                record.give(self.subject.run(self.model, feeds, outputs))
            if not self.remembers:
                return record
            self._runs[key] = record
        return self._runs[key]


@dataclass
class References:
    """The reference of a part in both precisions."""

    subject: Subject
    remembers: bool = False

    def __post_init__(self) -> None:
        self.exact = Reference(self.subject, torch.float64, self.remembers)
        self.near = Reference(self.subject, torch.float32, self.remembers)


class Side:
    """A reference and the graph in the same precision, with what is known of the present case.

    Attributes
    ----------
    record
        What the reference recorded.
    known
        The graph's inputs, and all its values that the reference has.

    """

    def __init__(self, reference: Reference, graph: Evaluator) -> None:
        self.reference, self.graph = reference, graph
        self.record, self.known = Record(), dict[str, Tensor]()
        self._again: Callable[[], None] | None = None

    def recall(self) -> None:
        """Keep the values of a case whose errors alone were taken, by running it again."""
        if not self.known and self._again is not None:
            self._again()

    def run(self, anchors: Anchors, feeds: Feeds, outputs: Sequence[Array]) -> None:
        """Go to a case; `outputs` are those of ONNX Runtime."""
        self._again = partial(self.run, anchors, feeds, outputs)
        self.record, self.known = Record(), {}
        self.record = self.reference.run(anchors.wanted | JUDGED, feeds, outputs)
        dtype, given = self.reference.dtype, {name: torch.from_numpy(array) for name, array in feeds.items()}
        self.known = {name: x.to(dtype) if x.is_floating_point() else x for name, x in given.items()}
        for value, names in anchors.anchored.items():
            name, order = names[0]
            if name in self.record.values:
                self.known[value] = arranged(self.record.values[name], order)

    def errors(
        self, anchors: Anchors, feeds: Feeds, outputs: Sequence[Array], truth: Mapping[str, Tensor]
    ) -> dict[str, float]:
        """Go to a case, and take the relative error of each value of the graph that the reference has.

        Each is taken when the value is made, so that few are held at a time; `recall` brings the others back.

        Parameters
        ----------
        anchors
            Of the graph.
        feeds, outputs
            Inputs, and the outputs of ONNX Runtime.
        truth
            What the other side knows.

        """
        if self.reference.remembers:
            self.run(anchors, feeds, outputs)
            levels = Levels(truth)
            for name, tensor in self.known.items():
                levels.see(name, tensor)
            return levels.taken()
        self._again, self.known = partial(self.run, anchors, feeds, outputs), {}
        places: dict[str, list[tuple[str, str]]] = {}
        for value, names in anchors.anchored.items():
            places.setdefault(names[0][0], []).append((value, names[0][1]))
        levels = Levels(truth)

        def see(name: str, tensor: Tensor) -> None:
            for value, order in places.get(name, ()):
                levels.see(value, arranged(tensor, order))

        self.record = self.reference.watch(feeds, outputs, see)
        return levels.taken()

    def values(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Values of the graph, those that the reference has as they are there."""
        with torch.inference_mode():
            return self.graph.values(names, self.known)


def _digest(kept: frozenset[str], feeds: Feeds, outputs: Sequence[Array]) -> bytes:
    digest = hashlib.sha256(" ".join(sorted(kept)).encode())
    for array in (*feeds.values(), *(array for array in outputs if array.dtype.kind == "i")):
        digest.update(str(array.shape).encode() + array.tobytes())
    return digest.digest()
