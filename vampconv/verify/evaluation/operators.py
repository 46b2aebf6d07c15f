"""The ONNX operators that can be evaluated in torch, and those of the dialect by their meaning."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor

from vampconv.dialect import DOMAIN, OPS
from vampconv.errors import VerificationError
from vampconv.verify.evaluation import (
    constants,
    contrib,
    elementwise,
    indexing,
    layer,
    layout,
    product,
    quantized,
    reduction,
)
from vampconv.verify.evaluation.constants import read_attributes

Operator = Callable[..., Any]
"""Takes a node's inputs in order, None for one left out, and its attributes by keyword; gives a tensor or several."""

OPERATORS: Mapping[str, Operator] = {
    **constants.OPERATORS,
    **elementwise.OPERATORS,
    **indexing.OPERATORS,
    **layer.OPERATORS,
    **layout.OPERATORS,
    **product.OPERATORS,
    **quantized.OPERATORS,
    **reduction.OPERATORS,
}
"""By op type, as they are from opset 17 on."""

CONTEXT = frozenset({"working", "outputs"})
"""What an operator may ask for beside its inputs and attributes: the precision, and how many outputs are wanted."""


class UnknownOperatorError(VerificationError):
    """A node cannot be evaluated: its operator is not known, or not in this form."""

    def __init__(self, domain: str, op_type: str, name: str) -> None:
        kind = f"{domain or 'ai.onnx'}.{op_type}"
        super().__init__(
            f"node {name or '(unnamed)'} is {kind}, which is not evaluated, or not with these attributes",
            "add it to vampconv/verify/evaluation",
        )
        self.domain, self.op_type, self.name = domain, op_type, name


def knows(node: onnx.NodeProto) -> bool:
    """Whether a node's operator is known, in this form: with these inputs and attributes."""
    if node.domain == DOMAIN:
        return node.op_type in OPS
    operator = _operator(node)
    if operator is None:
        return False
    signature = _signature(operator)
    attributes = {a.name for a in node.attribute}
    if signature is None:
        return not attributes and "" not in node.input
    asked = CONTEXT & _keywords(operator)
    if not attributes <= _keywords(operator) - asked:
        return False
    try:
        signature.bind(*node.input, **dict.fromkeys(attributes | asked))
    except TypeError:
        return False
    return True


def run_node(node: onnx.NodeProto, inputs: Sequence[Tensor | None], working: torch.dtype) -> list[Tensor]:
    """The outputs of a node.

    Raises
    ------
    UnknownOperatorError
        If its operator is not known, or not with these inputs, attributes and outputs.

    """
    if not knows(node):
        raise UnknownOperatorError(node.domain, node.op_type, node.name)
    attributes = read_attributes(node, working)
    operator = _operator(node)
    if operator is None:
        return [_by_meaning(node.op_type, inputs, attributes, working)]
    context = {"working": working, "outputs": len(node.output)}
    asked = {name: context[name] for name in CONTEXT & _keywords(operator)}
    results = operator(*inputs, **attributes, **asked)
    found = list(results) if isinstance(results, tuple) else [results]
    if len(found) < len(node.output):
        raise UnknownOperatorError(node.domain, node.op_type, node.name)
    return found


def _operator(node: onnx.NodeProto) -> Operator | None:
    if node.domain == contrib.DOMAIN:
        return contrib.OPERATORS.get(node.op_type)
    return OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None


def _by_meaning(
    op_type: str, inputs: Sequence[Tensor | None], attributes: Mapping[str, Any], working: torch.dtype
) -> Tensor:
    wide = [x.double() if x is not None and x.is_floating_point() else x for x in inputs]
    arrays = [None if x is None else x.numpy(force=True) for x in wide]
    found = torch.from_numpy(np.array(OPS[op_type].meaning(*arrays, **attributes)))
    return found.to(working) if found.is_floating_point() else found


@cache
def _signature(operator: Operator) -> inspect.Signature | None:
    try:
        return inspect.signature(operator)
    except ValueError:  # one of torch's own, which takes tensors only
        return None


@cache
def _keywords(operator: Operator) -> frozenset[str]:
    signature = _signature(operator)
    parameters = signature.parameters.values() if signature else ()
    return frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)
