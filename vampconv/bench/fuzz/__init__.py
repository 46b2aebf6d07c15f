"""Mutations of small checkpoints through the reader: no escape, no hang, no value that is not the file's."""

from vampconv.bench.fuzz.run import Findings, fuzz

__all__ = ["Findings", "fuzz"]
