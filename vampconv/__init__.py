"""vampconv compiles VampNet checkpoints to ONNX and accounts for every tensor."""

__version__ = "0.1.0"
