"""One firing of a rule: both sides on random inputs and the weights that it met.

The side before is computed in float64 by the ops' meanings, the one after as it would run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import onnx_ir as ir

from vampconv.dialect import DOMAIN, OPS, NodeBuilder
from vampconv.dialect.op import Array
from vampconv.rewrite.claim import Claim
from vampconv.rewrite.execute import REFUSALS, interpret
from vampconv.rewrite.matcher import Occurrence
from vampconv.validation.inputs import Plan, UnknownInputError, draw, plans, ranges
from vampconv.validation.judge import judge
from vampconv.validation.meaning import UNDEFINED, Meaning, first_line, says_nothing, widened
from vampconv.validation.record import RuleRecord
from vampconv.validation.replacement import Replacement
from vampconv.validation.sizes import Known, Sizes
from vampconv.validation.subgraph import Constants, cut, free_values

LARGEST = 1 << 27
"""Elements of the constants of one firing; with more, it is not checked."""
CHEAP = 1 << 18
"""Elements that a firing may read and put out and still be checked on more than one plan."""
READING = 8
"""How much more an element that is read costs than one that is put out."""


class NotCheckedError(Exception):
    """Why a firing cannot be checked."""


class BreachError(Exception):
    """How a replacement breaks its rule's claim."""


class Firing:
    """The two sides of a firing, cut out of the graph, and what they read of it."""

    def __init__(
        self,
        claim: Claim,
        found: Occurrence,
        replacement: NodeBuilder,
        results: Sequence[ir.Value],
        opset: int,
        constants: Constants,
    ) -> None:
        self.claim, self.opset, self.constants = claim, opset, constants
        self.nodes, self.outputs = found.nodes, found.outputs
        self.new_nodes, self.results = replacement.nodes, results
        self.own = {c: c.const_value.numpy() for c in replacement.constants if c.const_value is not None}
        read = (*free_values(self.nodes, self.outputs), *free_values(self.new_nodes, results))
        self.free = [v for v in dict.fromkeys(read) if v not in self.own]

    def check(self, record: RuleRecord, place: str, workable: Sequence[Sizes], number: int) -> None:
        """Compare both sides, on every plan on which the meaning is defined.

        Raises
        ------
        NotCheckedError
            If there is none, or the firing cannot be computed.
        BreachError
            If the replacement does not keep the claim.

        """
        self._refuse_unknown()
        fixed = self._fixed(workable[0])
        drawn = [v for v in self.free if v not in fixed]
        weights = sum(a.size for a in fixed.values())
        todo = self._plans(workable, drawn, weights) if drawn else plans(workable)[:1]
        meaning = Meaning(*cut(self.nodes, self.outputs, self.opset), fixed)
        replacement: Replacement | None = None
        compared, why = 0, ""
        for turn, plan in enumerate(todo):
            sample = self._sample(meaning, drawn, fixed, plan, (number, turn))
            if isinstance(sample, str):
                why = why or sample
                continue
            feeds, truths = sample
            known = [plan.sizes.of(v) for v in self.outputs]
            try:
                replacement = replacement or Replacement(
                    *cut(self.new_nodes, self.results, self.opset, {**fixed, **self.own}), feeds, truths
                )
                results = replacement(feeds)
            except (*REFUSALS, *UNDEFINED) as error:
                kind = (
                    NotCheckedError
                    if any(n.domain not in ("", DOMAIN) for n in self.new_nodes)
                    else BreachError
                )
                raise kind(f"its replacement fails: {first_line(error)}") from error
            self._judge(record, place, results, truths, known, meaning, feeds)
            compared += 1
        if not compared:
            raise NotCheckedError(why)
        record.comparisons += compared

    def _plans(self, workable: Sequence[Sizes], drawn: Sequence[ir.Value], weights: int) -> list[Plan]:
        """The first plan, and those of the others that are cheap: reading costs more than putting out."""
        first, *others = plans(workable)
        return [
            first,
            *(
                plan
                for plan in others
                if READING * (weights + plan.sizes.elements(drawn)) + plan.sizes.elements(self.outputs)
                <= CHEAP
            ),
        ]

    def _refuse_unknown(self) -> None:
        """Refuse what cannot be computed: before, by a meaning; after, by meanings or in ONNX Runtime."""
        graphs = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
        runs = not any(n.domain == DOMAIN for n in self.new_nodes)
        for node in (*self.nodes, *self.new_nodes):
            if any(a.type in graphs for a in node.attributes.values()):
                raise NotCheckedError(f"{node.op_type} holds a graph of its own")
            known = not node.domain or (node.domain == DOMAIN and node.op_type in OPS)
            if not known and not (runs and node in self.new_nodes):
                raise NotCheckedError(f"{node.domain}.{node.op_type} has no meaning to compute it by")

    def _fixed(self, sizes: Sizes) -> dict[ir.Value, Array]:
        """The constants among what the firing reads, as they are or as their definitions compute them."""
        fixed = [v for v in self.free if self.constants.holds(v)]
        if sizes.elements(fixed) > LARGEST:
            raise NotCheckedError(f"its weights hold more than {LARGEST} elements")
        return {v: self._constant(v) for v in fixed}

    def _constant(self, value: ir.Value) -> Array:
        if value.const_value is not None:
            return value.const_value.numpy()
        model, names = cut(self.constants.cone(value), [value], self.opset)
        arrays = {n: v.const_value.numpy() for v, n in names.items() if v.const_value is not None}
        try:
            (array,) = interpret(model, {n: widened(a) for n, a in arrays.items()})
        except UNDEFINED as error:
            raise NotCheckedError(f"a weight that it reads cannot be computed: {error}") from error
        return array.astype(np.float32) if array.dtype.kind == "f" else array

    def _sample(
        self,
        meaning: Meaning,
        drawn: Sequence[ir.Value],
        fixed: Mapping[ir.Value, Array],
        plan: Plan,
        seed: tuple[int, ...],
    ) -> tuple[dict[ir.Value, Array], list[Array]] | str:
        """Inputs for which the meaning is defined, and what it gives; or why there are none."""
        why = ""
        for attempt, highest in enumerate(ranges(drawn, fixed, plan)):
            try:
                feeds = draw(drawn, plan, np.random.default_rng((*seed, attempt)), highest)
                truths = meaning(feeds)
            except UnknownInputError as error:
                return str(error)
            except UNDEFINED as error:
                why = why or f"its meaning is not defined on the inputs that were drawn: {first_line(error)}"
                continue
            if reason := says_nothing(truths):
                why = why or reason
                continue
            return feeds, truths
        return why

    def _judge(
        self,
        record: RuleRecord,
        place: str,
        results: Sequence[Array],
        truths: Sequence[Array],
        known: Sequence[Known | None],
        meaning: Meaning,
        feeds: Mapping[ir.Value, Array],
    ) -> None:
        for index, (result, truth) in enumerate(zip(results, truths, strict=True)):
            declared = _declared(self.outputs[index], known[index], truth)
            if result.dtype != declared:
                raise BreachError(f"{result.dtype} stands where {declared} should")
            verdict = judge(self.claim, result, truth, partial(meaning.moved, feeds, index))
            if verdict.breach is not None:
                raise BreachError(verdict.breach)
            record.ties += verdict.ties
            if verdict.error >= record.largest_error:
                record.largest_error, record.worst = verdict.error, place


def _declared(value: ir.Value, known: Known | None, truth: Array) -> np.dtype[np.generic]:
    """The type that a value must have; float32 for reals of which nothing is said."""
    dtype = known.dtype if known is not None else value.dtype
    if dtype is not None:
        return dtype.numpy()
    return np.dtype(np.float32) if truth.dtype.kind == "f" else truth.dtype
