"""``python -m vampconv.bench.quantise MODEL OUTPUT``: a model with its products in 8 bits, as ONNX Runtime makes it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic


def main(model: Path, output: Path) -> None:
    """Weights by channel, activations as they come."""
    logging.disable(logging.WARNING)
    large = model.with_name(f"{model.name}.data").exists()
    quantize_dynamic(
        model,
        output,
        op_types_to_quantize=["MatMul", "Gemm"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=large,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
