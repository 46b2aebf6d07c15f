"""Reads untrusted model files into named lazy tensors and metadata, without running anything in them."""

from vampconv.checkpoint.checkpoint import Checkpoint, open_checkpoint
from vampconv.checkpoint.tensor import CheckpointTensor
from vampconv.checkpoint.values import Opaque

__all__ = ["Checkpoint", "CheckpointTensor", "Opaque", "open_checkpoint"]
