"""Faults of weights that are made of several tensors: LoRA pairs and weight norm."""

from __future__ import annotations

import re

import numpy as np

from vampconv.bench.mutations.editor import Array, Editor, module_of
from vampconv.bench.mutations.family import CODEC, DECODER, TRANSFORMERS, fault

RANK = 8


def _adapted(editor: Editor) -> tuple[str, Array, Array]:
    """A linear that carries a pair, and the pair A [8, in], B [out, 8]."""
    paths = sorted(n.removesuffix(".lora_A") for n in editor.state if n.endswith(".lora_A"))
    path = editor.pick(paths)
    a, b = (editor.state[f"{path}.lora_{letter}"].astype(np.float64) for letter in "AB")
    return path, a, b


def _put(editor: Editor, path: str, update: Array) -> str:
    """Let a linear's weight be the checkpoint's with another update than the pair's."""
    weight = editor.state[f"{path}.weight"].astype(np.float64)
    editor.put(f"{path}.weight", (weight + update).T.astype(np.float32))
    return path


@fault("adapters", TRANSFORMERS)
def pair_left_out(editor: Editor) -> str:
    path, a, b = _adapted(editor)
    return _put(editor, path, 0 * (b @ a))


@fault("adapters", TRANSFORMERS)
def pair_not_divided_by_the_rank(editor: Editor) -> str:
    path, a, b = _adapted(editor)
    return _put(editor, path, b @ a)


@fault("adapters", TRANSFORMERS)
def pair_scaled_for_another_alpha(editor: Editor) -> str:
    path, a, b = _adapted(editor)
    return _put(editor, path, b @ a * editor.pick([2.0, 8.0, 1 / 8, 1 / 16]) / RANK)


@fault("adapters", TRANSFORMERS)
def pair_added_twice(editor: Editor) -> str:
    path, a, b = _adapted(editor)
    return _put(editor, path, 2 * (b @ a) / RANK)


@fault("adapters", TRANSFORMERS)
def pair_subtracted(editor: Editor) -> str:
    path, a, b = _adapted(editor)
    return _put(editor, path, -(b @ a) / RANK)


@fault("adapters", TRANSFORMERS)
def pair_of_another_layer(editor: Editor) -> str:
    path, a, b = _adapted(editor)
    shapes = a.shape, b.shape
    other = editor.pick(
        [
            name.removesuffix(".lora_A")
            for name, tensor in sorted(editor.state.items())
            if name.endswith(".lora_A")
            and not name.startswith(path)
            and (tensor.shape, editor.state[name[:-1] + "B"].shape) == shapes
        ]
    )
    a, b = (editor.state[f"{other}.lora_{letter}"].astype(np.float64) for letter in "AB")
    return _put(editor, path, b @ a / RANK)


@fault("adapters", TRANSFORMERS)
def transposed_pair(editor: Editor) -> str:
    paths = sorted(n.removesuffix(".lora_A") for n in editor.state if n.endswith(".lora_A"))
    path = editor.pick([p for p in paths if len(set(editor.state[f"{p}.weight"].shape)) == 1])
    a, b = (editor.state[f"{path}.lora_{letter}"].astype(np.float64) for letter in "AB")
    return _put(editor, path, (b @ a).T / RANK)


@fault("adapters", TRANSFORMERS)
def pair_for_the_keys(editor: Editor) -> str:
    """The queries' pair, given to the keys of the same layer, which have none."""
    queries = sorted(n for n in editor.state if re.fullmatch(r".*\.w_qs\.lora_A", n))
    path = editor.pick(queries).removesuffix(".lora_A")
    a, b = (editor.state[f"{path}.lora_{letter}"].astype(np.float64) for letter in "AB")
    return _put(editor, path.replace("w_qs", "w_ks"), b @ a / RANK)


TRANSPOSED = r"decoder\.model\.\d+\.block\.1\.weight"


def _normed(editor: Editor, *, transposed: bool = False) -> tuple[str, Array, Array, str]:
    """A convolution's weight in the graph, its gain and direction in the checkpoint, and the node's module."""
    found = [
        (name, module_of(node))
        for name, node in editor.weights()
        if node.op_type == "Conv" and min(editor.state.get(f"{name}_v", np.zeros((1, 1))).shape[:2]) > 1
    ]
    name, module = editor.pick([f for f in found if bool(re.fullmatch(TRANSPOSED, f[0])) is transposed])
    g, v = (editor.state[f"{name}_{letter}"].astype(np.float64) for letter in "gv")
    return name, g, v, module


def _rescale(editor: Editor, name: str, module: str, ratio: Array) -> str:
    """Multiply the weight by what a wrong norm makes of a right one, [out, in, kernel]."""
    weight = editor.array(name)
    full = np.broadcast_to(ratio, editor.state[f"{name}_v"].shape)
    editor.put(name, (weight * full.reshape(weight.shape)).astype(np.float32))
    return module


def _norm(v: Array, axes: tuple[int, ...]) -> Array:
    return np.sqrt(np.square(v).sum(axes, keepdims=True))


@fault("adapters", CODEC)
def convolutions_weight_norm_over_the_wrong_dimension(editor: Editor) -> str:
    name, _, v, module = _normed(editor)
    return _rescale(editor, name, module, _norm(v, (1, 2)) / _norm(v, (0, 2)))


@fault("adapters", CODEC)
def weight_norm_over_the_kernel_only(editor: Editor) -> str:
    name, _, v, module = _normed(editor)
    return _rescale(editor, name, module, _norm(v, (1, 2)) / np.maximum(_norm(v, (2,)), 1e-6))


@fault("adapters", CODEC)
def weight_norm_left_out(editor: Editor) -> str:
    name, g, v, module = _normed(editor)
    return _rescale(editor, name, module, _norm(v, (1, 2)) / g)


@fault("adapters", CODEC)
def weight_norm_without_its_gain(editor: Editor) -> str:
    name, g, _, module = _normed(editor)
    return _rescale(editor, name, module, 1 / g)


@fault("adapters", CODEC)
def weight_norm_over_everything(editor: Editor) -> str:
    name, _, v, module = _normed(editor)
    return _rescale(editor, name, module, _norm(v, (1, 2)) / _norm(v, (0, 1, 2)))


@fault("adapters", DECODER)
def weight_norm_of_a_transposed_convolution_over_its_outputs(editor: Editor) -> str:
    """The norm of each output channel, as in a plain convolution; dimension 0 is the input channel here."""
    name, _, v, module = _normed(editor, transposed=True)
    weight = editor.array(name)
    channels_in, channels_out = v.shape[:2]
    phases = weight.reshape(channels_out, -1, channels_in, weight.shape[-1])
    ratio = (_norm(v, (1, 2)) / _norm(v, (0, 2)))[:, :, 0].T
    editor.put(name, (phases * ratio[:, None, :, None]).reshape(weight.shape).astype(np.float32))
    return module
