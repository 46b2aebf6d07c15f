"""From open checkpoints to compiled graphs: everything of a conversion but the writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from vampconv.checkpoint import Checkpoint
from vampconv.convert.inputs import Inputs, find_codec
from vampconv.convert.labels import unique_labels
from vampconv.emit.ledger import Account, Ledger
from vampconv.errors import UnsupportedModelError, UsageError
from vampconv.frontend.frontend import Draft, Frontend, Share
from vampconv.frontend.weights import Weights
from vampconv.passes.pipeline import FULL, Options, compile_graph
from vampconv.rewrite.engine import Log
from vampconv.rewrite.keep import Keep
from vampconv.validation.record import RuleRecord

if TYPE_CHECKING:
    from vampconv.validation.validator import Validator


@dataclass(frozen=True)
class Part:
    """One compiled model of the bundle."""

    name: str
    architecture: Mapping[str, Any]
    model: ir.Model
    log: Log
    weights: list[dict[str, Any]]
    options: Options
    audit: Sequence[RuleRecord] = ()
    """What translation validation found out about each rule, where it was asked for."""

    def compiled_for(self) -> dict[str, Any]:
        """Target and precision; and the modules that stay in float32, if it is another one."""
        facts: dict[str, Any] = {"target": self.options.target, "precision": self.options.precision}
        return facts if self.options.precision == FULL else facts | {"kept": sorted(self.log.kept)}

    @property
    def bytes(self) -> int:
        """Size of its weights."""
        return sum(v.const_value.nbytes for v in self.model.graph.initializers.values() if v.const_value)


@dataclass(frozen=True)
class Plan:
    """Compiled models with the ledger of all that they were made from; nothing is written yet."""

    parts: Sequence[Part]
    ledger: Ledger
    facts: dict[str, Any]
    notes: Sequence[str]

    def checkpoints(self) -> list[Checkpoint]:
        return [a.weights.checkpoint for a in self.ledger.accounts]


def make_plan(inputs: Inputs, options: Options, stack: ExitStack, *, audit: bool = False) -> Plan:
    """Compile every model among the inputs; with `audit`, hold every firing of a rule against its claim.

    Raises
    ------
    VampconvError
        If a checkpoint, codec or fine-tune does not fit, a tensor is not accounted for, or a firing
        breaks its rule's claim.

    """
    drafts, accounts, facts = make_drafts(inputs, stack)
    _label(accounts)
    models = [draft.build(opset=options.opset) for draft in drafts]
    for account in accounts:
        if not account.lends:
            account.weights.settle()
    ledger = Ledger(accounts)
    parts = []
    for draft, model in zip(drafts, models, strict=True):
        validator = _validator(model, draft.part) if audit else None
        own = _options_of(draft, options)
        log = compile_graph(model, own, validator)
        rows = ledger.post(f"{draft.part}.onnx", model, log.firings)
        records = tuple(validator.records.values()) if validator else ()
        parts.append(Part(draft.part, draft.architecture, model, log, rows, own, records))
    ledger.settle()
    _check_keep(parts, options)
    return Plan(parts, ledger, facts, (*inputs.notes, *_notes(parts, options)))


def _options_of(draft: Draft, options: Options) -> Options:
    """What a part is compiled for: one that has no other precision stays in float32."""
    if draft.sensitive is None:
        return replace(options, precision=FULL)
    patterns = (*draft.sensitive, *options.keep.patterns)
    return replace(options, keep=Keep(patterns, draft.part))


def _check_keep(parts: Sequence[Part], options: Options) -> None:
    """Raise a `UsageError` if there is nothing that a pattern keeps."""
    matched = {p for part in parts for patterns in part.log.kept.values() for p in patterns}
    for pattern in options.keep.patterns:
        if pattern not in matched:
            would = f"nothing that {options.precision} would change is called {pattern}"
            if options.precision == FULL:
                would = f"nothing can be kept from {FULL}"
            raise UsageError(f"--keep {FULL}:{pattern}: {would}", "`vampconv calibrate` lists the modules")


def _notes(parts: Sequence[Part], options: Options) -> Iterator[str]:
    """Which parts are not in the precision that was asked for."""
    for part in parts:
        if part.options.precision != options.precision:
            yield f"{part.name} stays in {FULL}"
        elif options.precision != FULL and not _changed(part):
            yield f"{part.name}: {options.precision} changes nothing"


def _changed(part: Part) -> bool:
    rules = {r.__name__ for r in part.options.rules if r.precision is not None}
    return bool(rules & part.log.counts().keys())


def _validator(model: ir.Model, part: str) -> Validator:
    """What checks every firing; it computes in ONNX Runtime, which a plain conversion does not load."""
    from vampconv.validation.validator import Validator

    return Validator(model, part)


def make_drafts(inputs: Inputs, stack: ExitStack) -> tuple[list[Draft], list[Account], dict[str, Any]]:
    """What can be built of the inputs, the accounts of their checkpoints, and facts of the whole bundle.

    Raises
    ------
    VampconvError
        If a checkpoint, codec or fine-tune does not fit.

    """
    given = _Given(inputs, stack)
    shares = [(frontend, share) for frontend in inputs.frontends for share in _shares(frontend, given)]
    drafts = [draft for _, share in shares for draft in share.drafts]
    if not drafts:
        raise UnsupportedModelError(
            "there is no model to convert, only a codec's tables", "give a transformer"
        )
    accounts = [
        Account(s.weights, frontend.kind, "", s.lends, s.fine_tune, idle_reason=s.idle_reason)
        for frontend, s in shares
    ]
    return drafts, accounts, {name: fact for _, share in shares for name, fact in share.facts.items()}


@dataclass
class _Given:
    """The checkpoints as frontends see them; the tensors of each are handed out by one `Weights`."""

    inputs: Inputs
    stack: ExitStack
    _weights: dict[Checkpoint, Weights] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        return self.inputs.notes

    def of(self, kind: str) -> list[Weights]:
        return [self._of(checkpoint) for checkpoint in self.inputs.of(kind)]

    def lender(self, _kind: str, fits: Callable[[Weights], bool]) -> Weights:
        return self._of(find_codec(self.inputs, fits, self.stack))

    def _of(self, checkpoint: Checkpoint) -> Weights:
        if checkpoint not in self._weights:
            self._weights[checkpoint] = Weights(checkpoint)
        return self._weights[checkpoint]


def _shares(frontend: Frontend, given: _Given) -> Sequence[Share]:
    if frontend.join is not None:
        return list(frontend.join(given))
    models = given.of(frontend.kind)
    if len(models) > 1:
        both = " and ".join(str(weights.checkpoint.path) for weights in models)
        raise UsageError(
            f"two models of one kind ({frontend.kind}) were given: {both}", "convert them in two calls"
        )
    return [Share(weights, frontend.read(weights)) for weights in models]


def _label(accounts: Sequence[Account]) -> None:
    labels = unique_labels([account.weights.checkpoint.path for account in accounts])
    for account, label in zip(accounts, labels, strict=True):
        account.label = label
    by_weights = {id(account.weights): account.label for account in accounts}
    for account in accounts:
        if account.fine_tune:
            account.overridden_by = by_weights[id(account.fine_tune)]
