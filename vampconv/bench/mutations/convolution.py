"""Faults of convolutions, their sums, and the ends of the audio parts."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from vampconv.bench.mutations.editor import Editor, NotApplicableError, module_of
from vampconv.bench.mutations.family import AUDIO, CODEC, DECODER, ENCODER, fault

TRANSPOSED = r"decoder\.model\.\d+\.block\.1"
MEAN = r"decoder\.model\.\d+\.block\.2"


def _conv(editor: Editor, *, wide: bool = False, within: str = ".*") -> NodeProto:
    """A convolution, if asked one that takes more than one step."""
    nodes = editor.nodes("Conv", within)
    return editor.pick([n for n in nodes if not wide or editor.array(n.input[1]).shape[-1] > 1])


def _pads(editor: Editor, node: NodeProto, left: int, right: int) -> str:
    """Change the padding in time."""
    pads = list(editor.attribute(node, "pads"))
    half = len(pads) // 2
    pads[half - 1] += left
    pads[-1] += right
    if min(pads) < 0:
        raise NotApplicableError
    editor.set(node, pads=pads)
    return module_of(node)


@fault("convolution", AUDIO)
def padding_moved_by_one(editor: Editor) -> str:
    side = editor.pick([-1, 1])
    return _pads(editor, _conv(editor, wide=True), side, -side)


@fault("convolution", AUDIO)
def padding_one_more(editor: Editor) -> str:
    return _pads(editor, _conv(editor, wide=True), 1, 1)


@fault("convolution", AUDIO)
def padding_one_less(editor: Editor) -> str:
    return _pads(editor, _conv(editor, wide=True), -1, -1)


@fault("convolution", AUDIO)
def padding_causal(editor: Editor) -> str:
    node = _conv(editor, wide=True)
    right = list(editor.attribute(node, "pads"))[-1]
    if not right:
        raise NotApplicableError
    return _pads(editor, node, right, -right)


@fault("convolution", AUDIO)
def dilation_left_out(editor: Editor) -> str:
    nodes = [n for n in editor.nodes("Conv") if max(editor.attribute(n, "dilations")) > 1]
    node = editor.pick(nodes)
    dilations, pads = list(editor.attribute(node, "dilations")), list(editor.attribute(node, "pads"))
    editor.set(node, dilations=[1] * len(dilations), pads=[p // max(dilations) for p in pads])
    return module_of(node)


@fault("convolution", AUDIO)
def dilation_one_more(editor: Editor) -> str:
    """The padding follows, so that the length stays."""
    nodes = [n for n in editor.nodes("Conv") if editor.array(n.input[1]).shape[-1] % 2 and _span(editor, n)]
    node = editor.pick(nodes)
    dilations, pads = list(editor.attribute(node, "dilations")), list(editor.attribute(node, "pads"))
    more = (editor.array(node.input[1]).shape[-1] - 1) // 2
    dilations[-1] += 1
    pads[len(pads) // 2 - 1] += more
    pads[-1] += more
    editor.set(node, dilations=dilations, pads=pads)
    return module_of(node)


def _span(editor: Editor, node: NodeProto) -> bool:
    return bool(editor.array(node.input[1]).shape[-1] > 1)


@fault("convolution", AUDIO)
def stride_one_more(editor: Editor) -> str:
    node = _conv(editor)
    strides = list(editor.attribute(node, "strides"))
    strides[-1] += 1
    editor.set(node, strides=strides)
    return module_of(node)


@fault("convolution", AUDIO)
def kernel_reversed(editor: Editor) -> str:
    node = _conv(editor, wide=True)
    editor.put(node.input[1], editor.array(node.input[1])[..., ::-1])
    return module_of(node)


@fault("convolution", AUDIO)
def bias_left_out(editor: Editor) -> str:
    node = _conv(editor)
    del node.input[2:]
    return module_of(node)


@fault("convolution", AUDIO)
def inputs_and_outputs_exchanged(editor: Editor) -> str:
    nodes = [n for n in editor.nodes("Conv") if len(set(editor.array(n.input[1]).shape[:2])) == 1]
    node = editor.pick([n for n in nodes if editor.array(n.input[1]).shape[0] > 1])
    editor.put(node.input[1], editor.array(node.input[1]).swapaxes(0, 1))
    return module_of(node)


@fault("convolution", DECODER)
def transposed_cut_one_step_off(editor: Editor) -> str:
    """The edges of a transposed convolution are cut one step too far to one side."""
    node = editor.node("Slice", TRANSPOSED)
    start, end = (int(editor.array(node.input[i])[0]) for i in (1, 2))
    side = editor.pick([-1, 1]) if start > 0 and end < -1 else 1
    if end + side >= 0:
        raise NotApplicableError
    editor.give(node, 1, [start + side])
    editor.give(node, 2, [end + side])
    return module_of(node)


@fault("convolution", DECODER)
def phases_of_a_transposed_convolution_reversed(editor: Editor) -> str:
    node = editor.node("Transpose", TRANSPOSED)
    stride = int(editor.array(editor.maker(node.input[0]).input[1])[2])
    axis = list(editor.attribute(node, "perm")).index(2)
    editor.after(node.output[0], "Gather", editor.constant(np.arange(stride)[::-1]), axis=axis)
    return module_of(node)


@fault("convolution", DECODER)
def phases_not_interleaved(editor: Editor) -> str:
    node = editor.node("Transpose", TRANSPOSED)
    editor.bypass(node)
    return module_of(node)


@fault("sums", CODEC)
def skip_dropped(editor: Editor) -> str:
    node = _residual(editor)
    editor.bypass(node, 1)
    return module_of(node)


@fault("sums", CODEC)
def branch_dropped(editor: Editor) -> str:
    node = _residual(editor)
    editor.bypass(node, 0)
    return module_of(node)


def _residual(editor: Editor) -> NodeProto:
    """The sum of a residual unit."""
    return editor.node("Add", r"encoder\.block\.\d+\.block\.\d+|decoder\..*\.mrf_blocks\.\d+\.block\.\d+")


@fault("sums", DECODER)
def branches_summed_not_averaged(editor: Editor) -> str:
    node = editor.node("Div", MEAN)
    editor.bypass(node)
    return module_of(node)


@fault("sums", DECODER)
def branches_averaged_as_if_two(editor: Editor) -> str:
    node = editor.node("Div", MEAN)
    editor.give(node, 1, 2.0)
    return module_of(node)


@fault("sums", DECODER)
def one_branch_taken_twice(editor: Editor) -> str:
    node = editor.node("Add", MEAN)
    node.input[1] = editor.first(editor.nodes("Add", MEAN)).input[0]
    return module_of(node)


@fault("sums", DECODER)
def branches_one_after_another(editor: Editor) -> str:
    """A branch goes on from the one before it, not from what all of them take."""
    module = module_of(editor.node("Div", MEAN))
    first = [editor.nodes(within=rf"{module}\.mrf_blocks\.{i}\.block\.0.*") for i in (0, 1)]
    taken = first[0][0].input[0]
    ended = editor.nodes("Add", rf"{module}\.mrf_blocks\.0\.block\.\d+")[-1].output[0]
    for node in first[1]:
        for index, name in enumerate(node.input):
            if name == taken:
                node.input[index] = ended
    return f"{module}.mrf_blocks.1.block.0"


@fault("ends", DECODER)
def tanh_missing(editor: Editor) -> str:
    node = editor.node("Tanh")
    editor.bypass(node)
    return module_of(node)


@fault("ends", DECODER)
def tanh_twice(editor: Editor) -> str:
    node = editor.node("Tanh")
    editor.after(node.output[0], "Tanh")
    return module_of(node)


@fault("ends", DECODER)
def clipped_for_tanh(editor: Editor) -> str:
    node = editor.node("Tanh")
    editor.become(node, "Clip", node.input[0], editor.constant(-1.0), editor.constant(1.0))
    return module_of(node)


@fault("ends", ENCODER)
def padded_on_the_left(editor: Editor) -> str:
    node = editor.node("Concat", "encoder")
    zeros = editor.array(node.input[0])
    rest = editor.constant(np.zeros(3, np.int64))
    node.input[0] = editor.constant(zeros[:2])
    node.input.append(rest)
    return "encoder"


@fault("ends", ENCODER)
def padded_by_repeating_the_edge(editor: Editor) -> str:
    editor.set(editor.node("Pad", "encoder"), mode="edge")
    return "encoder"


@fault("ends", ENCODER)
def not_padded(editor: Editor) -> str:
    editor.bypass(editor.node("Pad", "encoder"))
    return "encoder"


@fault("ends", ENCODER)
def padded_by_a_whole_hop(editor: Editor) -> str:
    """Even where the audio is a multiple of the hop; and one step too much elsewhere."""
    node = editor.node("Mod", "encoder")
    editor.after(node.output[0], "Add", editor.constant(np.array([int(editor.array(node.input[1]))])))
    return "encoder"


@fault("ends", ENCODER)
def padded_to_half_the_hop(editor: Editor) -> str:
    node = editor.node("Mod", "encoder")
    editor.give(node, 1, int(editor.array(node.input[1])) // 2)
    return "encoder"
