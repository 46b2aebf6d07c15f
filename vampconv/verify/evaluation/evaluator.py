"""Values of an ONNX graph, computed in torch from its inputs or from whatever is known already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import onnx
import torch
from onnx import NodeProto, TensorProto
from torch import Tensor

from vampconv.dialect.builder import MODULE
from vampconv.errors import VerificationError
from vampconv.verify.evaluation.constants import read_tensor
from vampconv.verify.evaluation.operators import UnknownOperatorError, run_node

__all__ = ["Evaluator", "MissingValueError", "UnknownOperatorError"]

SMALL = 1 << 14
"""Elements of the largest initializer that is kept."""


class MissingValueError(VerificationError):
    """A value is needed that is not known, and that no node computes."""

    def __init__(self, name: str) -> None:
        super().__init__(f"nothing gives the value {name!r} of the graph", "give it among the known ones")
        self.name = name


class Evaluator:
    """An ONNX graph, evaluated value by value in torch.

    All floats are computed in `dtype`, whatever ONNX declares, with two exceptions: float64 stays float64,
    and a module that casts float32 to float64 means the rounded number (the noise embedding's sines hang on
    it), so that what leads to the cast within the module is computed in float32.

    Parameters
    ----------
    model
        Of standard ONNX and the dialect's ops, its nodes in topological order.
    directory
        Where its external data lies. It is read when it is used; small initializers are then kept.
    dtype
        ``torch.float64`` or ``torch.float32``.

    """

    def __init__(self, model: onnx.ModelProto, directory: Path, dtype: torch.dtype = torch.float64) -> None:
        graph = model.graph
        self.dtype = dtype
        self.directory = directory
        self._nodes = list(graph.node)
        self._makers = {name: i for i, node in enumerate(self._nodes) for name in node.output if name}
        self._initializers = {tensor.name: tensor for tensor in graph.initializer}
        self._inputs = {value.name for value in graph.input} - self._initializers.keys()
        values = (*graph.input, *graph.value_info, *graph.output)
        self._types = {value.name: value.type.tensor_type.elem_type for value in values}
        self._in_float32 = frozenset(self._before_casts_to_double())
        self._kept: dict[str, Tensor] = {}

    def values(self, wanted: Iterable[str], known: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Compute values of the graph, and nothing that they do not need.

        Parameters
        ----------
        wanted
            Names of values: of nodes' outputs, initializers, or among `known`.
        known
            Inputs of the graph, and any other of its values: these are taken as they are.

        Raises
        ------
        MissingValueError
            If a value is needed that is not known and cannot be computed.
        UnknownOperatorError
            If a node that is needed cannot be evaluated.
        IndexError, RuntimeError, ValueError
            If a node fails on its inputs, as it would in any runtime; with the node in the notes.

        """
        wanted = list(dict.fromkeys(wanted))
        region, borders = self._region(wanted, known)
        if borders - known.keys():
            raise MissingValueError(min(borders - known.keys()))
        uses = Counter(wanted)
        for index in region:
            uses.update(set(self._nodes[index].input))
        found: dict[str, Tensor] = {}
        with torch.no_grad():
            for index in region:
                node = self._nodes[index]
                results = zip(node.output, self._run(index, known, found), strict=False)
                found |= {name: x for name, x in results if name and uses[name] and name not in known}
                uses.subtract(set(node.input))
                for name in node.input:
                    if not uses[name]:
                        found.pop(name, None)
            return {name: known[name] if name in known else self._value(name, found) for name in wanted}

    def needs(self, wanted: Iterable[str], known_names: Collection[str]) -> set[str]:
        """The known values, and inputs of the graph, that computing the wanted ones reads."""
        return self._region(wanted, known_names)[1]

    def nodes(self, wanted: Iterable[str], known_names: Collection[str]) -> list[NodeProto]:
        """The nodes that computing the wanted values runs, in order."""
        return [self._nodes[index] for index in self._region(wanted, known_names)[0]]

    def _region(self, wanted: Iterable[str], known: Collection[str]) -> tuple[list[int], set[str]]:
        """Indices of the nodes between the wanted values and the known ones or the graph's inputs; and those."""
        region: set[int] = set()
        borders: set[str] = set()
        todo = list(wanted)
        while todo:
            name = todo.pop()
            if name in known or name in self._inputs:
                borders.add(name)
            elif name in self._makers:
                if self._makers[name] not in region:
                    region.add(self._makers[name])
                    todo.extend(n for n in self._nodes[self._makers[name]].input if n)
            elif name not in self._initializers:
                raise MissingValueError(name)
        return sorted(region), borders

    def _run(self, index: int, known: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[Tensor]:
        node = self._nodes[index]
        working = torch.float32 if index in self._in_float32 else self.dtype
        inputs = [self._argument(name, known, found, working) if name else None for name in node.input]
        try:
            return run_node(node, inputs, working)
        except (IndexError, RuntimeError, ValueError) as error:
            error.add_note(f"in {node.op_type} {node.name}")
            raise

    def _argument(
        self, name: str, known: Mapping[str, Tensor], found: Mapping[str, Tensor], working: torch.dtype
    ) -> Tensor:
        """A value in the precision that is worked in, unless it is float64 by its own declaration."""
        if name in known:
            x = known[name]
            keeps = self._types.get(name) == TensorProto.DOUBLE
        else:
            x = self._value(name, found)
            keeps = x.dtype == torch.float64 and self.dtype != torch.float64
        return x.to(torch.float64 if keeps else working) if x.is_floating_point() else x

    def _value(self, name: str, found: Mapping[str, Tensor]) -> Tensor:
        if name in found:
            return found[name]
        if name not in self._kept:
            tensor = read_tensor(self._initializers[name], self.dtype, self.directory)
            if tensor.numel() > SMALL:
                return tensor
            self._kept[name] = tensor
        return self._kept[name]

    def _before_casts_to_double(self) -> Iterator[int]:
        """Indices of the nodes that lead to a cast from float32 to float64 within its module."""
        modules = [
            next((p.value for p in node.metadata_props if p.key == MODULE), None) for node in self._nodes
        ]
        todo = [i for i, node in enumerate(self._nodes) if _casts_to_double(node)]
        seen: set[int] = set()
        while todo:
            index = todo.pop()
            for name in self._nodes[index].input:
                maker = self._makers.get(name)
                if maker is None or maker in seen or modules[maker] != modules[index]:
                    continue
                if self._types.get(name, 0) in (TensorProto.UNDEFINED, TensorProto.FLOAT):
                    seen.add(maker)
                    yield maker
                    if self._nodes[maker].op_type != "Cast":
                        todo.append(maker)


def _casts_to_double(node: NodeProto) -> bool:
    return node.op_type == "Cast" and any(
        a.name == "to" and a.i == TensorProto.DOUBLE for a in node.attribute
    )
