"""Faults of single weights, of any part."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
from onnx import TensorProto

from vampconv.bench.mutations.editor import Array, Editor, module_of
from vampconv.bench.mutations.family import fault


def _weight(editor: Editor, fits: Callable[[Array], bool] = lambda _: True) -> tuple[str, str, Array]:
    """A weight of the checkpoint as it stands in the graph, with the module of the node that takes it."""
    found = [(name, module_of(node)) for name, node in editor.weights() if fits(editor.array(name))]
    name, module = editor.pick(found)
    return name, module, editor.array(name)


def _put(editor: Editor, name: str, module: str, array: Array) -> str:
    editor.put(name, array.astype(np.float32))
    return module


def _matrix(array: Array) -> bool:
    return array.ndim >= 2 and min(array.shape[:2]) > 1


@fault("weights")
def noise_of_a_thousandth(editor: Editor) -> str:
    name, module, w = _weight(editor)
    return _put(editor, name, module, w * (1 + 1e-3 * editor.random.standard_normal(w.shape)))


@fault("weights")
def noise_of_a_hundred_thousandth(editor: Editor) -> str:
    name, module, w = _weight(editor)
    return _put(editor, name, module, w * (1 + 1e-5 * editor.random.standard_normal(w.shape)))


def _element(editor: Editor, change: Callable[[Array, int], None]) -> str:
    name, module, w = _weight(editor)
    flat = w.reshape(-1)
    change(flat, int(editor.random.integers(flat.size)))
    return _put(editor, name, module, flat.reshape(w.shape))


@fault("weights")
def one_element_doubled(editor: Editor) -> str:
    def double(flat: Array, i: int) -> None:
        flat[i] *= 2

    return _element(editor, double)


@fault("weights")
def one_bit_flipped_in_an_exponent(editor: Editor) -> str:
    def flip(flat: Array, i: int) -> None:
        flat.view(np.uint32)[i] ^= np.uint32(1 << int(editor.random.integers(23, 29)))

    return _element(editor, flip)


@fault("weights")
def one_element_infinite(editor: Editor) -> str:
    def burst(flat: Array, i: int) -> None:
        flat[i] = np.inf

    return _element(editor, burst)


def _row(editor: Editor, value: float, axis: int) -> str:
    name, module, w = _weight(editor, _matrix)
    index = int(editor.random.integers(w.shape[axis]))
    w.swapaxes(0, axis)[index] = value
    return _put(editor, name, module, w)


@fault("weights")
def one_row_zero(editor: Editor) -> str:
    return _row(editor, 0.0, 0)


@fault("weights")
def one_column_zero(editor: Editor) -> str:
    return _row(editor, 0.0, 1)


@fault("weights")
def one_row_nan(editor: Editor) -> str:
    return _row(editor, np.nan, 0)


@fault("weights")
def transposed(editor: Editor) -> str:
    name, module, w = _weight(editor, lambda a: _matrix(a) and a.shape[0] == a.shape[1])
    return _put(editor, name, module, w.swapaxes(0, 1))


@fault("weights")
def reshaped_not_transposed(editor: Editor) -> str:
    """The other layout's numbers in the right shape."""
    name, module, w = _weight(editor, lambda a: _matrix(a) and a.shape[0] != a.shape[1])
    return _put(editor, name, module, w.swapaxes(0, 1).reshape(w.shape))


def _permute(editor: Editor, axis: int) -> str:
    name, module, w = _weight(editor, lambda a: a.ndim > axis and a.shape[axis] > 1)
    return _put(editor, name, module, np.roll(w, 1, axis=axis))


@fault("weights")
def first_axis_permuted(editor: Editor) -> str:
    return _permute(editor, 0)


@fault("weights")
def second_axis_permuted(editor: Editor) -> str:
    return _permute(editor, 1)


@fault("weights")
def sign_flipped(editor: Editor) -> str:
    name, module, w = _weight(editor)
    return _put(editor, name, module, -w)


@fault("weights")
def one_tensor_rounded_to_float16(editor: Editor) -> str:
    name, module, w = _weight(editor)
    return _put(editor, name, module, w.astype(np.float16))


@fault("weights")
def one_tensor_rounded_to_bfloat16(editor: Editor) -> str:
    name, module, w = _weight(editor)
    return _put(editor, name, module, w.astype(ml_dtypes.bfloat16))


@fault("weights")
def one_tensor_in_8_bits(editor: Editor) -> str:
    name, module, w = _weight(editor, lambda a: a.size > 1)
    step = float(np.abs(w).max()) / 127
    return _put(editor, name, module, np.round(w / step) * step)


@fault("weights")
def one_tensor_rounded_to_6_digits(editor: Editor) -> str:
    name, module, w = _weight(editor)
    return _put(editor, name, module, np.round(w, 6))


@fault("weights")
def weight_of_another_layer(editor: Editor) -> str:
    return _of_another(editor, 2, 9)


@fault("weights")
def bias_of_another_layer(editor: Editor) -> str:
    """A stale one, as when a loop keeps a variable."""
    return _of_another(editor, 1, 1)


def _of_another(editor: Editor, least: int, most: int) -> str:
    shapes: dict[tuple[int, ...], list[str]] = {}
    for name, _ in editor.weights():
        array = editor.array(name)
        if least <= array.ndim <= most and array.size > 1:
            shapes.setdefault(array.shape, []).append(name)
    alike = editor.pick([names for names in shapes.values() if len(names) > 1])
    one, other = editor.random.choice(len(alike), 2, replace=False)
    module = editor.first(module_of(node) for name, node in editor.weights() if name == alike[one])
    return _put(editor, alike[one], module, editor.array(alike[other]))


@fault("weights")
def all_zero(editor: Editor) -> str:
    name, module, w = _weight(editor)
    return _put(editor, name, module, np.zeros_like(w))


@fault("weights")
def random_as_initialised(editor: Editor) -> str:
    name, module, w = _weight(editor, lambda a: a.size > 1)
    return _put(editor, name, module, editor.random.normal(0, float(w.std()) or 1.0, w.shape))


@fault("weights")
def left_out_of_the_file(editor: Editor) -> str:
    name, module, _ = _weight(editor)
    editor.drop(name)
    return module


@fault("weights")
def scaled_by_1_0001(editor: Editor) -> str:
    name, module, w = _weight(editor)
    return _put(editor, name, module, w * 1.0001)


def _through(editor: Editor, to: int, scale: float) -> str:
    """What a product or convolution puts out goes through a narrower type, times a scale."""
    node = editor.node("MatMul Conv")
    name, module = node.output[0], module_of(node)
    back = editor.constant(1 / scale)
    editor.after(name, "Mul", back)
    inner = editor.maker(name).input[0]
    editor.after(inner, "Cast", to=TensorProto.FLOAT)
    narrow = editor.maker(inner).input[0]
    editor.after(narrow, "Cast", to=to)
    wide = editor.maker(narrow).input[0]
    editor.after(wide, "Mul", editor.constant(scale))
    return module


@fault("weights", is_certain=True)
def overflow_in_float16(editor: Editor) -> str:
    return _through(editor, TensorProto.FLOAT16, 2.0**17)


@fault("weights", is_certain=True)
def activation_rounded_to_float16(editor: Editor) -> str:
    return _through(editor, TensorProto.FLOAT16, 1.0)
