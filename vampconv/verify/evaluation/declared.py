"""An ONNX graph in the types that it declares, float16 among them, for processors without arithmetic in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from onnx import TensorProto
from torch import Tensor

from vampconv.verify.evaluation.evaluator import Evaluator


class AsDeclared(Evaluator):
    """Like `Evaluator` in float32, but what the graph has in float16 is computed in that, and rounded to it."""

    def __init__(self, model: onnx.ModelProto, directory: Path) -> None:
        super().__init__(model, directory, torch.float32)

    def _run(self, index: int, known: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[Tensor]:
        node = self._nodes[index]
        narrows = any(a.name == "to" and a.i == TensorProto.FLOAT16 for a in node.attribute)
        if node.op_type == "Cast" and narrows:
            return [self._argument(node.input[0], known, found, self.dtype).to(torch.float16)]
        return super()._run(index, known, found)

    def _argument(
        self, name: str, known: Mapping[str, Tensor], found: Mapping[str, Tensor], working: torch.dtype
    ) -> Tensor:
        x = known[name] if name in known else self._value(name, found)
        return x if x.dtype == torch.float16 else super()._argument(name, known, found, working)

    def _value(self, name: str, found: Mapping[str, Tensor]) -> Tensor:
        x = super()._value(name, found)
        is_half = name not in found and self._initializers[name].data_type == TensorProto.FLOAT16
        return x.to(torch.float16) if is_half else x


def has_float16(model: onnx.ModelProto) -> bool:
    """Whether anything in the main graph is narrowed to float16."""
    return any(
        node.op_type == "Cast" and any(a.name == "to" and a.i == TensorProto.FLOAT16 for a in node.attribute)
        for node in model.graph.node
    )
