"""The ledger: what became of every tensor of every checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import onnx_ir as ir

from vampconv.errors import PluginError
from vampconv.frontend.weights import Weights, WeightTensor
from vampconv.passes.expression import Expression, leaves, makers
from vampconv.passes.fold import expression_of
from vampconv.rewrite.replacement import Firing


class Fate(StrEnum):
    """What became of a tensor."""

    USED = "used"
    SHARED = "shared"
    OVERRIDDEN = "overridden"
    DROPPED = "dropped"
    NOT_REQUESTED = "not requested"


@dataclass
class Entry:
    """One tensor of a checkpoint."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    crc32: int | None
    fate: Fate | None = None
    reason: str = ""
    uses: list[str] = field(default_factory=list)
    """Initializers computed from it, as ``file:name``."""

    def as_json(self) -> dict[str, Any]:
        """The entry as plain values; `reason` and `uses` only where there are any."""
        plain: dict[str, Any] = {"name": self.name, "shape": list(self.shape), "dtype": self.dtype}
        if self.crc32 is not None:
            plain["crc32"] = f"{self.crc32:08x}"
        plain["fate"] = None if self.fate is None else str(self.fate)
        extra = {"reason": self.reason, "uses": self.uses}
        return plain | {key: value for key, value in extra.items() if value}


@dataclass
class Account:
    """The entries of one checkpoint."""

    weights: Weights
    kind: str
    """Of its family of models."""
    label: str = ""
    """What the checkpoint is called in the ledger: its file name, with as many folders as make it unique."""
    lends: bool = False
    """Whether its tensors are lent to models (a codec's tables): those not asked for stay unused."""
    fine_tune: Weights | None = None
    """What takes the place of its own LoRA pairs."""
    overridden_by: str = ""
    """Label of the fine-tune."""
    idle_reason: str = ""
    """Why the tensors of a lender that no model asked for are not used."""
    entries: dict[str, Entry] = field(init=False)

    def __post_init__(self) -> None:
        self.entries = {
            t.name: Entry(t.name, t.shape, str(t.dtype), t.crc32)
            for t in self.weights.checkpoint.tensors.values()
        }

    def settle(self) -> None:
        """Give every entry its fate.

        Raises
        ------
        PluginError
            If a tensor was handed to the graph but is in no weight of the result, and no rule says why.

        """
        aside = {self.weights.tensors[n].name for n in self.weights.set_aside}
        ignored = {self.weights.tensors[n].name: why for n, why in self.weights.ignored.items()}
        asked = {self.weights.tensors[n].name for n in self.weights.taken if n in self.weights.tensors}
        for entry in self.entries.values():
            if entry.uses:
                entry.fate = Fate.SHARED if self.lends else Fate.USED
            elif entry.name in aside:
                entry.fate, entry.reason = Fate.OVERRIDDEN, f"by {self.overridden_by}"
            elif entry.name in ignored:
                entry.fate, entry.reason = Fate.DROPPED, ignored[entry.name]
            elif entry.fate is None and self.lends and entry.name not in asked:
                entry.fate, entry.reason = Fate.NOT_REQUESTED, self.idle_reason
        lost = [e.name for e in self.entries.values() if e.fate is None]
        if lost:
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            raise PluginError(
                f"{self.label}: tensor {lost[0]}{more} is in no weight of the result",
                "a rule lost it: one that leaves a weight out must say so in `drops`",
            )


class Ledger:
    """The accounts of all checkpoints of a conversion."""

    def __init__(self, accounts: Sequence[Account]) -> None:
        self.accounts = tuple(accounts)
        self._by_checkpoint = {a.weights.checkpoint: a for a in accounts}

    def post(self, file: str, model: ir.Model, firings: Iterable[Firing]) -> list[dict[str, Any]]:
        """Enter the weights of a compiled model; return what each is computed from, for the manifest."""
        rows = []
        for value in model.graph.initializers.values():
            expression = expression_of(value)
            sources = list(dict.fromkeys(self._enter(f"{file}:{value.name}", expression)))
            if sources:
                shape, dtype = list(expression.shape), str(expression.dtype.numpy())
                rows.append(
                    {
                        "name": value.name,
                        "shape": shape,
                        "dtype": dtype,
                        "from": sources,
                        "expression": str(expression),
                        "rules": list(dict.fromkeys(makers(expression))),
                    }
                )
        for firing in firings:
            for name, reason in firing.dropped:
                self._drop(name, f"{firing.rule}: {reason}")
        return rows

    def settle(self) -> None:
        """Give every tensor its fate; raise if one has none."""
        for account in self.accounts:
            account.settle()

    def _enter(self, use: str, expression: Expression) -> Iterable[str]:
        for leaf in leaves(expression):
            if isinstance(leaf.tensor, WeightTensor):
                account = self._by_checkpoint[leaf.tensor.checkpoint]
                entry = account.entries[leaf.tensor.source.name]
                if use not in entry.uses:
                    entry.uses.append(use)
                yield f"{account.label}:{entry.name}"

    def _drop(self, name: str, reason: str) -> None:
        for account in self.accounts:
            tensor = account.weights.tensors.get(name)
            if tensor and name in account.weights.taken and not account.entries[tensor.name].uses:
                account.entries[tensor.name].fate = Fate.DROPPED
                account.entries[tensor.name].reason = reason
