"""Faults of the residual vector quantizer, on the way in and on the way out."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from vampconv.bench.mutations.editor import Array, Editor, NotApplicableError, module_of
from vampconv.bench.mutations.family import DECODER, ENCODER, fault

BOOK = r"quantizer\.quantizers\.\d+"
PROJECTION = rf"{BOOK}\.(in|out)_proj"
OUT = "quantizer"


def _books(editor: Editor) -> list[str]:
    """Codebooks that are searched and looked up; the rows of the last one are not needed for codes."""
    return [module_of(n) for n in editor.nodes("Gather", BOOK)]


def _scores(editor: Editor, book: str) -> tuple[NodeProto, NodeProto, NodeProto]:
    """Of one codebook: the product with its normalised rows, the arg-max, and the look-up."""
    return (
        editor.first(editor.nodes("MatMul", book)),
        editor.first(editor.nodes("ArgMax", book)),
        editor.first(editor.nodes("Gather", book)),
    )


@fault("quantizer", ENCODER)
def residual_not_subtracted(editor: Editor) -> str:
    node = editor.node("Sub", BOOK)
    editor.bypass(node)
    return module_of(node)


@fault("quantizer", ENCODER)
def residual_added(editor: Editor) -> str:
    node = editor.node("Sub", BOOK)
    editor.become(node, "Add", *node.input)
    return module_of(node)


@fault("quantizer", ENCODER)
def residual_of_the_first_input(editor: Editor) -> str:
    """Each codebook's part is subtracted from the encoder's output itself."""
    nodes = editor.nodes("Sub", BOOK)
    node = editor.pick(nodes[1:])
    node.input[0] = nodes[0].input[0]
    return module_of(node)


@fault("quantizer", ENCODER)
def codebooks_exchanged(editor: Editor) -> str:
    """All tables of two codebooks."""
    books = _books(editor)
    one, other = sorted(editor.random.choice(len(books), 2, replace=False))
    for first, second in zip(_scores(editor, books[one]), _scores(editor, books[other]), strict=True):
        for i in editor.constants(first):
            if editor.array(first.input[i]).size > 1:
                first.input[i], second.input[i] = second.input[i], first.input[i]
    return books[one]


@fault("quantizer", ENCODER)
def codes_in_another_order(editor: Editor) -> str:
    node = editor.node("Concat", "")
    if node.output[0] != "codes":
        raise NotApplicableError
    names = list(node.input)
    names[0], names[1] = names[1], names[0]
    for index, name in enumerate(names):
        node.input[index] = name
    return ""


@fault("quantizer", ENCODER)
def last_of_equal_rows(editor: Editor) -> str:
    node = editor.node("ArgMax", BOOK)
    editor.set(node, select_last_index=1)
    return module_of(node)


@fault("quantizer", ENCODER)
def farthest_row(editor: Editor) -> str:
    node = editor.node("ArgMax", BOOK)
    node.op_type = "ArgMin"
    return module_of(node)


@fault("quantizer", ENCODER)
def rows_not_normalised_for_the_search(editor: Editor) -> str:
    product, _, lookup = _scores(editor, editor.pick(_books(editor)))
    editor.give(product, 1, editor.array(lookup.input[0]).T)
    return module_of(product)


@fault("quantizer", ENCODER)
def nearest_by_distance_not_by_angle(editor: Editor) -> str:
    """The nearest row itself: the greatest ``x·b - |b|²/2``, nothing normalised."""
    product, _, lookup = _scores(editor, editor.pick(_books(editor)))
    module = module_of(product)
    table = editor.array(lookup.input[0])
    product.input[0] = editor.first(editor.nodes("Div", module)).input[0]
    editor.give(product, 1, table.T)
    add = editor.takers(product.output[0])[0]
    editor.give(add, 1, -np.square(table).sum(1)[None] / 2)
    return module


@fault("quantizer", ENCODER)
def normalised_rows_looked_up(editor: Editor) -> str:
    *_, lookup = _scores(editor, editor.pick(_books(editor)))
    table = editor.array(lookup.input[0])
    editor.give(lookup, 0, table / np.linalg.norm(table, axis=1, keepdims=True))
    return module_of(lookup)


@fault("quantizer", ENCODER)
def latents_for_rows(editor: Editor) -> str:
    """What is projected back is the latent itself, not the row that was chosen."""
    *_, lookup = _scores(editor, editor.pick(_books(editor)))
    module = module_of(lookup)
    editor.become(lookup, "Identity", editor.first(editor.nodes("Add", rf"{module}\.in_proj")).output[0])
    return module


@fault("quantizer", ENCODER, is_certain=True)
def one_row_of_the_searched_table_off_by_a_thousandth(editor: Editor) -> str:
    product, *_ = _scores(editor, editor.pick(_books(editor)))
    rows = editor.array(product.input[1])
    column = int(editor.random.integers(rows.shape[1]))
    rows[:, column] += 1e-3 * editor.random.standard_normal(len(rows))
    editor.give(product, 1, rows)
    return module_of(product)


@fault("quantizer", ENCODER, is_certain=True)
def a_row_that_is_never_found(editor: Editor) -> str:
    product, *_ = _scores(editor, editor.pick(_books(editor)))
    rows = editor.array(product.input[1])
    rows[:, int(editor.random.integers(rows.shape[1]))] = editor.pick([0.0, np.nan])
    editor.give(product, 1, rows)
    return module_of(product)


@fault("quantizer", ENCODER, is_certain=True)
def a_row_wrong_where_it_is_looked_up(editor: Editor) -> str:
    *_, lookup = _scores(editor, editor.pick(_books(editor)))
    table = editor.array(lookup.input[0])
    table[int(editor.random.integers(len(table)))] *= editor.pick([0.0, 1.001, np.nan])
    editor.give(lookup, 0, table)
    return module_of(lookup)


@fault("quantizer", ENCODER)
def projection_without_bias(editor: Editor) -> str:
    node = editor.node("Add", PROJECTION)
    editor.bypass(node)
    return module_of(node)


@fault("quantizer", DECODER)
def requantisation_not_applied(editor: Editor) -> str:
    """Each code is its own row, though an earlier row may have the same direction."""
    node = editor.node("Gather", OUT)
    names = [f"quantizer.quantizers.{i}.codebook.weight" for i in range(len(editor.state))]
    rows = np.concatenate([editor.state[name] for name in names if name in editor.state])
    editor.put(node.input[0], rows.astype(np.float32))
    return OUT


def _change_rows(editor: Editor, table: Array) -> str:
    editor.put(editor.node("Gather", OUT).input[0], table)
    return OUT


@fault("quantizer", DECODER)
def tables_exchanged(editor: Editor) -> str:
    name = editor.node("Gather", OUT).input[0]
    rows, count = editor.array(name), _count(editor)
    books = rows.reshape(count, -1, rows.shape[1])
    one, other = editor.random.choice(count, 2, replace=False)
    books[[one, other]] = books[[other, one]]
    return _change_rows(editor, books.reshape(rows.shape))


def _count(editor: Editor) -> int:
    """How many codebooks there are."""
    biases = [editor.array(n.input[0]) for n in editor.nodes("Slice", OUT)]
    return int(min(len(b) for b in biases))


@fault("quantizer", DECODER)
def one_row_nan(editor: Editor) -> str:
    table = editor.array(editor.node("Gather", OUT).input[0])
    table[int(editor.random.integers(len(table)))] = np.nan
    return _change_rows(editor, table)


@fault("quantizer", DECODER)
def one_row_off_by_a_thousandth(editor: Editor) -> str:
    table = editor.array(editor.node("Gather", OUT).input[0])
    table[int(editor.random.integers(len(table)))] *= 1.001
    return _change_rows(editor, table)


@fault("quantizer", DECODER)
def rows_normalised(editor: Editor) -> str:
    table = editor.array(editor.node("Gather", OUT).input[0])
    return _change_rows(editor, table / np.linalg.norm(table, axis=1, keepdims=True))


@fault("quantizer", DECODER)
def tables_begin_one_row_off(editor: Editor) -> str:
    node = editor.pick([n for n in editor.nodes("Mul", OUT) if editor.array(n.input[1]).size == 1])
    if editor.maker(node.input[0]).op_type != "Range":
        node = editor.first(editor.nodes("Mul", OUT))
    editor.give(node, 1, int(editor.array(node.input[1])) - 1)
    return OUT


@fault("quantizer", DECODER)
def mask_token_not_taken_for_code_0(editor: Editor) -> str:
    """It reads the first row of the next table."""
    node = editor.first(editor.nodes("Where", OUT))
    editor.become(node, "Identity", "codes")
    return OUT


@fault("quantizer", DECODER)
def mask_token_taken_for_the_last_code(editor: Editor) -> str:
    node = editor.first(editor.nodes("Where", OUT))
    rows = len(editor.array(editor.node("Gather", OUT).input[0])) // _count(editor)
    editor.give(node, 1, rows - 1)
    return OUT


@fault("quantizer", DECODER)
def biases_of_codebooks_that_are_not_given(editor: Editor) -> str:
    """The projections' biases are summed over all codebooks, however many codes there are."""
    node = editor.first(
        n for n in editor.nodes("Slice", OUT) if len(editor.array(n.input[0])) == _count(editor)
    )
    editor.bypass(node)
    return OUT


@fault("quantizer", DECODER)
def bias_of_one_projection_only(editor: Editor) -> str:
    node = editor.first(
        n for n in editor.nodes("Slice", OUT) if len(editor.array(n.input[0])) == _count(editor)
    )
    biases = editor.array(node.input[0])
    biases[1:] = 0
    editor.give(node, 0, biases)
    return OUT


@fault("quantizer", DECODER)
def codebooks_averaged_not_summed(editor: Editor) -> str:
    node = editor.nodes("Add", OUT)[-1]
    editor.after(node.output[0], "Mul", editor.constant(1 / _count(editor)))
    return OUT


@fault("quantizer", DECODER)
def latents_and_steps_confused(editor: Editor) -> str:
    """Reshaped without moving the time before the codebooks."""
    node = editor.node("Transpose", OUT)
    editor.bypass(node)
    return OUT
