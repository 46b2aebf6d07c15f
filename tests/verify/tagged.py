"""Small graphs whose nodes say which values of a model they are."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from vampconv.dialect.builder import FUSED, MODULE, VALUE
from vampconv.rewrite.trace import RULES


def node(op, inputs, outputs, value="", fused="", module="", rules=""):
    """A node with metadata; inputs and outputs are names, separated by blanks."""
    made = helper.make_node(op, inputs.split(" "), outputs.split(" "))
    for key, text in ((VALUE, value), (FUSED, fused), (MODULE, module), (RULES, rules)):
        if text:
            made.metadata_props.add(key=key, value=text)
    return made


def graph(*nodes, outputs="y"):
    """A model of float vectors that takes ``x``."""
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", *outputs.split(" "))
    ]
    made = helper.make_graph(list(nodes), "g", ports[:1], ports[1:])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def untag(model, name, key=VALUE):
    """Take a key of its metadata from the node that makes a value."""
    maker = next(n for n in model.graph.node if name in n.output)
    kept = [p for p in maker.metadata_props if p.key != key]
    assert len(kept) < len(maker.metadata_props)
    del maker.metadata_props[:]
    maker.metadata_props.extend(kept)
    return model


def load(path):
    """The model of a file, without its data."""
    return onnx.load(path, load_external_data=False)
