"""What earlier exporters of these models did wrong: DESIGN's first paragraph, and the traps of UPSTREAM.

Each is written as the whole mistake, not as one wrong tensor: most of them sit in many modules at once, and
right is who names the first of these, or any of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vampconv.bench.mutations import (
    adapters,
    attention,
    classifier,
    convolution,
    embedding,
    feed_forward,
    lengths,
    norm,
    position_bias,
    quantizer,
)
from vampconv.bench.mutations.editor import Array, Editor, NotApplicableError, module_of
from vampconv.bench.mutations.family import (
    CODEC,
    DECODER,
    ENCODER,
    FAMILIES,
    TRANSFORMERS,
    Family,
    Put,
    fault,
)

GROUP = "earlier exporters"
MOVED, OF = 121, 374
"""Weights that were moved, of all."""
BIAS_TABLE = "transformer.layers.0.self_attn.relative_attention_bias.weight"


def _at_random(editor: Editor, chosen: Sequence[str]) -> tuple[str, ...]:
    """Leave weights as a constructor makes them: uniform in ±1/√fan-in, norms at 1, biases at 0."""
    modules = []
    for name, node in list(editor.weights()):
        if name not in chosen:
            continue
        array = editor.array(name)
        width = 1 / np.sqrt(max(array.size // array.shape[-1], 1)) if array.ndim > 1 else 0.0
        new: Array = editor.random.uniform(-width, width, array.shape)
        if array.ndim == 1:
            new = np.full(array.shape, 1.0 if "norm" in name and name.endswith("weight") else 0.0)
        editor.put(name, new.astype(np.float32))
        modules.append(module_of(node))
    return tuple(dict.fromkeys(modules))


@fault(GROUP)
def _121_of_374_weights_moved(editor: Editor) -> tuple[str, ...]:
    """The others stay as they were initialised."""
    names = [name for name, _ in editor.weights()]
    left = round(len(names) * (1 - MOVED / OF))
    return _at_random(editor, [str(n) for n in editor.random.choice(names, left, replace=False)])


@fault(GROUP)
def no_weight_moved(editor: Editor) -> tuple[str, ...]:
    return _at_random(editor, [name for name, _ in editor.weights()])


@fault(GROUP)
def layers_beyond_the_first_not_moved(editor: Editor) -> tuple[str, ...]:
    names = [name for name, node in editor.weights() if ".1." in module_of(node) or ".2." in module_of(node)]
    return _at_random(editor, names)


@fault(GROUP, TRANSFORMERS)
def sequence_frozen_at_100(editor: Editor) -> str:
    """Every place that knows the length has it as a constant."""
    node = editor.first(editor.nodes("Range", lengths.FIRST))
    editor.give(node, 1, 100)
    return lengths.FIRST


@fault(GROUP, TRANSFORMERS)
def random_tables_for_the_codecs(editor: Editor) -> str:
    for node in embedding.lookups(editor):
        table = editor.array(node.input[0])
        new = editor.random.standard_normal(table[:-1].shape)
        editor.put(node.input[0], np.concatenate([new, table[-1:]]).astype(np.float32))
    return embedding.MODULE


@fault(GROUP, TRANSFORMERS)
def random_tables_and_mask_rows(editor: Editor) -> str:
    for node in embedding.lookups(editor):
        table = editor.array(node.input[0])
        editor.put(node.input[0], (0.02 * editor.random.standard_normal(table.shape)).astype(np.float32))
    return embedding.MODULE


@fault(GROUP, TRANSFORMERS)
def nan_from_the_logarithm_of_0(editor: Editor) -> str:
    """The bucket of the diagonal by log(0), which the original computes and discards."""
    table = editor.array(BIAS_TABLE)
    table[:, table.shape[1] // 2] = np.nan
    editor.put(BIAS_TABLE, table)
    return lengths.FIRST


@fault(GROUP, TRANSFORMERS)
def nan_where_everything_is_masked(editor: Editor) -> str:
    """MASK rows that were never read are NaN."""
    for node in embedding.lookups(editor):
        table = editor.array(node.input[0])
        table[-1] = np.nan
        editor.put(node.input[0], table)
    return embedding.MODULE


@fault(GROUP, TRANSFORMERS)
def nan_from_a_norm_of_0(editor: Editor) -> str:
    """One row of the classifier is 0/0, where the weight norm finds nothing."""
    weight = editor.array(classifier.WEIGHT)
    weight[:, int(editor.random.integers(weight.shape[1]))] = np.nan
    editor.put(classifier.WEIGHT, weight)
    return classifier.MODULE


@fault(GROUP, TRANSFORMERS)
def position_bias_in_layer_0_only(editor: Editor) -> tuple[str, ...]:
    adds = [n for n in editor.nodes("Add Attention", attention.ATTENTION) if not editor.constants(n)]
    for node in adds[1:]:
        if node.op_type == attention.FUSED:
            del node.input[3]
        else:
            editor.bypass(node)
    return tuple(map(module_of, adds[1:]))


@fault(GROUP, TRANSFORMERS)
def buckets_by_a_logarithm_in_float32(editor: Editor) -> str:
    """Where ``log(n/8)/log(16)·8`` should be an integer, it falls on the other side."""
    table = editor.array(BIAS_TABLE)
    middle = table.shape[1] // 2
    for start in (16, 32, 64):
        for side in (-1, 1):
            table[:, middle + side * start] = table[:, middle + side * (start - 1)]
    editor.put(BIAS_TABLE, table)
    return lengths.FIRST


@fault(GROUP, TRANSFORMERS)
def adapters_left_out_everywhere(editor: Editor) -> tuple[str, ...]:
    paths = sorted(n.removesuffix(".lora_A") for n in editor.state if n.endswith(".lora_A"))
    if not paths:
        raise NotApplicableError
    for path in paths:
        editor.put(f"{path}.weight", editor.state[f"{path}.weight"].T)
    return tuple(paths)


@fault(GROUP, TRANSFORMERS)
def square_linears_not_transposed(editor: Editor) -> tuple[str, ...]:
    modules = []
    for name, node in editor.weights():
        array = editor.array(name)
        if node.op_type == "MatMul" and array.shape[0] == array.shape[-1]:
            editor.put(name, array.T)
            modules.append(module_of(node))
    return tuple(modules)


@fault(GROUP, TRANSFORMERS)
def conditioning_codebooks_first_in_the_logits(editor: Editor) -> str | tuple[str, ...]:
    """The rows of the first codebooks, as if none of them conditioned; all later ones move up."""
    if editor.graph.name == "coarse":
        raise NotApplicableError
    return classifier.codebooks_in_another_order(editor)


@fault(GROUP, DECODER)
def coarse_codes_alone_refused(editor: Editor) -> str | tuple[str, ...]:
    """A decoder that wants all codebooks."""
    return lengths.count_of_codebooks(editor)


@fault(GROUP, ENCODER)
def audio_padded_beforehand_to_one_size(editor: Editor) -> str | tuple[str, ...]:
    return lengths.padding_of_one_size_of_audio(editor)


@fault(GROUP, CODEC)
def codecs_weight_norm_ignored(editor: Editor) -> tuple[str, ...]:
    """Directions are taken for weights, in every convolution where they stand unfolded."""
    modules = []
    for name, node in list(editor.weights()):
        if node.op_type == "Conv" and f"{name}_g" in editor.state and name.endswith(".0.weight"):
            v, g = editor.state[f"{name}_v"], editor.state[f"{name}_g"]
            gain = g / np.sqrt(np.square(v).sum((1, 2), keepdims=True))
            array = editor.array(name)
            editor.put(name, (array.reshape(v.shape) / gain).reshape(array.shape).astype(np.float32))
            modules.append(module_of(node))
    if not modules:
        raise NotApplicableError
    return tuple(modules)


@fault(GROUP, CODEC)
def silence(editor: Editor) -> tuple[str, ...]:
    """All of a codec's weights are zero: it runs, and nothing comes out."""
    modules = []
    for name, node in list(editor.weights()):
        editor.put(name, np.zeros_like(editor.array(name)))
        modules.append(module_of(node))
    return tuple(dict.fromkeys(modules))


def _enter(put: Put, parts: frozenset[str]) -> None:
    """A mistake that another chapter has too, under the earlier exporters."""
    FAMILIES.append(Family(put.__name__.strip("_").replace("_", " "), GROUP, parts, put))


for _put in (
    adapters.pair_for_the_keys,
    adapters.pair_not_divided_by_the_rank,
    attention.position_bias_transposed_in_one_layer,
    attention.scale_missing,
    classifier.codebook_major_logits,
    classifier.rows_in_the_order_of_the_checkpoint,
    classifier.weight_norm_left_out,
    classifier.weight_norm_over_the_wrong_dimension,
    embedding.latents_interleaved_over_codebooks,
    embedding.mask_row_missing,
    embedding.mask_row_zero,
    embedding.one_table_for_all_codebooks,
    feed_forward.erf_for_tanh,
    feed_forward.halves_of_the_gate_swapped,
    lengths.batch_of_1_where_heads_are_split,
    lengths.length_of_the_logits,
    norm.layer_norm_instead,
    position_bias.a_bucket_begins_one_step_off,
    position_bias.sign_of_the_distance,
):
    _enter(_put, TRANSFORMERS)
for _put in (
    convolution.tanh_missing,
    quantizer.biases_of_codebooks_that_are_not_given,
    quantizer.mask_token_not_taken_for_code_0,
    quantizer.requantisation_not_applied,
    adapters.weight_norm_of_a_transposed_convolution_over_its_outputs,
):
    _enter(_put, DECODER)
for _put in (convolution.padded_on_the_left, convolution.not_padded, quantizer.last_of_equal_rows):
    _enter(_put, ENCODER)
_enter(adapters.convolutions_weight_norm_over_the_wrong_dimension, CODEC)
