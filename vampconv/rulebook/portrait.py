"""All that can be shown of a rule: its words, its two graphs, its guards, its evidence, its place."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import onnx_ir as ir

from vampconv.dialect import NodeBuilder
from vampconv.errors import PluginError, VampconvError
from vampconv.rewrite import Draw, Fails, Match, Refused, Rule, Sample
from vampconv.rewrite.audit import OPSETS, SIZES
from vampconv.rewrite.engine import compiled, refusal
from vampconv.rewrite.evidence import Drawn
from vampconv.rewrite.matcher import Occurrence
from vampconv.rewrite.sample_graph import build
from vampconv.rulebook.drawing import draw_graph
from vampconv.rulebook.guards import GuardFacts, guards_of


@dataclass(frozen=True)
class SampleFacts:
    """A sample of the evidence: ``fires``, ``refused`` (with the reason) or ``fails``."""

    kind: str
    arguments: str
    opset: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Portrait:
    """A rule, for people. The graphs are those of the sample `on`, as lines; empty if it fires on none."""

    name: str
    doc: str
    stage: str
    target: str | None
    precision: str | None
    claim: str
    default: bool
    file: str
    line: int
    runs_before: tuple[str, ...]
    runs_after: tuple[str, ...]
    drops: dict[str, str]
    guards: list[GuardFacts]
    on: str
    opset: int | None
    before: list[str]
    after: list[str]
    evidence: list[SampleFacts]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def portray(rule: type[Rule]) -> Portrait:
    """Portray a rule.

    Raises
    ------
    PluginError
        If its pattern, guards, replacement or evidence raise.

    """
    try:
        samples = list(rule.evidence(Draw(SIZES[1])))
        fired = next(_firings(rule, samples), None)
        on, opset, before, after = ("", None, [], []) if fired is None else _drawn(rule, *fired)
        file, line = place(rule)
        return Portrait(
            name=rule.__name__,
            doc=inspect.cleandoc(rule.__doc__ or ""),
            stage=rule.stage.label,
            target=rule.target,
            precision=rule.precision,
            claim=str(rule.claim),
            default=rule.default,
            file=file,
            line=line,
            runs_before=rule.runs_before,
            runs_after=rule.runs_after,
            drops=dict(rule.drops),
            guards=guards_of(rule, samples),
            on=on,
            opset=opset,
            before=before,
            after=after,
            evidence=[_sample_facts(sample) for sample in samples],
        )
    except VampconvError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"rule {rule.__name__} (in {rule.__module__}) cannot be shown: {type(error).__name__}: {error}",
            f"see vampconv rules test {rule.__name__}",
        ) from error


def place(rule: type[Rule]) -> tuple[str, int]:
    """Source file and line of a rule; an empty name and 0 where it has none."""
    try:
        return inspect.getsourcefile(rule) or "", inspect.getsourcelines(rule)[1]
    except (OSError, TypeError):
        return "", 0


def _firings(rule: type[Rule], samples: list[Sample]) -> Iterator[tuple[Sample, int, ir.Model, Occurrence]]:
    """Samples on which the rule fires, at the oldest opset at which it does."""
    for sample in samples:
        if isinstance(sample, Refused | Fails) or not sample.fires:
            continue
        for opset in OPSETS:
            model, _ = build(rule, sample, max(opset, sample.opset or 0))
            for node in model.graph:
                for found in compiled(rule).find(node):
                    if refusal(rule, Match(found.bindings, model.graph.opset_imports[""]), node) is None:
                        yield sample, model.graph.opset_imports[""], model, found


def _drawn(
    rule: type[Rule], sample: Sample, opset: int, model: ir.Model, found: Occurrence
) -> tuple[str, int, list[str], list[str]]:
    names = {v: name for name, v in found.bindings.items() if isinstance(v, ir.Value)}
    before = draw_graph(list(model.graph.outputs), names)
    wanted = inspect.signature(rule.after).parameters
    arguments = {**found.bindings, "m": Match(found.bindings, opset)}
    results = rule.after(NodeBuilder(), **{k: v for k, v in arguments.items() if k in wanted})
    after = draw_graph(results if isinstance(results, tuple) else (results,), names)
    return _arguments(sample), opset, before, after


def _sample_facts(sample: Sample) -> SampleFacts:
    kind = "refused" if isinstance(sample, Refused) else "fails" if isinstance(sample, Fails) else "fires"
    reason = sample.reason if isinstance(sample, Refused) else ""
    return SampleFacts(kind, _arguments(sample), sample.opset, reason)


def _arguments(sample: Sample) -> str:
    return ", ".join(_argument(name, value) for name, value in sample.arguments.items())


def _argument(name: str, value: Any) -> str:
    if not hasattr(value, "shape"):
        return f"{name}={value:.7g}" if isinstance(value, float) else f"{name}={value}"
    shape = value.symbols if isinstance(value, Drawn) and value.symbols else value.shape
    if isinstance(value, Drawn) and value.symbols is None:
        return f"{name} [?]"
    kind = "" if value.dtype.kind == "f" else f"{value.dtype} "
    return f"{name} {kind}[{', '.join(map(str, shape))}]"
