"""Faults of the gated feed-forward layer."""

from __future__ import annotations

import math

import numpy as np
from onnx import NodeProto

from vampconv.bench.mutations.editor import Array, Editor, NotApplicableError, attribute_of, module_of
from vampconv.bench.mutations.family import TRANSFORMERS, fault

ACT = r"transformer\.layers\.\d+\.feed_forward\.act"


def _gate(editor: Editor) -> tuple[NodeProto, str, int]:
    """The node that multiplies value and activated gate, the gate, and which input is the activated one."""
    split = editor.node("Split", ACT)
    value, gate = split.output
    last = editor.nodes("Mul", module_of(split))[-1]
    return last, gate, 1 - list(last.input).index(value)


def _activate(editor: Editor, *steps: tuple[str, float | None]) -> str:
    """Put another activation in the place of the tanh-GELU: steps on the gate, with a number or alone."""
    last, gate, index = _gate(editor)
    value = gate
    for op_type, number in steps:
        others = [] if number is None else [editor.constant(number)]
        value = editor.compute(last, op_type, value, *others)
    last.input[index] = value
    return module_of(last)


@fault("feed-forward", TRANSFORMERS)
def halves_of_the_gate_swapped(editor: Editor) -> str:
    node = editor.node("Split", ACT)
    node.output[0], node.output[1] = node.output[1], node.output[0]
    return module_of(node)


@fault("feed-forward", TRANSFORMERS)
def erf_for_tanh(editor: Editor) -> str:
    gelus = editor.nodes("Gelu", ACT)
    if gelus:
        node = editor.pick(gelus)
        editor.set(node, approximate="none")
        return module_of(node)
    last, gate, index = _gate(editor)
    curve = editor.compute(last, "Erf", editor.compute(last, "Mul", gate, editor.constant(1 / math.sqrt(2))))
    half = editor.compute(last, "Mul", gate, editor.constant(0.5))
    raised = editor.compute(last, "Add", curve, editor.constant(1.0))
    last.input[index] = editor.compute(last, "Mul", half, raised)
    return module_of(last)


@fault("feed-forward", TRANSFORMERS)
def relu_for_gelu(editor: Editor) -> str:
    return _activate(editor, ("Relu", None))


def _sigmoid_times(editor: Editor, slope: float) -> str:
    last, gate, index = _gate(editor)
    steep = editor.compute(last, "Mul", gate, editor.constant(slope))
    last.input[index] = editor.compute(last, "Mul", gate, editor.compute(last, "Sigmoid", steep))
    return module_of(last)


@fault("feed-forward", TRANSFORMERS)
def quick_gelu(editor: Editor) -> str:
    return _sigmoid_times(editor, 1.702)


@fault("feed-forward", TRANSFORMERS)
def swish_for_gelu(editor: Editor) -> str:
    return _sigmoid_times(editor, 1.0)


@fault("feed-forward", TRANSFORMERS)
def gate_not_activated(editor: Editor) -> str:
    return _activate(editor)


@fault("feed-forward", TRANSFORMERS)
def gate_left_out(editor: Editor) -> str:
    last, _, index = _gate(editor)
    editor.bypass(last, 1 - index)
    return module_of(last)


def _number(editor: Editor, wanted: float) -> tuple[NodeProto, int]:
    """A node of the written-out GELU that has this constant."""
    found = [
        (node, i)
        for node in editor.nodes("Mul", ACT)
        for i in editor.constants(node)
        if math.isclose(float(editor.array(node.input[i]).reshape(-1)[0]), wanted, rel_tol=1e-5)
    ]
    return editor.pick(found)


@fault("feed-forward", TRANSFORMERS)
def cubic_term_rounded(editor: Editor) -> str:
    node, index = _number(editor, 0.044715)
    editor.give(node, index, 0.0447)
    return module_of(node)


@fault("feed-forward", TRANSFORMERS)
def root_of_two_over_pi_rounded(editor: Editor) -> str:
    node, index = _number(editor, math.sqrt(2 / math.pi))
    editor.give(node, index, 0.79788)
    return module_of(node)


@fault("feed-forward", TRANSFORMERS)
def half_left_out(editor: Editor) -> str:
    node, index = _number(editor, 0.5)
    editor.give(node, index, 1.0)
    return module_of(node)


@fault("feed-forward", TRANSFORMERS)
def halves_interleaved(editor: Editor) -> str:
    """Value and gate taken in turn from the features in place of one after the other."""
    node = editor.node("Split", ACT)
    width = 2 * int(_half(editor, node))
    editor.before(node, 0, "Gather", editor.constant(np.arange(width).reshape(-1, 2).T.reshape(-1)), axis=2)
    return module_of(node)


def _half(editor: Editor, split: NodeProto) -> int:
    if len(split.input) > 1:
        sizes: Array = editor.array(split.input[1])
        return int(sizes[0])
    if attribute_of(split, "num_outputs") is None:
        raise NotApplicableError
    weight = editor.maker(split.input[0]).input[1]
    return int(editor.array(weight).shape[1]) // 2
