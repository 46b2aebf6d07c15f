"""Which layer is the first to be wrong by itself, and which rule made it so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import torch

from vampconv.convert.plan import Draft
from vampconv.passes.pipeline import Options
from vampconv.rewrite import Stage
from vampconv.rewrite.engine import apply_rules
from vampconv.verify.anchors import read_anchors
from vampconv.verify.evaluate import Evaluator
from vampconv.verify.layers import PartVerifier
from vampconv.verify.regions import Regions
from vampconv.verify.repro import write_repro
from vampconv.verify.result import Fault

MOST = 8
"""Faults that are looked into."""


def find_causes(verifier: PartVerifier, bisection: Bisection, directory: Path) -> None:
    """Complete the faults of a part by their causes, and write a reproduction of each of the first few."""
    faults = verifier.result.faults
    if not faults:
        return
    regions = verifier.regions()
    for index, fault in enumerate(faults[:MOST]):
        found = bisection.explain(regions, fault)
        faults[index] = replace(found, repro=write_repro(regions, verifier.path, found, directory))


class Bisection:
    """Finds the cause of a fault by compiling its part again, with rules withheld.

    Parameters
    ----------
    draft
        The part before any rule was applied.
    options
        The rules, opset and target that it was converted with.

    """

    def __init__(self, draft: Draft, options: Options) -> None:
        self.draft, self.options = draft, options

    def explain(self, regions: Regions, fault: Fault) -> Fault:
        """The fault with its cause, as far as it is found."""
        guilty, cause = self._cause(regions, fault)
        return replace(fault, rules=guilty or fault.rules, cause=cause, proven=bool(cause))

    def _cause(self, regions: Regions, fault: Fault) -> tuple[tuple[str, ...], str]:
        """The rules without which the region is right, and the cause in words; nothing if it is not found."""
        name = fault.stands_for
        if self._is_right(regions, name, ()):
            return (), "the file is not what the conversion makes of the checkpoint"
        guilty = tuple(rule for rule in fault.rules if self._is_right(regions, name, (rule,)))
        if guilty:
            return guilty, f"without {' or '.join(guilty)} it is right"
        if self._is_right(regions, name, [rule.__name__ for rule in self.options.rules]):
            return (), "without any rule it is right"
        return (), "it is wrong before any rule is applied"

    def _is_right(self, regions: Regions, name: str, withheld: Sequence[str]) -> bool:
        """Whether the region of a value is right in a graph compiled without some rules, and never folded."""
        model = self.draft.build(opset=self.options.opset)
        for stage in Stage:
            rules = [r for r in self.options.rules if r.stage is stage and r.__name__ not in withheld]
            apply_rules(model, rules, opset=self.options.opset, target=self.options.target)
        constants = {n: v.const_value for n, v in model.graph.initializers.items() if v.const_value}
        proto = _without_constants(model)
        anchors = read_anchors(proto)
        inputs = {port.name for port in proto.graph.input}
        known = {n: v for n, v in regions.known.items() if n in inputs}
        truths = {names: regions.known[p.name] for p in regions for names in p.stands_for}
        target = None
        for place in anchors.places.values():
            for stands, order in place.stands_for:
                if (stands, order) in truths:
                    known[place.name] = truths[stands, order]
                    target = place if stands == name else target
        if target is None:
            return False
        graph = Evaluator(proto, Path(), torch.float64)
        needed = graph.needs([target.name], {*known, *constants} - {target.name})
        known |= {n: _tensor(constants[n]) for n in needed & constants.keys()}
        return not Regions(anchors, graph, known).read(target).wrong


def _without_constants(model: ir.Model) -> onnx.ModelProto:
    """The model with all constants left out, so that none is read; the model loses them."""
    model.graph.initializers.clear()
    return ir.to_proto(model)


def _tensor(constant: ir.TensorProtocol) -> torch.Tensor:
    array = np.array(constant.numpy())
    return torch.from_numpy(array.astype(np.float64) if array.dtype.kind == "f" else array)
