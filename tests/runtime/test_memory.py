"""Memory does not follow the length of the audio."""

from __future__ import annotations

import json
import subprocess
import sys

CHILD = """
import json, sys
import numpy as np
from vampconv.runtime import Codec

codec = Codec.of_bundle(sys.argv[1], workers=2, seconds=1)
if sys.argv[2] == "whole":
    codec.chunk_seconds = 1e9
peaks = []
for seconds in map(int, sys.argv[3:]):
    audio = np.sin(np.arange(seconds * 44100, dtype=np.float32) * np.float32(0.05))[None, None]
    codec.decode(codec.encode(audio))
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    peaks.append(int(status["VmHWM"].split()[0]) * 1024)
print(json.dumps({"peaks": peaks, "modules": sorted(sys.modules)}))
"""


def measure(bundle, how, *seconds):
    command = [sys.executable, "-c", CHILD, str(bundle), how, *map(str, seconds)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return json.loads(ran.stdout)


def test_a_long_file_takes_little_more_than_its_own_size(bundles):
    start, end = measure(bundles["codec"], "chunks", 12, 60)["peaks"]
    assert end - start <= 6 * 48 * 44100 * 4
    whole = measure(bundles["codec"], "whole", 6, 18)["peaks"]
    assert whole[1] - whole[0] > 6 * 12 * 44100 * 4


def test_neither_torch_nor_the_compiler_is_loaded(bundles):
    modules = measure(bundles["codec_odd"], "chunks", 1)["modules"]
    foreign = ("torch", "onnx_ir", "onnxscript", "vampconv.dialect", "vampconv.rewrite", "vampconv.emit")
    assert not [name for name in modules if name.startswith(foreign)]
