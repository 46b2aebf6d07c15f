"""Faults of the position bias that layer 0 computes for all layers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vampconv.bench.mutations.editor import Array, Editor
from vampconv.bench.mutations.family import TRANSFORMERS, fault

MODULE = "transformer.layers.0.self_attn"
TABLE = f"{MODULE}.relative_attention_bias.weight"
STARTS = (8, 12, 16, 23, 32, 46, 64, 91)
"""Distances at which T5's coarser buckets begin."""


def _change(editor: Editor, change: Callable[[Array], Array]) -> str:
    """Change the table [head, distance], which has one column for each distance from -91 to 91."""
    editor.put(TABLE, change(editor.array(TABLE)).astype(np.float32))
    return MODULE


@fault("position bias", TRANSFORMERS)
def sign_of_the_distance(editor: Editor) -> str:
    node = editor.first(editor.nodes("Sub", MODULE))
    node.input[0], node.input[1] = node.input[1], node.input[0]
    return MODULE


@fault("position bias", TRANSFORMERS)
def one_step_off(editor: Editor) -> str:
    return _change(editor, lambda table: np.roll(table, editor.pick([-1, 1]), axis=1))


@fault("position bias", TRANSFORMERS)
def same_on_both_sides(editor: Editor) -> str:
    def mirror(table: Array) -> Array:
        middle = table.shape[1] // 2
        table[:, middle + 1 :] = table[:, :middle][:, ::-1]
        return table

    return _change(editor, mirror)


@fault("position bias", TRANSFORMERS)
def a_bucket_begins_one_step_off(editor: Editor) -> str:
    """As with a logarithm that is rounded to the wrong side."""

    def move(table: Array) -> Array:
        start, side = editor.pick(STARTS), editor.pick([-1, 1])
        middle = table.shape[1] // 2
        table[:, middle + side * start] = table[:, middle + side * (start - 1)]
        return table

    return _change(editor, move)


@fault("position bias", TRANSFORMERS)
def two_buckets_exchanged(editor: Editor) -> str:
    def exchange(table: Array) -> Array:
        middle = table.shape[1] // 2
        side, (one, other) = editor.pick([-1, 1]), sorted(editor.random.choice(8, 2, replace=False))
        ends = (*STARTS, middle + 1)
        columns = [[middle + side * d for d in range(ends[i], ends[i + 1])] for i in (one, other)]
        first, second = table[:, columns[0][0]].copy(), table[:, columns[1][0]].copy()
        table[:, columns[0]], table[:, columns[1]] = second[:, None], first[:, None]
        return table

    return _change(editor, exchange)


@fault("position bias", TRANSFORMERS)
def distances_clipped_too_near(editor: Editor) -> str:
    node, limit = editor.first(editor.nodes("Clip", MODULE)), editor.pick([4, 8, 16, 32, 64])
    editor.give(node, 1, -limit)
    editor.give(node, 2, limit)
    return MODULE


@fault("position bias", TRANSFORMERS)
def heads_of_the_table_permuted(editor: Editor) -> str:
    return _change(editor, lambda table: np.roll(table, 1, axis=0))


@fault("position bias", TRANSFORMERS)
def table_ignored(editor: Editor) -> str:
    return _change(editor, np.zeros_like)


@fault("position bias", TRANSFORMERS)
def exact_buckets_only(editor: Editor) -> str:
    """All beyond distance 7 fall into one bucket."""

    def flatten(table: Array) -> Array:
        middle = table.shape[1] // 2
        table[:, middle + 8 :] = table[:, middle + 8 : middle + 9]
        table[:, : middle - 7] = table[:, middle - 8 : middle - 7]
        return table

    return _change(editor, flatten)


@fault("position bias", TRANSFORMERS)
def transposed_for_all_layers(editor: Editor) -> str:
    value = editor.nodes(within=MODULE)
    last = editor.first(
        n for n in reversed(value) if n.op_type == "Unsqueeze" and _is_bias(editor, n.output[0])
    )
    editor.after(last.output[0], "Transpose", perm=[0, 1, 3, 2])
    return MODULE


def _is_bias(editor: Editor, value: str) -> bool:
    return editor.maker(editor.maker(value).input[0]).op_type == "Gather"
