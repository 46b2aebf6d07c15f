"""Faults of what conditions the transformer: the noise level by FiLM, and controls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import NodeProto

from vampconv.bench.mutations.editor import Array, Editor, NotApplicableError, module_of
from vampconv.bench.mutations.family import TRANSFORMERS, fault

FILM = r"transformer\.layers\.\d+\.film_[13]"
NOISE = "r_embed"
CONTROL = r"ctrl_encoder\.ctrl_encoders\..+"


def _affine(editor: Editor) -> tuple[NodeProto, NodeProto]:
    """The nodes of one FiLM that compute γ and β."""
    module = module_of(editor.node("Gemm", FILM))
    gamma, beta = editor.nodes("Gemm", module)
    return gamma, beta


@fault("film", TRANSFORMERS)
def gain_not_raised_by_1(editor: Editor) -> str:
    module = module_of(editor.node("Gemm", FILM))
    node = editor.first(editor.nodes("Add", module))
    editor.bypass(node)
    return module


@fault("film", TRANSFORMERS)
def gain_and_shift_exchanged(editor: Editor) -> str:
    gamma, beta = _affine(editor)
    for index in (1, 2):
        gamma.input[index], beta.input[index] = beta.input[index], gamma.input[index]
    return module_of(gamma)


@fault("film", TRANSFORMERS)
def shift_left_out(editor: Editor) -> str:
    node = editor.nodes("Add", module_of(editor.node("Gemm", FILM)))[-1]
    editor.bypass(node)
    return module_of(node)


@fault("film", TRANSFORMERS)
def film_of_another_place(editor: Editor) -> str:
    gammas = editor.nodes("Gemm", FILM)[::2]
    one = editor.pick(range(len(gammas) - 1))
    for index in (1, 2):
        gammas[one].input[index] = gammas[one + 1].input[index]
    return module_of(gammas[one])


@fault("film", TRANSFORMERS)
def film_left_out(editor: Editor) -> str:
    module = module_of(editor.node("Gemm", FILM))
    x = editor.first(editor.nodes("Mul", module)).input[0]
    editor.become(editor.nodes("Add", module)[-1], "Identity", x)
    return module


@fault("film", TRANSFORMERS)
def film_before_the_norm(editor: Editor) -> str:
    """It takes what the norm takes."""
    module = module_of(editor.node("Gemm", FILM))
    norm = editor.nodes(within=module.replace("film_", "norm_"))
    editor.first(editor.nodes("Mul", module)).input[0] = norm[0].input[0]
    return module


def _noise(editor: Editor, op_type: str, index: int) -> NodeProto:
    nodes = editor.nodes(op_type, NOISE)
    if not nodes:
        raise NotApplicableError
    return nodes[index]


def _factor(editor: Editor, fits: Callable[[Array], bool]) -> tuple[NodeProto, int]:
    """A product of the noise embedding with such a constant, and which input that is."""
    return editor.first(
        (n, i)
        for n in editor.nodes("Mul", NOISE)
        for i in editor.constants(n)
        if fits(editor.array(n.input[i]))
    )


@fault("film", TRANSFORMERS)
def noise_level_not_through_its_cosine(editor: Editor) -> str:
    node = _noise(editor, "Clip", 0)
    node.input[0] = "r"
    return NOISE


@fault("film", TRANSFORMERS)
def noise_level_by_its_sine(editor: Editor) -> str:
    editor.bypass(_noise(editor, "Add", 0))
    return NOISE


@fault("film", TRANSFORMERS)
def sines_and_cosines_exchanged(editor: Editor) -> str:
    node = _noise(editor, "Concat", 0)
    node.input[0], node.input[1] = node.input[1], node.input[0]
    return NOISE


@fault("film", TRANSFORMERS)
def frequencies_spaced_by_half_the_width(editor: Editor) -> str:
    """10⁴ to the power of -i / (d / 2) in place of -i / (d / 2 - 1)."""
    node, index = _factor(editor, lambda numbers: numbers.size > 1)
    count = editor.array(node.input[index]).size
    editor.give(node, index, 10000.0 ** (-np.arange(count) / count)[None])
    return NOISE


@fault("film", TRANSFORMERS)
def noise_level_times_1000(editor: Editor) -> str:
    node, index = _factor(editor, lambda numbers: numbers.max() > 100)
    editor.give(node, index, 1000.0)
    return NOISE


@fault("controls", TRANSFORMERS)
def mask_not_applied(editor: Editor) -> str:
    node = editor.node("Mul", CONTROL)
    editor.bypass(node)
    return module_of(node)


@fault("controls", TRANSFORMERS)
def mask_before_the_bias(editor: Editor) -> str:
    """The control is masked, and the bias added everywhere."""
    module = module_of(editor.node("Mul", CONTROL))
    product, add, mul = (editor.first(editor.nodes(op, module)) for op in ("MatMul", "Add", "Mul"))
    mask, masked = mul.input[1], mul.output[0]
    bias = add.input[1]
    editor.become(mul, "Add", editor.compute(mul, "Mul", product.output[0], mask), bias)
    assert mul.output[0] == masked
    return module


@fault("controls", TRANSFORMERS)
def mask_of_another_control(editor: Editor) -> str:
    nodes = editor.nodes("Mul", CONTROL)
    if len(nodes) < 2:
        raise NotApplicableError
    one, other = (nodes[i] for i in editor.random.choice(len(nodes), 2, replace=False))
    mask = editor.first(n for n in editor.nodes("Unsqueeze", module_of(other)))
    own = editor.first(n for n in editor.nodes("Unsqueeze", module_of(one)))
    own.input[0] = mask.input[0]
    return module_of(one)


@fault("controls", TRANSFORMERS)
def control_without_bias(editor: Editor) -> str:
    node = editor.node("Add", CONTROL)
    editor.bypass(node)
    return module_of(node)


@fault("controls", TRANSFORMERS)
def one_control_left_out(editor: Editor) -> str:
    node = editor.node("Add", "ctrl_encoder")
    editor.bypass(node, editor.pick([0, 1]))
    return "ctrl_encoder"


@fault("controls", TRANSFORMERS)
def controls_ignored(editor: Editor) -> str:
    total = editor.node("Add", "ctrl_encoder").output[0]
    node = editor.takers(total)[0]
    editor.bypass(node, 0)
    return module_of(node)


@fault("controls", TRANSFORMERS)
def controls_averaged(editor: Editor) -> str:
    total = editor.node("Add", "ctrl_encoder").output[0]
    editor.after(total, "Mul", editor.constant(0.5))
    return "ctrl_encoder"
