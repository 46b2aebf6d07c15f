"""Tensors and attributes of ONNX in torch, and the operators that make values of a stated type.

Wherever ONNX says float16, bfloat16 or float32, the precision that is worked in stands; float64 stays float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import Tensor

SHORTER_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16})
TYPES: Mapping[int, torch.dtype] = {
    TensorProto.DOUBLE: torch.float64,
    TensorProto.BOOL: torch.bool,
    TensorProto.INT8: torch.int8,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT8: torch.uint8,
    TensorProto.UINT16: torch.uint16,
    TensorProto.UINT32: torch.uint32,
    TensorProto.UINT64: torch.uint64,
}
TYPE_ATTRIBUTES = frozenset({"to", "dtype"})


def torch_type(element: int, working: torch.dtype) -> torch.dtype:
    """The type that stands for an ONNX element type.

    Raises
    ------
    ValueError
        For strings, complex numbers and the types of less than a byte.

    """
    if element in SHORTER_FLOATS:
        return working
    if element not in TYPES:
        raise ValueError(f"element type {TensorProto.DataType.Name(element)} is not evaluated")
    return TYPES[element]


def read_tensor(proto: TensorProto, working: torch.dtype, directory: Path = Path()) -> Tensor:
    """A tensor of a model; external data is read from `directory` and kept nowhere else.

    Raises
    ------
    ValueError
        If its data are not there, or of a type that is not evaluated.

    """
    own = TensorProto()
    own.CopyFrom(proto)
    try:
        array = onnx.numpy_helper.to_array(own, str(directory))
    except (OSError, onnx.checker.ValidationError) as error:
        raise ValueError(f"the data of {proto.name} cannot be read") from error
    exact = array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else np.array(array)
    return torch.from_numpy(exact).to(torch_type(proto.data_type, working))


def read_attributes(node: onnx.NodeProto, working: torch.dtype) -> dict[str, Any]:
    """The attributes of a node: numbers, text, lists, tensors; element types as those of torch."""
    found = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, TensorProto):
            value = read_tensor(value, working)
        elif attribute.name in TYPE_ATTRIBUTES:
            value = torch_type(value, working)
        found[attribute.name] = value
    return found


def cast(x: Tensor, *, to: torch.dtype) -> Tensor:
    return x.to(to)


def cast_like(x: Tensor, like: Tensor) -> Tensor:
    return x.to(like.dtype)


def constant(
    *,
    working: torch.dtype,
    value: Tensor | None = None,
    value_float: float | None = None,
    value_floats: list[float] | None = None,
    value_int: int | None = None,
    value_ints: list[int] | None = None,
) -> Tensor:
    if value is not None:
        return value
    if value_int is not None or value_ints is not None:
        return torch.tensor(value_ints if value_int is None else value_int, dtype=torch.int64)
    return torch.tensor(value_floats if value_float is None else value_float, dtype=working)


def constant_of_shape(shape: Tensor, *, working: torch.dtype, value: Tensor | None = None) -> Tensor:
    fill = torch.zeros(1, dtype=working) if value is None else value
    return fill.reshape(()).repeat(tuple(shape.tolist()))


def arange(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    """``start + i·delta`` up to, and without, `limit`."""
    if start.is_floating_point():
        count = math.ceil((limit.item() - start.item()) / delta.item())
    else:
        count = len(range(int(start), int(limit), int(delta)))
    return start + torch.arange(max(count, 0)).to(start.dtype) * delta


OPERATORS: Mapping[str, Callable[..., Any]] = {
    "Cast": cast,
    "CastLike": cast_like,
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "Range": arange,
}
