"""Small graphs and rules to rewrite."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from vampconv.dialect import NodeBuilder, vamp
from vampconv.rewrite import Close, Exact, Rule, Sample, Stage

OPSET = 17


class Graph:
    """Writes a graph of float32 [2, 3, 4] values; `op` builds, `input` and `weight` make values."""

    def __init__(self):
        self.builders = []
        self.inputs = []
        self.weights = []

    def at(self, module):
        self.builders.append(NodeBuilder(module))
        return self.builders[-1]

    def vamp(self, module):
        return vamp(self.at(module))

    def input(self, name, shape=(2, 3, 4), dtype=np.float32):
        kind = ir.TensorType(ir.DataType.from_numpy(np.dtype(dtype)))
        self.inputs.append(ir.Value(name=name, shape=ir.Shape(shape), type=kind))
        return self.inputs[-1]

    def weight(self, name, array):
        builder = self.at("")
        self.weights.append(builder.constant(np.asarray(array, np.float32), name))
        return self.weights[-1]

    def model(self, *outputs, opset=OPSET):
        for index, output in enumerate(outputs):
            if output.name is None or not output.is_graph_input():
                output.name = f"output{index}"
            output.type = output.type or ir.TensorType(ir.DataType.FLOAT)
            output.shape = ir.Shape((2, 3, 4)) if output.shape is None else output.shape
        nodes = [n for b in self.builders for n in b.nodes]
        constants = [c for b in self.builders for c in b.constants]
        for index, constant in enumerate(constants):
            constant.name = constant.name or f"literal{index}"
        graph = ir.Graph(
            self.inputs, outputs, nodes=nodes, initializers=constants, opset_imports={"": opset, "vamp": 1}
        )
        graph.name = "toy"
        graph.sort()
        return ir.Model(graph, ir_version=10)


def types(model):
    """The op types of a graph, in order."""
    return [node.op_type for node in model.graph]


def dangling(model):
    """Inputs of nodes, and outputs of the graph, that nothing in the graph or before it makes."""
    known = {*model.graph.inputs, *model.graph.initializers.values()}
    missing = []
    for node in model.graph:
        missing += [v for v in node.inputs if v is not None and v not in known]
        known.update(node.outputs)
    return missing + [v for v in model.graph.outputs if v not in known]


def rule(name, before, after, **pieces):
    """A rule of these functions."""
    body = {"stage": Stage.CANONICAL, "claim": Exact(), "__module__": __name__}
    functions = {"before": before, "after": after, "evidence": lambda _draw: []} | {
        k: v for k, v in pieces.items() if callable(v) and k in ("require", "evidence")
    }
    body |= {k: staticmethod(v) for k, v in functions.items()}
    return type(name, (Rule,), body | {k: v for k, v in pieces.items() if k not in functions})


class DropFiLM(Rule):
    """FiLM without a condition is nothing."""

    stage, claim = Stage.CANONICAL, Exact()

    @staticmethod
    def before(op, x):
        return vamp(op).FiLM(x)

    @staticmethod
    def after(_op, x):
        return x

    @staticmethod
    def evidence(draw):
        yield Sample(x=draw("batch", "time", 6))


class DoubleTwice(Rule):
    """``(x + x) + (x + x)`` is ``4·x``."""

    stage, claim = Stage.TARGET, Close(rtol=1e-6, atol=0)

    @staticmethod
    def before(op, x):
        twice = op.Add(x, x)
        return op.Add(twice, twice)

    @staticmethod
    def after(op, x):
        return op.Mul(x, 4.0)

    @staticmethod
    def evidence(draw):
        yield Sample(x=draw("batch", "time"))
