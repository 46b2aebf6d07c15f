"""The models that faults are put into: golden checkpoints, converted once, with their truths."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

from vampconv.bench.mutations.editor import Array
from vampconv.checkpoint import Checkpoint, open_checkpoint
from vampconv.convert import Request, convert
from vampconv.opsets import newest
from vampconv.verify.result import Case
from vampconv.verify.side import References
from vampconv.verify.subjects import (
    BeatTracker,
    Decoder,
    Encoder,
    Subject,
    Transformer,
    kwargs_of,
    tensors_of,
)

CASES = (Case(1, 1, 0), Case(2, 13, 0))
"""Two lengths and two batches, so that neither can be baked in; together they are cheap."""
TWINS = "codec_twins"
"""codec_odd with rows of equal direction in each codebook: the first of them is the code."""
SLOPES = "wavebeat_slopes"
"""wavebeat with slopes of its activations that differ, as training leaves them; the golden ones are all 1/4."""


@dataclass(frozen=True)
class Model:
    """A checkpoint and what it is converted to."""

    checkpoint: str
    part: str
    opset: int

    @property
    def name(self) -> str:
        return f"{self.checkpoint}@{self.opset}/{self.part}"


MODELS = (
    Model("coarse", "coarse", 17),
    Model("coarse", "coarse", 23),
    Model("c2f", "c2f", 20),
    Model("coarse_film", "coarse", 17),
    Model("coarse_ctrl", "coarse", newest()),
    Model("codec", "encoder", 17),
    Model("codec", "decoder", 17),
    Model("codec_odd", "encoder", 23),
    Model("codec_odd", "decoder", 18),
    Model(TWINS, "encoder", 17),
    Model(TWINS, "decoder", 17),
    Model(SLOPES, "wavebeat", 17),
)


class Goldens:
    """Conversions of the golden checkpoints, made when they are asked for.

    Parameters
    ----------
    directory
        Of the golden checkpoints.

    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stack = ExitStack()
        self._work = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="vampconv-")))
        self._subjects: dict[tuple[str, str], tuple[References, dict[str, Array]]] = {}
        self._checkpoints: dict[str, Checkpoint] = {}

    def __enter__(self) -> Goldens:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def path(self, model: Model) -> Path:
        """The converted model; its weights lie beside it."""
        bundle = self._work / f"{model.checkpoint}-{model.opset}"
        if not bundle.exists():
            codec = None if model.checkpoint.startswith(("codec", "wave")) else self._file("codec")
            convert(Request([self._file(model.checkpoint)], bundle, codec=codec, opset=model.opset))
        return bundle / f"{model.part}.onnx"

    def graph(self, model: Model) -> onnx.ModelProto:
        """The converted model with its weights in memory, and shapes of its inner values left out."""
        proto = onnx.load(self.path(model))
        for value in proto.graph.value_info:
            value.type.tensor_type.ClearField("shape")
        return proto

    def references(self, model: Model) -> References:
        """The truth of a model, which remembers its runs; the same for all opsets."""
        return self._known(model)[0]

    def state(self, model: Model) -> dict[str, Array]:
        """Tensors of the checkpoint, and the codec's where the model takes its tables from one."""
        return self._known(model)[1]

    def save(self, graph: onnx.ModelProto) -> Path:
        """Write a mutant, over the one before it."""
        path = self._work / "mutant.onnx"
        known = {value.name for value in graph.graph.value_info}
        inferred = onnx.shape_inference.infer_shapes(graph).graph.value_info
        graph.graph.value_info.extend(value for value in inferred if value.name not in known)
        path.write_bytes(graph.SerializeToString())
        return path

    def _known(self, model: Model) -> tuple[References, dict[str, Array]]:
        key = model.checkpoint, model.part
        if key not in self._subjects:
            subject = self._subject(model)
            state = {n: t.numpy() for n, t in tensors_of(self._open(model.checkpoint)).items()}
            self._subjects[key] = References(subject, remembers=True), state
        return self._subjects[key]

    def _subject(self, model: Model) -> Subject:
        checkpoint = self._open(model.checkpoint)
        if model.part == "encoder":
            return Encoder(checkpoint)
        if model.part == "decoder":
            return Decoder(checkpoint)
        if model.part == "wavebeat":
            return BeatTracker(checkpoint)
        return Transformer(model.part, checkpoint, self._open("codec"))

    def _open(self, name: str) -> Checkpoint:
        if name not in self._checkpoints:
            self._checkpoints[name] = self._stack.enter_context(open_checkpoint(self._file(name)))
        return self._checkpoints[name]

    def _file(self, name: str) -> Path:
        made = {TWINS: self._twins, SLOPES: self._slopes}
        path = (self._work if name in made else self.directory) / f"{name}.pth"
        if name in made and not path.exists():
            torch.save(made[name](), path)
        return path

    def _twins(self) -> Mapping[str, object]:
        odd = self._open("codec_odd")
        kwargs = {name: _plain(value) for name, value in kwargs_of(odd).items()}
        return {"state_dict": with_twins(tensors_of(odd)), "metadata": {"kwargs": kwargs}}

    def _slopes(self) -> Mapping[str, object]:
        golden = self._open("wavebeat")
        given = golden.metadata["hyper_parameters"]
        assert isinstance(given, Mapping)
        parameters = {name: _plain(value) for name, value in given.items()}
        return {"state_dict": with_slopes(tensors_of(golden)), "hyper_parameters": parameters}


def with_twins(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A codec of whose codebooks row 9 is row 2 again, and row 20 twice row 5."""
    state = {name: tensor.clone() for name, tensor in state.items()}
    for name, table in state.items():
        if name.endswith("codebook.weight"):
            table[9], table[20] = table[2], 2 * table[5]
    return state


def with_slopes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A beat tracker of whose activations each channel has a slope of its own, from 0 to 1/2."""
    random = np.random.default_rng(0)
    return {
        name: torch.from_numpy(random.uniform(0, 0.5, tensor.shape).astype(np.float32))
        if name.endswith("act1.weight")
        else tensor
        for name, tensor in state.items()
    }


def _plain(value: object) -> object:
    return [int(v) for v in value] if isinstance(value, (list, tuple)) else value
