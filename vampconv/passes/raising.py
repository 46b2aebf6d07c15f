"""The way of a foreign graph: raised to the dialect where it is known, and lowered again, as one tuple of passes."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from vampconv.dialect.op import DOMAIN
from vampconv.errors import PluginError
from vampconv.passes.constants import SINCE_INITIALIZERS, defaults_set_aside, lift_constants, sink_constants
from vampconv.passes.fold import fold_constants
from vampconv.passes.foreign import drop_casts, drop_notes, drop_unused, separate_names, share
from vampconv.passes.inner import views
from vampconv.passes.known import use_known_shapes
from vampconv.passes.legalize import leftovers
from vampconv.passes.pipeline import Options, Pass, State
from vampconv.passes.shapes import infer_what_is_known
from vampconv.passes.tidy import share_constants
from vampconv.rewrite import Stage
from vampconv.rewrite.engine import Log, apply_rules
from vampconv.rewrite.trace import rules_of

OLDEST_RAISED = 13
"""The oldest opset for which rules are applied; older graphs are left as they are."""


class LeftoverError(PluginError):
    """Raised ops that no rule lowers.

    Parameters
    ----------
    nodes
        The ops that are left.
    raising
        Names of the rules that raised to them.

    """

    def __init__(self, nodes: list[ir.Node], raising: set[str]) -> None:
        ops = ", ".join(sorted({f"{n.domain}.{n.op_type}" for n in nodes}))
        super().__init__(f"no enabled rule lowers {ops}", "enable one, or disable what raises to it")
        self.raising = raising


@dataclass(frozen=True)
class Normalize:
    """Constants are initializers, casts that do nothing are gone, and what shapes tell is written down."""

    def __call__(self, state: State) -> None:
        for model in views(state.model):
            lift_constants(model)
        _infer(state.model)
        for model in views(state.model):
            drop_casts(model)
            use_known_shapes(model)
            drop_unused(model)
        _tidy(state.model)
        _infer(state.model)


@dataclass(frozen=True)
class Rewrite:
    """The rules of one stage, until none fires."""

    stage: Stage

    def __call__(self, state: State) -> None:
        options = state.options
        rules = options.rules_of(self.stage)
        for model in views(state.model):
            apply_rules(model, rules, opset=options.opset, target=options.target, log=state.log)
            for domain, version in model.graph.opset_imports.items():
                state.model.graph.opset_imports.setdefault(domain, version)


@dataclass(frozen=True)
class CheckLowered:
    """No op of the dialect may be left."""

    def __call__(self, state: State) -> None:
        if left := [node for model in views(state.model) for node in leftovers(model)]:
            raising = {r.__name__ for r in state.options.rules if r.stage is Stage.RAISE}
            raise LeftoverError(left, {name for node in left for name in rules_of(node)} & raising)


@dataclass(frozen=True)
class Infer:
    """Types and shapes, as far as ONNX's inference comes."""

    def __call__(self, state: State) -> None:
        _infer(state.model)


@dataclass(frozen=True)
class Fold:
    """Constants are folded where the file does not grow, for rules that look at their values."""

    def __call__(self, state: State) -> None:
        for model in views(state.model):
            fold_constants(model, may_grow=False)
            drop_unused(model)


@dataclass(frozen=True)
class Tidy:
    """Constants are folded where the file does not grow; equal computations are one; what nothing uses goes."""

    def __call__(self, state: State) -> None:
        for model in views(state.model):
            drop_unused(model)
        _tidy(state.model)


def _tidy(model: ir.Model) -> None:
    for view in reversed(views(model)):
        fold_constants(view, may_grow=False)
        share_constants(view)
        share(view)
        drop_unused(view)


def _infer(model: ir.Model) -> None:
    separate_names(model.graph)
    infer_what_is_known(model)


OPTIMIZE_PIPELINE: tuple[Pass, ...] = (
    Normalize(),
    Rewrite(Stage.RAISE),
    Fold(),
    Rewrite(Stage.RAISE),
    Rewrite(Stage.CANONICAL),
    Rewrite(Stage.LOWER),
    CheckLowered(),
    Infer(),
    Rewrite(Stage.TARGET),
    Tidy(),
)


def optimize_graph(model: ir.Model, options: Options) -> Log:
    """Take a graph of any origin, and the graphs inside it, through the pipeline, in place.

    Functions of the model's own stay as they are.

    Raises
    ------
    LeftoverError
        If a raised op is lowered by no rule; the graph is then of no use.
    PluginError
        If a rule breaks its contract.

    """
    state = State(model, options)
    with defaults_set_aside(model):
        for step in OPTIMIZE_PIPELINE:
            step(state)
        separate_names(model.graph)
        drop_notes(model)
        model.graph.opset_imports.pop(DOMAIN, None)
        if model.ir_version is not None and model.ir_version < SINCE_INITIALIZERS:
            for view in views(model):
                sink_constants(view)
    return state.log
