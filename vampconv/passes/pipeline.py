"""The way of a graph from the dialect to ONNX, as one tuple of named passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import onnx_ir as ir

from vampconv.opsets import OLDEST
from vampconv.passes.fold import fold_constants
from vampconv.passes.legalize import check_domains
from vampconv.passes.names import name_everything
from vampconv.passes.shapes import infer_shapes
from vampconv.passes.tidy import tidy
from vampconv.rewrite import Rule, Stage
from vampconv.rewrite.engine import NOTHING, Log, apply_rules
from vampconv.rewrite.keep import Keep
from vampconv.rewrite.replacement import Observer

FULL = "fp32"
"""The precision that all others are held against."""


@dataclass(frozen=True)
class Options:
    """What a graph is compiled for."""

    opset: int = OLDEST
    target: str = "portable"
    rules: Sequence[type[Rule]] = ()
    domains: frozenset[str] = Stage.TARGET.domains
    """Of the ops that the target runs."""
    precision: str = FULL
    keep: Keep = NOTHING
    """What stays in float32 all the same."""

    def rules_of(self, stage: Stage) -> list[type[Rule]]:
        """The rules of a stage."""
        return [rule for rule in self.rules if rule.stage is stage]

    def remaining(self, stage: Stage) -> frozenset[str]:
        """Domains of the ops that may remain after a stage."""
        own = {Stage.TARGET: self.domains, Stage.LOWER: stage.domains | self.domains}
        return own.get(stage, stage.domains)


@dataclass
class State:
    """A graph on its way, with the log of the rules."""

    model: ir.Model
    options: Options
    observe: Observer | None = None
    log: Log = field(default_factory=Log)


class Pass(Protocol):
    """One step; it changes the state's model in place."""

    def __call__(self, state: State) -> None: ...


@dataclass(frozen=True)
class Rewrite:
    """The rules of one stage, until none fires; then only the stage's op domains may remain."""

    stage: Stage

    def __call__(self, state: State) -> None:
        options = state.options
        apply_rules(
            state.model,
            options.rules_of(self.stage),
            opset=options.opset,
            target=options.target,
            precision=options.precision,
            log=state.log,
            observe=state.observe,
            keep=options.keep,
        )
        check_domains(state.model, self.stage, state.log, options.remaining(self.stage))


@dataclass(frozen=True)
class Fold:
    """Constant subgraphs become lazy tensors."""

    def __call__(self, state: State) -> None:
        fold_constants(state.model)


@dataclass(frozen=True)
class Infer:
    """Shapes of every value, for guards of the target's rules."""

    def __call__(self, state: State) -> None:
        infer_shapes(state.model)


@dataclass(frozen=True)
class Tidy:
    """What nothing uses goes; shapes are inferred; everything is named."""

    def __call__(self, state: State) -> None:
        tidy(state.model)
        infer_shapes(state.model)
        name_everything(state.model)


PIPELINE: tuple[Pass, ...] = (
    Rewrite(Stage.CANONICAL),
    Rewrite(Stage.LOWER),
    Infer(),
    Rewrite(Stage.TARGET),
    Fold(),
    Tidy(),
)


def compile_graph(model: ir.Model, options: Options, observe: Observer | None = None) -> Log:
    """Take a graph of ``vamp`` ops through the pipeline, in place; `observe` is shown every replacement.

    Raises
    ------
    PluginError
        If a rule breaks its contract, or leaves an op behind that its stage forbids.

    """
    state = State(model, options, observe)
    for step in PIPELINE:
        step(state)
    return state.log
