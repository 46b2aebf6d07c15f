"""Faults of self-attention, in its written-out form and as one operator."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from vampconv.bench.mutations.editor import Editor, NotApplicableError, module_of
from vampconv.bench.mutations.family import TRANSFORMERS, fault

ATTENTION = r"transformer\.layers\.\d+\.self_attn"
FUSED = "Attention"


def _module(editor: Editor) -> str:
    return module_of(editor.node(f"Softmax {FUSED}", ATTENTION))


def _takes_projections(editor: Editor, module: str) -> dict[str, tuple[NodeProto, int]]:
    """Which node takes queries, keys and values, and as which input."""
    found = {}
    for letter in "qkv":
        value = editor.nodes(within=rf"{module}\.w_{letter}s")[-1].output[0]
        node = editor.first(n for n in editor.takers(value) if module_of(n) == module)
        found[letter] = node, list(node.input).index(value)
    return found


def _swap(editor: Editor, one: str, other: str) -> str:
    module = _module(editor)
    (first, i), (second, j) = (_takes_projections(editor, module)[letter] for letter in (one, other))
    first.input[i], second.input[j] = second.input[j], first.input[i]
    return module


@fault("attention", TRANSFORMERS)
def queries_and_keys_swapped(editor: Editor) -> str:
    return _swap(editor, "q", "k")


@fault("attention", TRANSFORMERS)
def keys_and_values_swapped(editor: Editor) -> str:
    return _swap(editor, "k", "v")


@fault("attention", TRANSFORMERS)
def queries_and_values_swapped(editor: Editor) -> str:
    return _swap(editor, "q", "v")


def _give_scale(editor: Editor, factor: float) -> str:
    node = editor.node(f"Mul {FUSED}", ATTENTION)
    if node.op_type == FUSED:
        editor.set(node, scale=float(editor.attribute(node, "scale")) * factor)
    else:
        index = editor.scalar_of(node)
        editor.give(node, index, float(editor.array(node.input[index])) * factor)
    return module_of(node)


def _heads(editor: Editor, module: str) -> int:
    """How many, from the table that layer 0 has."""
    del module
    return int(editor.array("transformer.layers.0.self_attn.relative_attention_bias.weight").shape[0])


@fault("attention", TRANSFORMERS)
def scale_of_the_whole_width(editor: Editor) -> str:
    return _give_scale(editor, _heads(editor, "") ** -0.5)


@fault("attention", TRANSFORMERS)
def scale_not_rooted(editor: Editor) -> str:
    width = editor.array("transformer.layers.0.norm_1.weight").size // _heads(editor, "")
    return _give_scale(editor, width**-0.5)


@fault("attention", TRANSFORMERS)
def scale_missing(editor: Editor) -> str:
    width = editor.array("transformer.layers.0.norm_1.weight").size // _heads(editor, "")
    return _give_scale(editor, width**0.5)


@fault("attention", TRANSFORMERS)
def softmax_over_queries(editor: Editor) -> str:
    node = editor.node("Softmax", ATTENTION)
    editor.set(node, axis=-2)
    return module_of(node)


@fault("attention", TRANSFORMERS)
def softmax_left_out(editor: Editor) -> str:
    node = editor.node("Softmax", ATTENTION)
    editor.bypass(node)
    return module_of(node)


def _bias_input(editor: Editor) -> tuple[NodeProto, int]:
    """The node of one layer that adds the position bias, and which of its inputs that is."""
    node = editor.pick([n for n in editor.nodes(f"Add {FUSED}", ATTENTION) if not editor.constants(n)])
    return node, 3 if node.op_type == FUSED else 1


@fault("attention", TRANSFORMERS)
def position_bias_missing_in_one_layer(editor: Editor) -> str:
    node, index = _bias_input(editor)
    if node.op_type == FUSED:
        del node.input[index]
    else:
        editor.bypass(node)
    return module_of(node)


@fault("attention", TRANSFORMERS)
def position_bias_transposed_in_one_layer(editor: Editor) -> str:
    node, index = _bias_input(editor)
    editor.before(node, index, "Transpose", perm=[0, 1, 3, 2])
    return module_of(node)


@fault("attention", TRANSFORMERS)
def position_bias_of_other_heads(editor: Editor) -> str:
    node, index = _bias_input(editor)
    heads = np.roll(np.arange(_heads(editor, "")), 1)
    editor.before(node, index, "Gather", editor.constant(heads), axis=1)
    return module_of(node)


@fault("attention", TRANSFORMERS)
def position_bias_scaled_like_the_scores(editor: Editor) -> str:
    node, index = _bias_input(editor)
    width = editor.array("transformer.layers.0.norm_1.weight").size // _heads(editor, "")
    editor.before(node, index, "Mul", editor.constant(width**-0.5))
    return module_of(node)


@fault("attention", TRANSFORMERS)
def position_bias_computed_anew_from_another_table(editor: Editor) -> str:
    """As if layer i had a table of its own: the shared one with a random offset for each head."""
    node, index = _bias_input(editor)
    offsets = editor.random.normal(0, 0.3, (1, _heads(editor, ""), 1, 1))
    editor.before(node, index, "Mul", editor.constant(1 + offsets))
    return module_of(node)


@fault("attention", TRANSFORMERS)
def future_masked(editor: Editor) -> str:
    node = editor.node(FUSED, ATTENTION)
    editor.set(node, is_causal=1)
    return module_of(node)


@fault("attention", TRANSFORMERS)
def heads_interleaved(editor: Editor) -> str:
    """Features split as (feature, head) in place of (head, feature), for queries, keys or values."""
    module = _module(editor)
    node, index = editor.pick(list(_takes_projections(editor, module).values()))
    width, heads = editor.array("transformer.layers.0.norm_1.weight").size, _heads(editor, module)
    order = np.arange(width).reshape(-1, heads).T.reshape(-1)
    editor.before(node, index, "Gather", editor.constant(order), axis=2)
    return module


@fault("attention", TRANSFORMERS)
def heads_not_put_back(editor: Editor) -> str:
    """Reshaped to the width without moving the heads behind the time first."""
    module = module_of(editor.node("Softmax", ATTENTION))
    last = editor.nodes("Reshape", module)[-1]
    move = editor.maker(last.input[0])
    if move.op_type != "Transpose":
        raise NotApplicableError
    editor.bypass(move)
    editor.give(last, 1, [0, -1, int(editor.array(last.input[1])[-1])])
    return module


@fault("attention", TRANSFORMERS)
def heads_put_back_in_another_order(editor: Editor) -> str:
    module = _module(editor)
    value = editor.first(n for n in editor.nodes(within=rf"{module}\.fc")).input[0]
    width, heads = editor.array("transformer.layers.0.norm_1.weight").size, _heads(editor, module)
    order = np.roll(np.arange(width).reshape(heads, -1), 1, axis=0).reshape(-1)
    editor.after(value, "Gather", editor.constant(order), axis=2)
    return module
