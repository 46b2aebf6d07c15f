"""Attributes of nodes."""

from __future__ import annotations

from typing import Any

import onnx


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes, as Python values."""
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
