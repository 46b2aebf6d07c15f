"""The same bytes from other processes, threads, BLAS kernels and vector units."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

try:
    from numpy._core._multiarray_umath import __cpu_dispatch__ as DISPATCHED
    from numpy._core._multiarray_umath import __cpu_features__ as FEATURES
except ImportError:  # another numpy: only its threads are varied
    DISPATCHED, FEATURES = [], {}

PROGRAM = textwrap.dedent("""
    import hashlib
    import numpy as np, onnx_ir as ir
    from vampconv.dialect import NodeBuilder, vamp
    from vampconv.dialect.film import noise_frequencies
    from vampconv.passes.pipeline import Options, compile_graph
    from vampconv.plugins import builtin_rules, select_rules

    random = np.random.default_rng(11)
    op = NodeBuilder("m")
    def weight(name, *shape):
        wide = random.standard_normal(shape) * 10.0 ** random.integers(-6, 6, shape)
        return op.constant(wide.astype(np.float32), name)

    x = ir.Value(name="x", shape=ir.Shape(("batch", "time", 96)), type=ir.TensorType(ir.DataType.FLOAT))
    r = ir.Value(name="r", shape=ir.Shape(("batch",)), type=ir.TensorType(ir.DataType.FLOAT))
    lora = vamp(op).LoRA(weight("w", 96, 96), weight("a", 8, 96), weight("b", 96, 8), scale=0.125)
    y = vamp(op).Linear(x, lora)
    normed = vamp(op).WeightNorm(weight("g", 60, 1, 1), weight("v", 60, 96, 1))
    levels = vamp(op).NoiseEmbedding(r, dim=96)
    parts = [weight(n, *s) for n, s in (("gw", (96, 96)), ("gb", (96,)), ("bw", (96, 96)), ("bb", (96,)))]
    y = vamp(op).FiLM(y, levels, *parts)
    y = vamp(op).Classifier(y, normed, weight("bias", 60), n_predict=4)
    y.name = "y"
    table = random.standard_normal((64, 8)).astype(np.float32)
    table[40:] = 2 * table[:24]
    z = vamp(op).Requantize(op.constant(table, "table"))
    z.name = "z"
    for i, c in enumerate(op.constants):
        c.name = c.name or f"literal{i}"
    graph = ir.Graph([x, r], [y, z], nodes=op.nodes, initializers=op.constants, opset_imports={"": 17, "vamp": 1})
    graph.name = "g"
    model = ir.Model(graph, ir_version=10)
    compile_graph(model, Options(rules=select_rules(builtin_rules())))
    digest = hashlib.sha256()
    for name, value in model.graph.initializers.items():
        digest.update(name.encode() + value.const_value.tobytes())
    digest.update(ir.to_proto(model).SerializeToString(deterministic=True))
    for dim in range(4, 600):
        digest.update(noise_frequencies(dim).tobytes())
    print(len(model.graph.initializers), digest.hexdigest())
""")


def child(**variables):
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def plain():
    found = child(PYTHONHASHSEED="0")
    assert int(found.split()[0]) >= 8
    return found


def without(*groups):
    """The vector units that numpy chooses at run time and this machine has, those named with what follows them."""
    present = [f for f in DISPATCHED if FEATURES.get(f)]
    return " ".join(f for f in present if f.startswith(groups))


KERNELS = [{"OPENBLAS_CORETYPE": core} for core in ("Prescott", "Haswell", "SkylakeX")]
THREADS = [{"OPENBLAS_NUM_THREADS": n, "OMP_NUM_THREADS": n, "PYTHONHASHSEED": n} for n in ("1", "2")]
VECTORS = [
    {"NPY_DISABLE_CPU_FEATURES": names}
    for names in dict.fromkeys((without("AVX512", "X86_V4"), without("AVX", "FMA", "X86_V")))
    if names
]


@pytest.mark.parametrize(
    "variables", [*KERNELS, *THREADS, *VECTORS], ids=lambda v: " ".join(f"{k}={v[k]}" for k in v)
)
def test_the_same_bytes_everywhere(plain, variables):
    assert child(**variables) == plain


def test_this_machine_has_vector_units_to_disable():
    if FEATURES.get("AVX2"):
        assert VECTORS
