"""Element types: the names that torch and safetensors give them, and what they are in numpy."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

TORCH: dict[str, np.dtype[Any]] = {
    f"torch.{name}": np.dtype(kind)
    for name, kind in {
        "float64": np.float64,
        "double": np.float64,
        "float32": np.float32,
        "float": np.float32,
        "float16": np.float16,
        "half": np.float16,
        "bfloat16": ml_dtypes.bfloat16,
        "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
        "float8_e5m2": ml_dtypes.float8_e5m2,
        "float8_e4m3fnuz": ml_dtypes.float8_e4m3fnuz,
        "float8_e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
        "int64": np.int64,
        "long": np.int64,
        "int32": np.int32,
        "int": np.int32,
        "int16": np.int16,
        "short": np.int16,
        "int8": np.int8,
        "uint8": np.uint8,
        "uint16": np.uint16,
        "uint32": np.uint32,
        "uint64": np.uint64,
        "bool": np.bool_,
    }.items()
}
"""numpy's dtype for ``torch.NAME``."""

OTHER_TORCH = frozenset(
    f"torch.{name}"
    for name in (
        *("complex32", "complex64", "complex128", "chalf", "cfloat", "cdouble"),
        *("qint8", "quint8", "qint32", "quint4x2", "quint2x4"),
    )
)
"""Names of torch dtypes that have no counterpart here."""

STORAGES: dict[str, np.dtype[Any]] = {
    f"torch.{kind}Storage": TORCH[f"torch.{name}"]
    for kind, name in {
        "Double": "float64",
        "Float": "float32",
        "Half": "float16",
        "BFloat16": "bfloat16",
        "Long": "int64",
        "Int": "int32",
        "Short": "int16",
        "Char": "int8",
        "Byte": "uint8",
        "Bool": "bool",
    }.items()
}
"""The element type of each typed storage class."""

UNTYPED = frozenset(
    f"{module}.{name}"
    for module in ("torch", "torch.storage")
    for name in ("UntypedStorage", "_UntypedStorage")
)
"""Storage classes whose size counts bytes, and whose elements are bytes unless the tensor has a dtype."""

SAFETENSORS: dict[str, np.dtype[Any]] = {
    "F64": TORCH["torch.float64"],
    "F32": TORCH["torch.float32"],
    "F16": TORCH["torch.float16"],
    "BF16": TORCH["torch.bfloat16"],
    "F8_E4M3": TORCH["torch.float8_e4m3fn"],
    "F8_E5M2": TORCH["torch.float8_e5m2"],
    "I64": TORCH["torch.int64"],
    "I32": TORCH["torch.int32"],
    "I16": TORCH["torch.int16"],
    "I8": TORCH["torch.int8"],
    "U64": TORCH["torch.uint64"],
    "U32": TORCH["torch.uint32"],
    "U16": TORCH["torch.uint16"],
    "U8": TORCH["torch.uint8"],
    "BOOL": TORCH["torch.bool"],
}
"""numpy's dtype for each safetensors dtype."""
