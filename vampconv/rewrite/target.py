"""What a graph can be compiled for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A kind of runtime.

    Attributes
    ----------
    name
        ``--target`` takes it; rules see it as ``m.target``.
    domains
        Domains of the ops that it runs: only they may remain in the end.

    """

    name: str
    domains: frozenset[str] = frozenset({""})


PORTABLE = Target("portable")
"""Standard ONNX alone."""

ORT = Target("ort", frozenset({"", "com.microsoft"}))
"""ONNX Runtime, with the operations that it adds to the standard."""
