"""Names and small helpers that several directories of tests share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onnx import GraphProto

from vampconv.opsets import newest

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "fixtures" / "golden"
OPSETS = sorted({17, 18, 20, 23, newest()})
LINE = re.compile(r"vampconv: error\[(\d+)\]: [^\n]+; [^\n]+\n")
"""All that an error may print: what is wrong, and what can be done."""


def manifest(bundle: Path) -> dict[str, Any]:
    return json.loads((bundle / "vampconv.json").read_text(encoding="utf-8"))


def graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph, and the graphs inside it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)
