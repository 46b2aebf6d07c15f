"""Faults of the classifier: the order of its rows, its weight norm, its bias."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from vampconv.bench.mutations.editor import Array, Editor
from vampconv.bench.mutations.family import TRANSFORMERS, fault

MODULE = "classifier.layers.0"
WEIGHT, BIAS = f"{MODULE}.weight", f"{MODULE}.bias"


def sizes(editor: Editor) -> tuple[int, int]:
    """Rows of the vocabulary, and codebooks that are predicted."""
    vocab = int(editor.array(_reshape(editor).input[1])[-1])
    return vocab, editor.array(BIAS).size // vocab


def _reshape(editor: Editor) -> NodeProto:
    return editor.nodes("Reshape", MODULE)[-1]


def _as_stored(rows: Array, codebooks: int) -> Array:
    """Rows of the graph, codebook-major, in the order of the checkpoint: row v · n + c."""
    return rows.reshape(codebooks, -1, *rows.shape[1:]).swapaxes(0, 1).reshape(rows.shape)


@fault("classifier", TRANSFORMERS)
def rows_in_the_order_of_the_checkpoint(editor: Editor) -> str:
    _, codebooks = sizes(editor)
    editor.put(WEIGHT, _as_stored(editor.array(WEIGHT).T, codebooks).T)
    editor.put(BIAS, _as_stored(editor.array(BIAS), codebooks))
    return MODULE


@fault("classifier", TRANSFORMERS)
def bias_in_the_order_of_the_checkpoint(editor: Editor) -> str:
    editor.put(BIAS, _as_stored(editor.array(BIAS), sizes(editor)[1]))
    return MODULE


@fault("classifier", TRANSFORMERS)
def codebook_major_logits(editor: Editor) -> str:
    """Row ``c · time + t`` in place of ``t · n + c``."""
    vocab, codebooks = sizes(editor)
    node = _reshape(editor)
    logits = node.output[0]
    split = editor.after(logits, "Transpose", perm=[0, 2, 1, 3])
    editor.give(node, 1, [0, -1, codebooks, vocab])
    last = editor.after(logits, "Reshape", editor.constant([0, -1, vocab]))
    assert last.input[0] == split.output[0]
    return MODULE


@fault("classifier", TRANSFORMERS)
def codebooks_in_another_order(editor: Editor) -> str:
    _, codebooks = sizes(editor)
    for name, axis in ((WEIGHT, 1), (BIAS, 0)):
        array = editor.array(name)
        order = np.roll(np.arange(array.shape[axis]).reshape(codebooks, -1), 1, axis=0).reshape(-1)
        editor.put(name, array.take(order, axis))
    return MODULE


@fault("classifier", TRANSFORMERS)
def bias_dropped(editor: Editor) -> str:
    editor.bypass(editor.node("Add", MODULE))
    return MODULE


def _put_rows(editor: Editor, rows: Array) -> str:
    """Put another weight [vocab · n, dim], in the order of the checkpoint, in the place of the normalised one."""
    vocab, _ = sizes(editor)
    moved = rows.reshape(vocab, -1, rows.shape[1]).swapaxes(0, 1).reshape(rows.shape)
    editor.put(WEIGHT, moved.T.astype(np.float32))
    return MODULE


def _g_and_v(editor: Editor) -> tuple[Array, Array]:
    g, v = (editor.state[f"{WEIGHT}_{letter}"].astype(np.float64) for letter in "gv")
    return g[:, :, 0], v[:, :, 0]


@fault("classifier", TRANSFORMERS)
def weight_norm_over_the_wrong_dimension(editor: Editor) -> str:
    g, v = _g_and_v(editor)
    return _put_rows(editor, g * v / np.linalg.norm(v, axis=0, keepdims=True))


@fault("classifier", TRANSFORMERS)
def weight_norm_over_everything(editor: Editor) -> str:
    g, v = _g_and_v(editor)
    return _put_rows(editor, g * v / np.linalg.norm(v))


@fault("classifier", TRANSFORMERS)
def weight_norm_left_out(editor: Editor) -> str:
    return _put_rows(editor, _g_and_v(editor)[1])


@fault("classifier", TRANSFORMERS)
def weight_norm_without_its_gain(editor: Editor) -> str:
    v = _g_and_v(editor)[1]
    return _put_rows(editor, v / np.linalg.norm(v, axis=1, keepdims=True))


@fault("classifier", TRANSFORMERS)
def softmax_at_the_end(editor: Editor) -> str:
    editor.after(_reshape(editor).output[0], editor.pick(["Softmax", "LogSoftmax"]), axis=-1)
    return MODULE


@fault("classifier", TRANSFORMERS)
def before_the_last_norm(editor: Editor) -> str:
    """The logits of what the last layer puts out, not normalised."""
    node = editor.first(editor.nodes("MatMul", MODULE))
    node.input[0] = editor.nodes("Add", r"transformer\.layers\.\d+")[-1].output[0]
    return MODULE


@fault("classifier", TRANSFORMERS)
def reversed_in_time(editor: Editor) -> str:
    logits = _reshape(editor).output[0]
    ends = (editor.constant(np.array([n])) for n in (-1, np.iinfo(np.int64).min, 1, -1))
    editor.after(logits, "Slice", *ends)
    return MODULE
