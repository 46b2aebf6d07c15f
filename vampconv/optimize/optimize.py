"""A whole optimisation: read, raise and lower, write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from vampconv.files.models import external_tensors
from vampconv.files.outputs import Outputs, outputs
from vampconv.optimize.opset import at_opset
from vampconv.optimize.output import check_output, write_model, write_unchanged
from vampconv.optimize.source import as_graph, graphs_of, obstacle, read, reason_of
from vampconv.passes.pipeline import Options
from vampconv.passes.raising import OLDEST_RAISED, LeftoverError, optimize_graph
from vampconv.plugins import Plugin, load_plugins
from vampconv.rewrite import Rule


@dataclass(frozen=True)
class Request:
    """What to optimise, and how."""

    path: Path
    output: Path
    opset: int | None = None
    rule_directories: Sequence[Path] = ()
    enable: Sequence[str] = ()
    disable: Sequence[str] = ()
    plugins: Sequence[Plugin] = ()
    """Apart from installed ones."""
    force: bool = False

    def rules(self) -> list[type[Rule]]:
        """The rules that are switched on, in their order."""
        return load_plugins(
            directories=self.rule_directories, enable=self.enable, disable=self.disable, plugins=self.plugins
        ).selected


@dataclass(frozen=True)
class Size:
    """Nodes of the graph and of the graphs inside it, and bytes of the model with its external data."""

    nodes: int
    bytes: int


@dataclass(frozen=True)
class Optimized:
    """What an optimisation did."""

    output: Path
    files: Sequence[str]
    opset: int | None
    before: Size
    after: Size
    rules: dict[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """The same as plain values."""
        sizes = {when: {"nodes": s.nodes, "bytes": s.bytes} for when, s in self._sizes()}
        told = {"output": str(self.output), "files": list(self.files), "opset": self.opset}
        return {**told, **sizes, "rules": self.rules, "notes": list(self.notes)}

    def _sizes(self) -> Sequence[tuple[str, Size]]:
        return (("before", self.before), ("after", self.after))


def optimize(request: Request, rules: Sequence[type[Rule]] | None = None) -> Optimized:
    """Optimise an ONNX model of any origin.

    Parameters
    ----------
    request
        What to optimise, and how.
    rules
        Those of the request, where they are known already, as for many models in turn.

    Raises
    ------
    VampconvError
        With the exit code of its kind; the output is then as it was before.

    """
    rules = request.rules() if rules is None else rules
    check_output(request.output, force=request.force)
    with outputs([request.output], force=request.force) as files:
        try:
            made = _staged(request, rules, files)
        except ir.serde.SerdeError as error:
            raise reason_of(error) from None
    size = sum((request.output.parent / name).stat().st_size for name in made.files)
    return replace(made, after=replace(made.after, bytes=size))


def _staged(request: Request, rules: Sequence[type[Rule]], files: Outputs) -> Optimized:
    """The optimised model, written but not in place."""
    proto = read(request.path)
    notes: list[str] = []
    if request.opset is not None:
        proto = at_opset(proto, request.opset, request.path)
    before = Size(sum(len(graph.node) for graph in graphs_of(proto.graph)), _bytes(proto))
    files.require_room(before.bytes, before.bytes)
    opset = _opset(proto)
    found = _compiled(proto, request.path.parent, rules, notes)
    if found is None:
        names = write_unchanged(proto, request.path.parent, request.output, files)
        return Optimized(request.output, names, opset, before, before, {}, notes)
    model, fired = found
    names = write_model(model, request.output, files, external=_is_external(proto))
    after = Size(sum(1 for _ in ir.traversal.RecursiveGraphIterator(model.graph)), 0)
    return Optimized(request.output, names, opset, before, after, fired, notes)


def _compiled(
    proto: onnx.ModelProto, directory: Path, rules: Sequence[type[Rule]], notes: list[str]
) -> tuple[ir.Model, dict[str, int]] | None:
    """The optimised graph and how often each rule fired, or None where the model must stay as it is."""
    opset, reason = _opset(proto), obstacle(proto)
    if reason is None and (opset is None or opset < OLDEST_RAISED):
        reason = f"its opset is {opset}" if opset else "it imports no standard operations"
        reason += f", and rules are for {OLDEST_RAISED} and newer"
    options = Options(opset or 0, rules=rules)
    while reason is None:
        try:
            model = as_graph(proto, directory)
        except (ir.serde.SerdeError, NotImplementedError) as error:
            reason = f"it holds what the rewriter cannot carry ({error.__cause__ or error})"
            break
        try:
            return model, optimize_graph(model, options).counts()
        except LeftoverError as error:
            if not error.raising:
                raise
            notes.append(f"{', '.join(sorted(error.raising))} withheld: {error.problem}")
            options = replace(options, rules=[r for r in options.rules if r.__name__ not in error.raising])
    notes.append(f"left as it is: {reason}")
    return None


def _opset(proto: onnx.ModelProto) -> int | None:
    return next((e.version for e in proto.opset_import if e.domain in ("", "ai.onnx")), None)


def _is_external(proto: onnx.ModelProto) -> bool:
    return any(True for _ in external_tensors(proto))


def _bytes(proto: onnx.ModelProto) -> int:
    told = ({e.key: e.value for e in t.external_data} for t in external_tensors(proto))
    return proto.ByteSize() + sum(int(entry.get("length") or 0) for entry in told)
