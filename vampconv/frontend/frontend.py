"""What a frontend is: how a family of models is recognised, read, and built as graphs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import onnx_ir as ir

from vampconv.frontend.weights import Weights


@dataclass(frozen=True)
class Draft:
    """A model that can be built: the name of its part, its architecture, and the graph for an opset.

    Attributes
    ----------
    sensitive
        Modules that stay in float32 in any precision, as patterns of `rewrite.keep.Keep`; None if all do.

    """

    part: str
    architecture: Mapping[str, Any]
    build: Callable[..., ir.Model]
    sensitive: Sequence[str] | None = None


@dataclass(frozen=True)
class Share:
    """What one checkpoint gives to a bundle.

    Attributes
    ----------
    weights
        Its tensors: those that `Given` hands out, so that each is accounted for once.
    drafts
        The models that can be built from it.
    lends
        Whether its tensors are lent to models of other checkpoints: those not asked for stay unused.
    idle_reason
        Why the tensors of a lender that no model asked for are not used.
    fine_tune
        What takes the place of some of its tensors.
    facts
        What the manifest tells of the whole bundle.

    """

    weights: Weights
    drafts: Sequence[Draft] = ()
    lends: bool = False
    idle_reason: str = ""
    fine_tune: Weights | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


class Given(Protocol):
    """The checkpoints of a conversion, for frontends whose models are made from several."""

    @property
    def notes(self) -> list[str]:
        """What the user should know; frontends add to it."""

    def of(self, kind: str) -> Sequence[Weights]:
        """The checkpoints of a kind that are to be converted."""

    def lender(self, kind: str, fits: Callable[[Weights], bool]) -> Weights:
        """The one checkpoint of a kind that is there, or that lies beside those to be converted and fits."""


@dataclass(frozen=True)
class Frontend:
    """A family of models.

    Attributes
    ----------
    kind
        What a checkpoint of it is called, in the ledger and in messages.
    parts
        Names of the parts that it can make, in the order in which they stand in a bundle.
    recognises
        Whether tensors of these names are of it; it must leave alone what is of another family.
    read
        The models that a checkpoint makes, as far as it can be told from it alone.
    join
        Of a family whose models are made from several checkpoints: what each gives. By default a checkpoint
        gives what `read` finds, and there may be one.
    option
        The option by which such a checkpoint is given, if it is no model by itself.
    describe
        Facts that `inspect` shows.
    fate
        What `inspect` says of a tensor that is in no model of its own.

    """

    kind: str
    parts: tuple[str, ...]
    recognises: Callable[[Collection[str]], bool]
    read: Callable[[Weights], Sequence[Draft]]
    join: Callable[[Given], Iterable[Share]] | None = None
    option: str = ""
    describe: Callable[[Weights], Mapping[str, Any]] = lambda _weights: {}
    fate: Callable[[str], str] = lambda _name: "unknown"
