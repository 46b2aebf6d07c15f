"""The stages that a graph passes through, each with what may remain after it."""

from __future__ import annotations

import enum

from vampconv.dialect import DOMAIN


class Stage(enum.Enum):
    """A named stage; its value is the set of op domains that may remain when it ends."""

    RAISE = ("raise", frozenset({"", DOMAIN}))
    """From plain ONNX of any origin to ``vamp``: only in ``vampconv optimize``, never in a conversion."""
    CANONICAL = ("canonical", frozenset({"", DOMAIN}))
    """Within the dialect: what does nothing vanishes, what is computed twice is shared."""
    LOWER = ("lower", frozenset({""}))
    """From ``vamp`` to standard ONNX of the chosen opset."""
    TARGET = ("target", frozenset({""}))
    """Fusions for a runtime."""

    @property
    def label(self) -> str:
        return self.value[0]

    @property
    def domains(self) -> frozenset[str]:
        return self.value[1]
