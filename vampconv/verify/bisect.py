"""Which layer is the first to be wrong by itself, and which rule made it so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch
from onnx.checker import ValidationError
from torch import nn

from vampconv.errors import PluginError
from vampconv.frontend.frontend import Draft
from vampconv.passes.pipeline import Options
from vampconv.passes.shapes import infer_shapes
from vampconv.rewrite import Stage
from vampconv.rewrite.engine import apply_rules
from vampconv.verify.anchors import Anchors, Place, read_anchors
from vampconv.verify.evaluation import Evaluator
from vampconv.verify.layers import PartVerifier
from vampconv.verify.regions import Regions
from vampconv.verify.repro import write_repro
from vampconv.verify.result import Fault
from vampconv.verify.truth import Record

MOST = 8
"""Faults that are looked into."""
Constants = Mapping[str, ir.TensorProtocol]


def find_causes(verifier: PartVerifier, bisection: Bisection, directory: Path) -> None:
    """Complete the faults of a part by their causes, and write a reproduction of each of the first few."""
    faults = verifier.result.faults
    if not faults:
        return
    regions, record, model = verifier.regions(), verifier.truth.record, verifier.truth.reference.model
    for index, fault in enumerate(faults[:MOST]):
        found = bisection.explain(regions, fault, record, model)
        place = regions.anchors.places[fault.value]
        small = regions.read_small(place, record, model)
        tells = small is not None and small.error > regions.read(place).error
        example = regions.small(place, record, model) if tells else None
        try:
            repro = write_repro(regions, verifier.path, found, directory, example)
        except (OSError, ValidationError):  # the model's data are not there: nothing can be cut out
            repro = ""
        faults[index] = replace(found, repro=repro)


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
        self._compile = cache(self._compiled)

    def explain(self, regions: Regions, fault: Fault, record: Record, model: nn.Module) -> Fault:
        """The fault with its cause, as far as it is found.

        Parameters
        ----------
        regions
            Of the graph that has the fault.
        fault
            What is wrong.
        record, model
            The run of the reference in float64 that the regions were read with, and the reference.

        """
        right = partial(self._is_right, regions, regions.anchors.places[fault.value], record, model)
        guilty, cause = self._cause(right, fault)
        return replace(fault, rules=guilty or fault.rules, cause=cause, proven=bool(cause))

    def _cause(self, right: Callable[[frozenset[str]], bool], fault: Fault) -> tuple[tuple[str, ...], str]:
        """The rules without which the region is right, and the cause in words; nothing if it is not found."""
        if right(frozenset()):
            return (), "the file is not what the conversion makes of the checkpoint"
        guilty = tuple(rule for rule in fault.rules if right(frozenset({rule})))
        if guilty:
            return guilty, f"without {' or '.join(guilty)} it is right"
        if right(frozenset(rule.__name__ for rule in self.options.rules)):
            return (), "without any rule it is right"
        return (), "it is wrong before any rule is applied"

    def _is_right(
        self, regions: Regions, fault: Place, record: Record, reference: nn.Module, withheld: frozenset[str]
    ) -> bool:
        """Whether a region is right, from border to border, in a graph compiled without some rules."""
        anchors, graph, constants = self._compile(withheld)
        known = {name: value for name, value in regions.known.items() if name not in regions.anchors.places}
        ends = {names: place.name for place in regions for names in place.stands_for}
        target = None
        for place in anchors.places.values():
            for names in place.stands_for:
                if names in ends:
                    known[place.name] = regions.known[ends[names]]
                if names == fault.stands_for[0]:
                    known[place.name], target = regions.known[fault.name], place
        if target is None:
            return False
        needed = graph.needs([target.name], {*known, *constants} - {target.name})
        given = {name: _tensor(constants[name]) for name in needed & constants.keys()}
        again = Regions(anchors, graph, known, given)
        small = again.read_small(target, record, reference)
        return not again.read(target).wrong and not (small is not None and small.wrong)

    def _compiled(self, withheld: frozenset[str]) -> tuple[Anchors, Evaluator, Constants]:
        """The graph compiled without some rules, and never folded; and its constants, which it has not."""
        model, options = self.draft.build(opset=self.options.opset), self.options
        try:
            for stage in Stage:
                if stage is Stage.TARGET:
                    with suppress(PluginError):  # ops of the dialect may be left
                        infer_shapes(model)
                rules = [r for r in options.rules_of(stage) if r.__name__ not in withheld]
                apply_rules(
                    model,
                    rules,
                    opset=options.opset,
                    target=options.target,
                    precision=options.precision,
                    keep=options.keep,
                )
            constants = {n: v.const_value for n, v in model.graph.initializers.items() if v.const_value}
        finally:
            model.graph.initializers.clear()  # a constant is of one graph only
        proto = ir.to_proto(model)
        return read_anchors(proto), Evaluator(proto, Path(), torch.float64), constants


def _tensor(constant: ir.TensorProtocol) -> torch.Tensor:
    array = np.array(constant.numpy())
    return torch.from_numpy(array.astype(np.float64) if array.dtype.kind == "f" else array)
