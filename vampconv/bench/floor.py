"""The floor of a model: its matrix products and convolutions alone, each with random inputs of the same shape.

What a graph costs beyond this is not in its products: norms, activations, softmax, and moving data about.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper

from vampconv.bench.products import (
    ATTENTIONS,
    attention_shapes,
    constants,
    makers,
    operands,
    products,
    random_like,
    tapped,
)

Array = NDArray[Any]
Feeds = Mapping[str, Array]
FOLDER = "session.model_external_initializers_file_folder_path"


class Floor:
    """The products of one model.

    The weights are the model's own. Each product has inputs of its own, so that none can be shared, and all of one
    shape and type are the same array. Only an element of each result is put out, so that memory is used again.

    Parameters
    ----------
    path
        The ONNX file.
    threads
        Of ONNX Runtime.

    """

    def __init__(self, path: Path, threads: int) -> None:
        self.path, self.threads = path, threads
        self.model = onnx.load(path, load_external_data=False)
        self.constants = constants(self.model.graph)
        self._last: tuple[Any, Any, dict[str, Array]] | None = None

    def prepare(self, feeds: Feeds) -> tuple[Any, dict[str, Array]]:
        """A session of the products as they are for these inputs of the model, and what to feed it."""
        key = {name: x.shape for name, x in feeds.items()}
        if self._last is None or self._last[0] != key:
            self._last = None  # one session in memory at a time
            graph, inputs = self.isolate(*self._record(feeds))
            self._last = key, self._session(graph.SerializeToString()), fill(inputs)
        return self._last[1:]

    def isolate(
        self, shapes: Mapping[str, tuple[int, ...]], samples: Mapping[str, Array]
    ) -> tuple[onnx.ModelProto, dict[str, tuple[tuple[int, ...], Array]]]:
        """The graph of the products, and its inputs: shape, and an element that tells the type.

        Parameters
        ----------
        shapes, samples
            Of the operands that are not constant, by name.

        """
        inputs: dict[str, tuple[tuple[int, ...], Array]] = {}
        nodes: list[onnx.NodeProto] = []
        needed: list[str] = []

        def put(shape: tuple[int, ...], sample: Array) -> str:
            inputs[f"x{len(inputs)}"] = shape, sample
            return f"x{len(inputs) - 1}"

        for node in products(self.model.graph):
            if (node.domain, node.op_type) in ATTENTIONS:
                sample = samples[node.input[0]]
                pairs = attention_shapes(node, shapes)
                nodes += [helper.make_node("MatMul", [put(s, sample) for s in pair], ["y"]) for pair in pairs]
                continue
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            given = [n if not n or n in self.constants else put(shapes[n], samples[n]) for n in node.input]
            needed += [name for name in given if name in self.constants]
            copy.input[:] = given
            nodes.append(copy)
        return self._model(nodes, needed, inputs), inputs

    def _model(
        self,
        nodes: list[onnx.NodeProto],
        needed: list[str],
        inputs: Mapping[str, tuple[tuple[int, ...], Array]],
    ) -> onnx.ModelProto:
        """The model of these nodes, what makes their constants, and a look at an element of each result."""
        before = {node.output[0]: node for node in makers(needed, self.constants)}
        used = {name for node in (*before.values(), *nodes) for name in node.input}
        weights = [i for i in self.model.graph.initializer if i.name in used]
        weights += [helper.make_tensor(f"at.{i}", onnx.TensorProto.INT64, [1], [i]) for i in (-1, 0, 1)]
        after, outputs = list(before.values()), []
        for i, node in enumerate(nodes):
            node.output[:] = [f"y{i}"]
            node.name = f"product{i}"
            after.append(node)
            after.append(helper.make_node("Reshape", [f"y{i}", "at.-1"], [f"flat{i}"]))
            after.append(helper.make_node("Slice", [f"flat{i}", "at.0", "at.1"], [f"first{i}"]))
            outputs.append(onnx.ValueInfoProto(name=f"first{i}"))
        ports = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(np.asarray(sample).dtype), [None] * len(shape)
            )
            for name, (shape, sample) in inputs.items()
        ]
        graph = helper.make_graph(after, "products", ports, [], weights)
        graph.output.extend(outputs)
        return helper.make_model(
            graph, opset_imports=self.model.opset_import, ir_version=self.model.ir_version
        )

    def _record(self, feeds: Feeds) -> tuple[dict[str, tuple[int, ...]], dict[str, Array]]:
        """Shapes and first elements of the operands that are not constant, in a run of the model."""
        nodes = products(self.model.graph)
        names = list(dict.fromkeys(n for node in nodes for n in operands(node) if n not in self.constants))
        session = self._session(tapped(self.model, names).SerializeToString())
        found = session.run(None, dict(feeds))
        shapes = {name: tuple(int(n) for n in found[2 * i]) for i, name in enumerate(names)}
        return shapes, {name: found[2 * i + 1] for i, name in enumerate(names)}

    def _session(self, content: bytes) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 4
        options.add_session_config_entry(FOLDER, str(self.path.parent.resolve()))
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def fill(inputs: Mapping[str, tuple[tuple[int, ...], Array]]) -> dict[str, Array]:
    """Random arrays of these shapes and types, one for all that have both in common."""
    random, made = np.random.default_rng(0), {}
    keys = {name: (shape, np.asarray(sample).dtype) for name, (shape, sample) in inputs.items()}
    for key in keys.values():
        if key not in made:
            made[key] = random_like(*key, random)
    return {name: made[key] for name, key in keys.items()}
