"""The two sides that ONNX Runtime is compared with: the reference in float64, the truth, and in float32."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vampconv.verify.anchors import Anchors
from vampconv.verify.evaluation import Evaluator, MissingValueError, UnknownOperatorError
from vampconv.verify.subjects import Feeds, Subject
from vampconv.verify.truth import Record, arranged, recording

Array = NDArray[Any]
FAILURES = (MissingValueError, UnknownOperatorError, RuntimeError, IndexError, ValueError, TypeError)
"""What the evaluation of a broken graph may raise."""


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

    @cached_property
    def model(self) -> nn.Module:
        return self.subject.build(self.dtype)

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

    def forget(self, but: Collection[str] = ()) -> None:
        """Free what is known of the case but for some values of the record; `recall` brings it back."""
        kept = {name: x for name, x in self.record.values.items() if name in but}
        self.record, self.known = Record(values=kept), {}

    def recall(self) -> None:
        """Run the case again if it was forgotten."""
        if not self.known and self._again is not None:
            self._again()

    def run(self, anchors: Anchors, feeds: Feeds, outputs: Sequence[Array]) -> None:
        """Go to a case; `outputs` are those of ONNX Runtime."""
        self._again = partial(self.run, anchors, feeds, outputs)
        self.record, self.known = Record(), {}
        self.record = self.reference.run(anchors.wanted | {"encoder"}, feeds, outputs)
        dtype, given = self.reference.dtype, {name: torch.from_numpy(array) for name, array in feeds.items()}
        self.known = {name: x.to(dtype) if x.is_floating_point() else x for name, x in given.items()}
        for value, names in anchors.anchored.items():
            name, order = names[0]
            if name in self.record.values:
                self.known[value] = arranged(self.record.values[name], order)

    def values(self, names: Sequence[str]) -> dict[str, Tensor]:
        """Values of the graph, those that the reference has as they are there."""
        with torch.inference_mode():
            return self.graph.values(names, self.known)


def _digest(kept: frozenset[str], feeds: Feeds, outputs: Sequence[Array]) -> bytes:
    digest = hashlib.sha256(" ".join(sorted(kept)).encode())
    for array in (*feeds.values(), *(array for array in outputs if array.dtype.kind == "i")):
        digest.update(str(array.shape).encode() + array.tobytes())
    return digest.digest()
