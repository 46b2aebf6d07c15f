"""vampconv compiles VampNet checkpoints to ONNX and accounts for every tensor."""

import os

__version__ = "0.1.0"

# ONNX Runtime would leave a file in the user's home, write to stderr where it cannot, and report to its maker.
# It looks at this when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
