"""Watches rules fire, and holds every firing against its rule's claim; nothing of the graph is changed."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from vampconv.dialect import NodeBuilder
from vampconv.errors import PluginError
from vampconv.rewrite.matcher import Occurrence
from vampconv.rewrite.rule import Rule
from vampconv.rewrite.trace import module_of
from vampconv.validation.firing import BreachError, Firing, NotCheckedError
from vampconv.validation.record import RuleRecord
from vampconv.validation.sizes import workable_sizes
from vampconv.validation.subgraph import Constants


class Validator:
    """Observes the rules on one model; a firing that breaks its rule's claim ends the conversion.

    Parameters
    ----------
    model
        The graph before any rule has fired.
    part
        What the model is called in messages.

    Attributes
    ----------
    records
        What was found out about each rule that fired, by its name.

    """

    def __init__(self, model: ir.Model, part: str) -> None:
        self.part = part
        self.records: dict[str, RuleRecord] = {}
        self._workable = workable_sizes(model)
        self._constants = Constants()
        self._opset = model.graph.opset_imports[""]
        self._firings = 0

    def __call__(
        self, rule: type[Rule], found: Occurrence, replacement: NodeBuilder, results: Sequence[ir.Value]
    ) -> None:
        """Check one firing.

        Raises
        ------
        PluginError
            If the replacement does not keep the rule's claim; with rule, node, module and error.

        """
        record = self.records.setdefault(rule.__name__, RuleRecord(rule.__name__, str(rule.claim)))
        record.fired += 1
        self._firings += 1
        root = found.outputs[0].producer()
        assert root is not None
        place = f"{self.part}:{module_of(root)}"
        firing = Firing(rule.claim, found, replacement, results, self._opset, self._constants)
        try:
            firing.check(record, place, self._workable, self._firings)
        except NotCheckedError as reason:
            record.unchecked[str(reason)] += 1
        except BreachError as breach:
            raise PluginError(
                f"rule {rule.__name__} changes what {root.domain or 'ai.onnx'}.{root.op_type} "
                f"of {place} computes: {breach}",
                f"mend the rule, or --disable {rule.__name__}",
            ) from breach
        else:
            record.checked += 1
