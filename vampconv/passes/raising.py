"""The way of a foreign graph: raised to the dialect where it is known, and lowered again, as one tuple of passes."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from vampconv.dialect.op import DOMAIN
from vampconv.errors import PluginError
from vampconv.passes.constants import SINCE_INITIALIZERS, defaults_set_aside, lift_constants, sink_constants
from vampconv.passes.fold import fold_constants
from vampconv.passes.foreign import drop_casts, drop_unused, finish, inner_names, share
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
        lift_constants(state.model)
        infer_what_is_known(state.model)
        drop_casts(state.model)
        use_known_shapes(state.model)
        drop_unused(state.model)
        fold_constants(state.model, may_grow=False)
        share_constants(state.model)
        share(state.model)
        drop_unused(state.model)
        infer_what_is_known(state.model)


@dataclass(frozen=True)
class Rewrite:
    """The rules of one stage, until none fires."""

    stage: Stage

    def __call__(self, state: State) -> None:
        options = state.options
        rules = [r for r in options.rules if r.stage is self.stage]
        apply_rules(state.model, rules, opset=options.opset, target=options.target, log=state.log)


@dataclass(frozen=True)
class CheckLowered:
    """No op of the dialect may be left."""

    def __call__(self, state: State) -> None:
        if left := leftovers(state.model):
            raising = {r.__name__ for r in state.options.rules if r.stage is Stage.RAISE}
            raise LeftoverError(left, {name for node in left for name in rules_of(node)} & raising)


@dataclass(frozen=True)
class Infer:
    """Types and shapes, as far as ONNX's inference comes."""

    def __call__(self, state: State) -> None:
        infer_what_is_known(state.model)


@dataclass(frozen=True)
class Fold:
    """Constants are folded where the file does not grow, for rules that look at their values."""

    def __call__(self, state: State) -> None:
        fold_constants(state.model, may_grow=False)
        drop_unused(state.model)


@dataclass(frozen=True)
class Tidy:
    """Constants are folded where the file does not grow; equal computations are one; what nothing uses goes."""

    def __call__(self, state: State) -> None:
        drop_unused(state.model)
        fold_constants(state.model, may_grow=False)
        share_constants(state.model)
        share(state.model)
        drop_unused(state.model)


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
    """Take a graph of any origin through the pipeline, in place.

    Raises
    ------
    LeftoverError
        If a raised op is lowered by no rule; the graph is then of no use.
    PluginError
        If a rule breaks its contract.

    """
    state = State(model, options)
    names = inner_names(model)
    with defaults_set_aside(model):
        for step in OPTIMIZE_PIPELINE:
            step(state)
        finish(model, names)
        model.graph.opset_imports.pop(DOMAIN, None)
        if model.ir_version is not None and model.ir_version < SINCE_INITIALIZERS:
            sink_constants(model)
    return state.log
