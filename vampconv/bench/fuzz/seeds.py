"""The small files that are mutated, one of each kind that the reader takes."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from vampconv.bench.fuzz.containers import rebuilt, records_of


@dataclass(frozen=True)
class Seed:
    """A sound file; `checked` if a checksum or a strict rule covers all that is read of it."""

    name: str
    content: bytes
    checked: bool = True


STATE = {"w": torch.arange(4.0).reshape(2, 2).t(), "on": torch.tensor([True, False])}
METADATA = {
    "kwargs": {"n": 2, "f": np.float64(0.5), "s": np.str_("é"), "a": np.arange(3)},
    "path": pathlib.PurePosixPath("/a"),
    "size": torch.Size([1, 2]),
    "dtype": torch.float16,
    "tuple": (1, [2, {3}]),
}


def seeds() -> list[Seed]:
    """All of them, the same ones each time; the first as `torch.save` writes it, others without what is not needed."""
    found = [
        Seed("whole", saved({"state_dict": STATE, "metadata": {"kwargs": {"n": 1, "f": np.float64(0.5)}}}))
    ]
    found += [
        Seed(f"protocol {protocol}", tiny({"state_dict": {"w": STATE["w"]}, "metadata": METADATA}, protocol))
        for protocol in (2, 3, 4, 5)
    ]
    found.append(Seed("bare", tiny({**STATE, "e": torch.empty(0), "h": torch.ones(3).half()})))
    lightning = {
        "pytorch-lightning_version": "1.9.0",
        "state_dict": STATE,
        "hyper_parameters": {"stride": 2, "x": torch.ones(1)},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}}],
    }
    found.append(Seed("lightning", tiny(lightning)))
    module = saved(torch.nn.Linear(2, 1))
    found.append(Seed("module", without_more(module)))
    found.append(Seed("package", packaged(module)))
    metadata = {"kwargs": json.dumps({"n": [1, 2]}), "format": "pt"}
    dense = {name: tensor.contiguous() for name, tensor in STATE.items()}
    found.append(Seed("safetensors", save(dense, metadata), checked=False))
    return found


def tiny(value: Mapping[str, Any], protocol: int = 2) -> bytes:
    """What `torch.save` writes, as far as it is needed."""
    return without_more(saved(value, protocol))


def without_more(content: bytes) -> bytes:
    """An archive with its pickle and storages alone."""
    kept = [(n, d) for n, d in records_of(content) if n.endswith("/data.pkl") or "/data/" in n]
    return rebuilt(kept)


def saved(value: Mapping[str, Any] | torch.nn.Module, protocol: int = 2) -> bytes:
    """What `torch.save` writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer, pickle_protocol=protocol)
    return buffer.getvalue()


def packaged(content: bytes) -> bytes:
    """A saved module as ``torch.package`` lays it out."""
    names = {"data.pkl": "Model/Model.pth", "version": ".data/version", "byteorder": ".data/byteorder"}
    moved = []
    for name, data in records_of(content):
        top, _, rest = name.partition("/")
        if rest.startswith("data/"):
            moved.append((f"{top}/.data/{rest.removeprefix('data/')}.storage", data))
        elif rest in names:
            moved.append((f"{top}/{names[rest]}", data))
    source = b"raise SystemExit"
    return rebuilt([*moved, ("archive/.data/extern_modules", b"torch\n"), ("archive/model.py", source)])
