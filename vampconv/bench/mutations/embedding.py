"""Faults of the embedding: codebook tables with their MASK row, and the projection of all latents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import NodeProto

from vampconv.bench.mutations.editor import Array, Editor
from vampconv.bench.mutations.family import TRANSFORMERS, fault

MODULE, PROJECTION = "embedding", "embedding.out_proj"


def lookups(editor: Editor) -> list[NodeProto]:
    """The nodes that look rows up, in the order of the codebooks."""
    return [n for n in editor.nodes("Gather", MODULE) if n.input[0].endswith("codebook.weight")]


def change_table(editor: Editor, change: Callable[[Array], Array]) -> str:
    """Change the table [vocab + 1, dim] of one codebook; the last row is MASK."""
    name = editor.pick(lookups(editor)).input[0]
    editor.put(name, change(editor.array(name)).astype(np.float32))
    return MODULE


def _row(editor: Editor, table: Array) -> int:
    """A row that is a code's."""
    return int(editor.random.integers(len(table) - 1))


def _with_row(table: Array, row: int, new: Array | float) -> Array:
    table[row] = new
    return table


@fault("embedding", TRANSFORMERS)
def two_tables_exchanged(editor: Editor) -> str:
    one, other = editor.random.choice(len(lookups(editor)), 2, replace=False)
    first, second = lookups(editor)[one], lookups(editor)[other]
    first.input[0], second.input[0] = second.input[0], first.input[0]
    return MODULE


@fault("embedding", TRANSFORMERS)
def codes_of_another_codebook(editor: Editor) -> str:
    one, other = editor.random.choice(len(lookups(editor)), 2, replace=False)
    lookups(editor)[one].input[1] = lookups(editor)[other].input[1]
    return MODULE


@fault("embedding", TRANSFORMERS)
def one_table_for_all_codebooks(editor: Editor) -> str:
    for node in lookups(editor)[1:]:
        node.input[0] = lookups(editor)[0].input[0]
    return MODULE


@fault("embedding", TRANSFORMERS)
def mask_row_missing(editor: Editor) -> str:
    return change_table(editor, lambda table: table[:-1])


@fault("embedding", TRANSFORMERS)
def mask_row_zero(editor: Editor) -> str:
    return change_table(editor, lambda table: _with_row(table, -1, 0.0))


@fault("embedding", TRANSFORMERS)
def mask_row_first_not_last(editor: Editor) -> str:
    return change_table(editor, lambda table: np.roll(table, 1, axis=0))


@fault("embedding", TRANSFORMERS)
def mask_rows_of_other_codebooks(editor: Editor) -> str:
    names = [node.input[0] for node in lookups(editor)]
    rows = [editor.array(name)[-1] for name in names]
    for name, row in zip(names, rows[1:] + rows[:1], strict=True):
        editor.put(name, _with_row(editor.array(name), -1, row))
    return MODULE


@fault("embedding", TRANSFORMERS)
def mask_token_taken_for_code_0(editor: Editor) -> str:
    return change_table(editor, lambda table: _with_row(table, -1, table[0]))


@fault("embedding", TRANSFORMERS, is_certain=True)
def one_row_of_a_table_nan(editor: Editor) -> str:
    return change_table(editor, lambda table: _with_row(table, _row(editor, table), np.nan))


@fault("embedding", TRANSFORMERS, is_certain=True)
def one_row_of_a_table_zero(editor: Editor) -> str:
    return change_table(editor, lambda table: _with_row(table, _row(editor, table), 0.0))


@fault("embedding", TRANSFORMERS, is_certain=True)
def one_row_of_a_table_off_by_a_thousandth(editor: Editor) -> str:
    def shake(table: Array) -> Array:
        row = _row(editor, table)
        return _with_row(table, row, table[row] * (1 + 1e-3 * editor.random.standard_normal(table.shape[1])))

    return change_table(editor, shake)


@fault("embedding", TRANSFORMERS, is_certain=True)
def two_rows_of_a_table_exchanged(editor: Editor) -> str:
    def exchange(table: Array) -> Array:
        rows = editor.random.choice(len(table) - 1, 2, replace=False)
        table[rows] = table[rows[::-1]]
        return table

    return change_table(editor, exchange)


@fault("embedding", TRANSFORMERS)
def rows_normalised(editor: Editor) -> str:
    return change_table(editor, lambda table: table / np.linalg.norm(table, axis=1, keepdims=True))


@fault("embedding", TRANSFORMERS)
def rows_one_off(editor: Editor) -> str:
    def shift(table: Array) -> Array:
        table[:-1] = np.roll(table[:-1], 1, axis=0)
        return table

    return change_table(editor, shift)


@fault("embedding", TRANSFORMERS)
def latents_side_by_side_in_reverse(editor: Editor) -> str:
    node = editor.first(editor.nodes("Concat", MODULE))
    names = list(node.input)[::-1]
    del node.input[:]
    node.input.extend(names)
    return MODULE


@fault("embedding", TRANSFORMERS)
def latents_interleaved_over_codebooks(editor: Editor) -> str:
    node = editor.first(editor.nodes("Concat", MODULE))
    width = editor.array(f"{PROJECTION}.weight").shape[0]
    order = np.arange(width).reshape(len(node.input), -1).T.reshape(-1)
    editor.after(node.output[0], "Gather", editor.constant(order), axis=2)
    return MODULE


@fault("embedding", TRANSFORMERS)
def projection_without_bias(editor: Editor) -> str:
    editor.bypass(editor.node("Add", PROJECTION))
    return PROJECTION


@fault("embedding", TRANSFORMERS)
def codes_shifted_in_time(editor: Editor) -> str:
    """Each step but the first takes the code of the step before it."""
    node = editor.pick(lookups(editor))
    first, rest = (
        editor.compute(node, "Slice", node.input[1], *(editor.constant([n]) for n in (0, end, 1)))
        for end in (1, -1)
    )
    node.input[1] = editor.compute(node, "Concat", first, rest, axis=1)
    return MODULE
