"""Sizes that are baked into the graph: right for one length or batch, wrong for any other."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from vampconv.bench.mutations.editor import Array, Editor, NotApplicableError, module_of
from vampconv.bench.mutations.family import DECODER, ENCODER, TRANSFORMERS, fault

FIRST = "transformer.layers.0.self_attn"
LENGTHS = (13, 40, 100)


@fault("lengths", TRANSFORMERS)
def positions_of_one_length(editor: Editor) -> str:
    node = editor.first(editor.nodes("Range", FIRST))
    editor.give(node, 1, editor.pick(LENGTHS))
    return FIRST


@fault("lengths", TRANSFORMERS)
def distances_of_one_length(editor: Editor) -> str:
    """The queries are as many as there are steps, the keys are not."""
    node = editor.first(editor.nodes("Sub", FIRST))
    steps = np.arange(editor.pick(LENGTHS))
    editor.give(node, 0, steps[None])
    return FIRST


def _reshape(editor: Editor, within: str) -> tuple[NodeProto, Array]:
    node = editor.node("Reshape", within)
    return node, editor.array(node.input[1]).copy()


@fault("lengths", TRANSFORMERS)
def batch_of_1_where_heads_are_split(editor: Editor) -> str:
    node, sizes = _reshape(editor, r"transformer\.layers\.\d+\.self_attn")
    sizes[:2] = 1, -1
    editor.give(node, 1, sizes)
    return module_of(node)


@fault("lengths", TRANSFORMERS)
def length_where_heads_are_split(editor: Editor) -> str:
    node, sizes = _reshape(editor, r"transformer\.layers\.\d+\.self_attn")
    sizes[:2] = -1, editor.pick(LENGTHS)
    editor.give(node, 1, sizes)
    return module_of(node)


@fault("lengths", TRANSFORMERS)
def length_of_the_logits(editor: Editor) -> str:
    node, sizes = _reshape(editor, r"classifier\.layers\.0")
    rows = editor.array("classifier.layers.0.bias").size // int(sizes[-1])
    sizes[:2] = -1, editor.pick(LENGTHS) * rows
    editor.give(node, 1, sizes)
    return "classifier.layers.0"


@fault("lengths", TRANSFORMERS)
def batch_of_the_logits(editor: Editor) -> str:
    node, sizes = _reshape(editor, r"classifier\.layers\.0")
    sizes[0] = 1
    editor.give(node, 1, sizes)
    return "classifier.layers.0"


@fault("lengths", TRANSFORMERS)
def first_steps_only(editor: Editor) -> str:
    """What is beyond the length that was traced is left out."""
    value = editor.nodes("Add", r"embedding\.out_proj")[-1].output[0]
    _cut(editor, value, editor.pick([8, 12]), axis=1)
    return "embedding.out_proj"


def _cut(editor: Editor, value: str, end: int, axis: int) -> None:
    editor.after(value, "Slice", *(editor.constant([n]) for n in (0, end, axis)))


@fault("lengths", ENCODER)
def padding_of_one_size_of_audio(editor: Editor) -> str:
    """As many zeros as the traced audio needed."""
    node = editor.first(editor.nodes("Concat", "encoder"))
    hop = int(editor.array(editor.first(editor.nodes("Mod", "encoder")).input[1]))
    node.input[1] = editor.constant([int(editor.random.integers(1, hop))])
    return "encoder"


@fault("lengths", ENCODER)
def audio_padded_beforehand(editor: Editor) -> str:
    """The graph relies on audio whose length is a multiple of the hop."""
    editor.bypass(editor.first(editor.nodes("Pad", "encoder")))
    return "encoder"


@fault("lengths", ENCODER)
def first_frames_only(editor: Editor) -> str:
    value = editor.first(editor.nodes("Transpose", "")).output[0]
    _cut(editor, value, 8, axis=1)
    return ""


@fault("lengths", DECODER)
def count_of_codebooks(editor: Editor) -> str:
    """All codebooks are taken, however many there are codes of."""
    shape = editor.first(editor.nodes("Shape", "quantizer"))
    count = min(len(editor.array(n.input[0])) for n in editor.nodes("Slice", "quantizer"))
    value, fixed = shape.output[0], editor.constant([count])
    for node in editor.takers(value):
        node.input[list(node.input).index(value)] = fixed
    return "quantizer"


@fault("lengths", DECODER)
def length_where_latents_are_joined(editor: Editor) -> str:
    node = editor.first(editor.nodes("Concat", "quantizer"))
    editor.give(node, 0, [-1, editor.pick(LENGTHS)])
    return "quantizer"


@fault("lengths", DECODER)
def batch_of_1_in_a_transposed_convolution(editor: Editor) -> str:
    node, sizes = _reshape(editor, r"decoder\.model\.\d+\.block\.1")
    if sizes[0] != 0:
        raise NotApplicableError
    sizes[0] = 1
    editor.give(node, 1, sizes)
    return module_of(node)
