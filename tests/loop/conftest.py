"""Loops of golden checkpoints, and what runs them."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest

from vampconv.noise import Noise

from ..common import manifest
from .numpy_loop import Options, generate


def session(path, threads=1):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def feeds(codes, mask, options: Options, **more):
    given = {"codes": codes, "mask": mask, "steps": np.asarray(options.steps, np.int64), **more}
    for name in ("temperature", "mask_temperature", "top_p", "sample_cutoff"):
        given[name] = np.asarray(getattr(options, name), np.float32)
    return given


class Vamp:
    """The loop of one transformer: the graph, and the same in numpy around the transformer's graph."""

    def __init__(self, bundle, part="coarse", threads=(1,)):
        name = {"coarse": "vamp", "c2f": "vamp_c2f"}[part]
        self.sizes = manifest(bundle)["models"][part]["architecture"]
        self.forward = session(bundle / f"{part}.onnx")
        self.seeded = [session(bundle / f"{name}.onnx", n) for n in threads]
        self.replay = session(bundle / f"{name}_replay.onnx")
        self.vocab, self.codebooks = self.sizes["vocab_size"], self.sizes["n_codebooks"]
        self.conditioning = self.sizes["n_conditioning_codebooks"]

    def graph(self, codes, mask, options, seed, **controls):
        given = feeds(codes, mask, options, seed=np.asarray(seed, np.int64), **controls)
        results = [run.run(None, given)[0] for run in self.seeded]
        for result in results[1:]:
            np.testing.assert_array_equal(result, results[0])
        return results[0]

    def numpy(self, codes, mask, options, seed, **controls):
        noise = Noise(seed)
        takes_r = any(port.name == "r" for port in self.forward.get_inputs())

        def forward(z, r):
            level = {"r": np.full(len(z), r, np.float32)} if takes_r else {}
            return self.forward.run(None, {"codes": z, **level, **controls})[0]

        return generate(
            forward,
            codes,
            mask,
            self.vocab,
            self.conditioning,
            options,
            lambda i, shape: noise.exponential(i, *shape),
            lambda i, shape: noise.gumbel(i, *shape),
        )

    def draw(self, random, batch, time, share=0.8):
        """Random codes and a mask."""
        codes = random.integers(0, self.vocab, (batch, self.codebooks, time))
        mask = (random.random(codes.shape) < share).astype(np.int64)
        mask[:, : self.conditioning] = 0
        return codes, mask


@pytest.fixture(scope="module")
def vamp(workshop) -> Callable[..., Vamp]:
    """The loop of a golden transformer."""
    made: dict[tuple, Vamp] = {}

    def make(name="coarse", opset=17, threads=(1,)):
        key = name, opset, threads
        if key not in made:
            options = {} if opset == 17 else {"opset": opset}
            made[key] = Vamp(workshop.bundle(name, "codec", **options), name.partition("_")[0], threads)
        return made[key]

    return make


@pytest.fixture(scope="session")
def trace(workshop):
    """A recorded generation: its arrays, its options, its exponential and Gumbel draws."""

    def read(name):
        found = workshop.recorded(f"generate_{name}")
        told = json.loads(str(found["options"]))
        keys = ("temperature", "mask_temperature", "top_p", "sample_cutoff")
        options = Options(told["_sampling_steps"], **{k: told[k] for k in keys if k in told})
        shape = found["step0/exponential"].shape
        unused = np.full(shape, np.nan, np.float32)
        steps = range(options.steps)
        exponential = np.stack([found.get(f"step{i}/exponential", unused) for i in steps])
        return found, options, exponential, np.stack([found[f"step{i}/gumbel"] for i in steps])

    return read
