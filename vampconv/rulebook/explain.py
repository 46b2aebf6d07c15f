"""Where a node, value, weight or checkpoint tensor of a bundle comes from, and what it became."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from vampconv.dialect.builder import FUSED, VALUE
from vampconv.emit.manifest import read_manifest
from vampconv.errors import InputOutputError, UsageError
from vampconv.files.models import LONGEST_MODEL
from vampconv.files.regular import read_regular
from vampconv.rewrite import Rule
from vampconv.rewrite.trace import module_of, rules_of
from vampconv.rulebook.catalogue import first_line
from vampconv.rulebook.portrait import place

LISTED = 5
"""Names that are suggested for one that is not there."""


@dataclass(frozen=True)
class Maker:
    """A rule that had a hand in a node; `doc` and `file` where the rule is at hand."""

    name: str
    doc: str = ""
    file: str = ""
    line: int = 0


@dataclass(frozen=True)
class WeightFacts:
    """An initializer: the expression that it was computed by, and the checkpoint tensors in it."""

    name: str
    expression: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """One thing of a bundle that goes by the name that was asked for.

    Attributes
    ----------
    kind
        ``node``, ``value``, ``weight``, ``input``, ``module``, or ``checkpoint tensor``.
    where
        The model's file, or the checkpoint.
    values, fused
        Which values of the PyTorch model the node's first output is, and which vanished in it.
    weights
        That the node (or the nodes of the module) read, or that the checkpoint tensor is in.
    nodes
        The nodes of a module; those that read a weight.

    """

    kind: str
    name: str
    where: str
    op: str = ""
    module: str = ""
    rules: tuple[Maker, ...] = ()
    values: tuple[str, ...] = ()
    fused: tuple[str, ...] = ()
    weights: tuple[WeightFacts, ...] = ()
    nodes: tuple[str, ...] = ()
    fate: str = ""
    reason: str = ""
    inputs: tuple[str, ...] = field(default=())
    outputs: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """Plain values, without what is empty."""
        return {key: value for key, value in asdict(self).items() if value}


def explain(bundle: Path, name: str, rules: Iterable[type[Rule]] = ()) -> list[Explanation]:
    """Everything in a bundle that goes by a name; ``part:name`` looks in one model or checkpoint only.

    Raises
    ------
    InputOutputError
        If the bundle cannot be read.
    UsageError
        If nothing is called so; with the nearest names.

    """
    content = read_manifest(bundle)
    known = {rule.__name__: rule for rule in rules}
    sources = [_Model(bundle, part, entry, known) for part, entry in content["models"].items()]
    checkpoints = [_Checkpoint(entry, sources) for entry in content["checkpoints"]]
    found: list[Explanation] = []
    names: list[str] = []
    everything: list[_Model | _Checkpoint] = [*sources, *checkpoints]
    for source in everything:
        inner = source.inner(name)
        if inner is not None:
            found += list(source.explain(inner))
            names += source.names()
    if not found:
        near = get_close_matches(name, dict.fromkeys(names), n=LISTED, cutoff=0.5)
        near = near or [n for n in dict.fromkeys(names) if name.lower() in n.lower()][:LISTED]
        hint = f"did you mean {' or '.join(near)}?" if near else "see vampconv inspect"
        raise UsageError(f"{bundle} holds no node, tensor or module {name}", hint)
    return found


class _Model:
    """One model of a bundle, by names."""

    def __init__(
        self, bundle: Path, part: str, entry: Mapping[str, Any], rules: Mapping[str, type[Rule]]
    ) -> None:
        self.part, self.file, self.rules = part, entry["file"], rules
        try:
            proto = onnx.load_model_from_string(read_regular(bundle / self.file, LONGEST_MODEL))
            self.graph = ir.from_proto(proto).graph
        except (ValueError, DecodeError, ir.serde.SerdeError) as error:
            raise InputOutputError(
                f"{bundle / self.file} cannot be read: {error}", "convert again with --force"
            ) from error
        self.rows = {row["name"]: row for row in entry["initializers"]}
        self.nodes = {node.name or "": node for node in self.graph}
        self.values = {v.name or "": node for node in self.graph for v in node.outputs}
        self.modules: dict[str, list[ir.Node]] = {}
        for node in self.graph:
            self.modules.setdefault(module_of(node), []).append(node)
        self.inputs = {v.name or "": v for v in self.graph.inputs}

    def inner(self, name: str) -> str | None:
        """The name within this model, or None if it names another part."""
        part, colon, rest = name.partition(":")
        if colon and part in (self.part, self.file):
            return rest
        return None if colon else name

    def names(self) -> list[str]:
        weights = list(self.graph.initializers)
        return [*self.nodes, *self.values, *weights, *self.inputs, *filter(None, self.modules)]

    def explain(self, name: str) -> Iterator[Explanation]:
        """What goes by the name; a value that is called as its node is told with it."""
        if name in self.nodes:
            yield self._node("node", name, self.nodes[name])
        elif name in self.values:
            yield self._node("value", name, self.values[name])
        if name in self.graph.initializers:
            readers = tuple(n.name or "" for n in self.graph.initializers[name].consumers())
            makers = self._makers(self.rows.get(name, {}).get("rules", ()))
            yield Explanation(
                "weight", name, self.file, rules=makers, weights=(self._weight(name),), nodes=readers
            )
        if name in self.inputs:
            readers = tuple(n.name or "" for n in self.inputs[name].consumers())
            yield Explanation("input", name, self.file, nodes=readers)
        if name and name in self.modules:
            nodes = self.modules[name]
            made_by = dict.fromkeys(rule for node in nodes for rule in rules_of(node))
            yield Explanation(
                "module", name, self.file, rules=self._makers(made_by), weights=self._weights(nodes),
                nodes=tuple(n.name or "" for n in nodes), fused=_words(nodes, FUSED), values=_words(nodes, VALUE),
            )  # fmt: skip

    def _node(self, kind: str, name: str, node: ir.Node) -> Explanation:
        return Explanation(
            kind, name, self.file, node.op_type, module_of(node), self._makers(rules_of(node)),
            _words([node], VALUE), _words([node], FUSED), self._weights([node]),
            inputs=tuple(v.name or "" for v in node.inputs if v is not None),
            outputs=tuple(v.name or "" for v in node.outputs),
        )  # fmt: skip

    def _makers(self, names: Iterable[str]) -> tuple[Maker, ...]:
        return tuple(
            Maker(n, first_line(self.rules[n]), *place(self.rules[n])) if n in self.rules else Maker(n)
            for n in names
        )

    def _weights(self, nodes: Iterable[ir.Node]) -> tuple[WeightFacts, ...]:
        read = (v.name or "" for node in nodes for v in node.inputs if v is not None)
        return tuple(self._weight(n) for n in dict.fromkeys(read) if n in self.rows)

    def _weight(self, name: str) -> WeightFacts:
        row = self.rows.get(name)
        if row is None:
            return WeightFacts(name, "a number that a rule or the frontend wrote down", ())
        return WeightFacts(name, row["expression"], tuple(row["from"]))

    def weight(self, name: str) -> WeightFacts | None:
        """A weight by its name, if this model has it."""
        return self._weight(name) if name in self.rows else None

    def readers(self, name: str) -> list[str]:
        """Nodes that read a weight."""
        value = self.graph.initializers.get(name)
        return [] if value is None else [n.name or "" for n in value.consumers()]


class _Checkpoint:
    """One checkpoint of the ledger."""

    def __init__(self, entry: Mapping[str, Any], models: Iterable[_Model]) -> None:
        self.file = entry["file"]
        self.models = {model.file: model for model in models}
        self.tensors = {tensor["name"]: tensor for tensor in entry["tensors"]}

    def inner(self, name: str) -> str | None:
        """The name within this checkpoint, or None if it names another."""
        part, colon, rest = name.partition(":")
        if colon and part == self.file:
            return rest
        return None if colon else name

    def names(self) -> list[str]:
        return list(self.tensors)

    def explain(self, name: str) -> Iterator[Explanation]:
        """The fate of a tensor: the weights that it is in, and the nodes that read them."""
        if name not in self.tensors:
            return
        tensor = self.tensors[name]
        uses = [use.partition(":") for use in tensor.get("uses", ())]
        weights = [self.models[f].weight(n) for f, _, n in uses if f in self.models]
        nodes = [f"{f}:{n}" for f, _, w in uses if f in self.models for n in self.models[f].readers(w)]
        yield Explanation(
            "checkpoint tensor", name, self.file, weights=tuple(w for w in weights if w is not None),
            nodes=tuple(nodes), fate=tensor["fate"] or "", reason=tensor.get("reason", ""),
        )  # fmt: skip


def _words(nodes: Iterable[ir.Node], key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(w for n in nodes for w in n.metadata_props.get(key, "").split()))
