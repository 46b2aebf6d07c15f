"""Wrong ends of the transformer: embedding, controls and classifier."""

from __future__ import annotations

import numpy as np
from vampconv_rules.classifier import PermuteClassifier
from vampconv_rules.codec_embedding import GatherCodebookEmbedding
from vampconv_rules.control import LowerControlEncoder

from .variant import also, unguarded, wrong


def embed(op, codes, table, mask, codebook, m, *, rows=None, row=None, guard=True, axis=1):
    """The lowering with one part exchanged."""
    row = codebook if row is None else row(codebook, m.size("mask", 0))
    rows = (
        rows(op, table, op.Gather(mask, [row], axis=0))
        if rows
        else op.Concat(table, op.Gather(mask, [row], axis=0), axis=0)
    )
    if guard:
        codes = op.Where(op.Less(codes, 0), m.size("table", 0) + 1, codes)
    return op.Gather(rows, op.Gather(codes, codebook, axis=axis), axis=0)


for mistake, parts in {
    "the MASK row of codebook 0": {"row": lambda _codebook, _count: 0},
    "the MASK row of the last codebook": {"row": lambda _codebook, count: count - 1},
    "the MASK row of the next codebook": {"row": lambda codebook, count: (codebook + 1) % count},
    "the MASK row in front": {"rows": lambda op, table, mask: op.Concat(mask, table, axis=0)},
    "no MASK row": {"rows": lambda _op, table, _mask: table},
    "a zero for the MASK row": {"rows": lambda op, table, mask: op.Concat(table, op.Mul(mask, 0.0), axis=0)},
    "two MASK rows": {"rows": lambda op, table, mask: op.Concat(table, mask, mask, axis=0)},
    "negative codes count from the end": {"guard": False},
}.items():

    @wrong(GatherCodebookEmbedding, mistake)
    def _after(op, codes, table, mask, codebook, m, parts=parts):
        return embed(op, codes, table, mask, codebook, m, **parts)


@wrong(GatherCodebookEmbedding, "rows shifted by one")
def _after(op, codes, table, mask, codebook, m):
    rolled = op.Gather(table, np.roll(np.arange(m.size("table", 0)), 1), axis=0)
    return embed(op, codes, rolled, mask, codebook, m)


@wrong(GatherCodebookEmbedding, "rows reversed")
def _after(op, codes, table, mask, codebook, m):
    turned = op.Gather(table, np.arange(m.size("table", 0))[::-1].copy(), axis=0)
    return embed(op, codes, turned, mask, codebook, m)


@wrong(GatherCodebookEmbedding, "codes of codebook 0")
def _after(op, codes, table, mask, codebook, m):
    rows = op.Concat(table, op.Gather(mask, [codebook], axis=0), axis=0)
    guarded = op.Where(op.Less(codes, 0), m.size("table", 0) + 1, codes)
    return op.Gather(rows, op.Gather(guarded, 0, axis=1), axis=0)


@wrong(GatherCodebookEmbedding, "codes clipped into the table")
def _after(op, codes, table, mask, codebook, m):
    return embed(op, op.Clip(codes, 0, m.size("table", 0)), table, mask, codebook, m)


@wrong(GatherCodebookEmbedding, "negative codes are MASK")
def _after(op, codes, table, mask, codebook, m):
    masked = op.Where(op.Less(codes, 0), m.size("table", 0), codes)
    return embed(op, masked, table, mask, codebook, m, guard=False)


@wrong(GatherCodebookEmbedding, "features before time")
def _after(op, codes, table, mask, codebook, m):
    return op.Transpose(embed(op, codes, table, mask, codebook, m), perm=[0, 2, 1])


also(GatherCodebookEmbedding, "unguarded", require=unguarded)


def control_of(op, control, weight):
    return op.MatMul(op.Transpose(control, perm=[0, 2, 1]), op.Transpose(weight, perm=[1, 0]))


@wrong(LowerControlEncoder, "no mask")
def _after(op, control, weight, bias):
    return op.Add(control_of(op, control, weight), bias)


@wrong(LowerControlEncoder, "mask before the bias")
def _after(op, control, mask, weight, bias):
    return op.Add(op.Mul(control_of(op, control, weight), op.Unsqueeze(mask, [2])), bias)


@wrong(LowerControlEncoder, "mask on the control")
def _after(op, control, mask, weight, bias):
    silenced = op.Mul(control, op.Unsqueeze(mask, [1]))
    return op.Add(control_of(op, silenced, weight), bias)


@wrong(LowerControlEncoder, "mask inverted")
def _after(op, control, mask, weight, bias):
    return op.Mul(op.Add(control_of(op, control, weight), bias), op.Unsqueeze(op.Sub(1.0, mask), [2]))


@wrong(LowerControlEncoder, "no bias")
def _after(op, control, mask, weight):
    return op.Mul(control_of(op, control, weight), op.Unsqueeze(mask, [2]))


@wrong(LowerControlEncoder, "mask over the batch")
def _after(op, control, mask, weight, bias):
    return op.Mul(op.Add(control_of(op, control, weight), bias), op.Unsqueeze(mask, [0]))


@wrong(LowerControlEncoder, "mask as a threshold")
def _after(op, control, mask, weight, bias):
    kept = op.Cast(op.Greater(mask, 0.0), to=1)
    return op.Mul(op.Add(control_of(op, control, weight), bias), op.Unsqueeze(kept, [2]))


def classify(op, x, weight, bias, n_predict, m, *, split=(0, 1), order=(2, 1, 0), permute_bias=True):
    """The lowering with one part exchanged."""
    rows, dim = m.size("weight", 0), m.size("weight", 1)
    vocab = rows // n_predict
    sizes = [(vocab, n_predict)[i] for i in split]
    matrix = op.Reshape(op.Transpose(op.Reshape(weight, [*sizes, dim]), perm=list(order)), [dim, rows])
    if permute_bias:
        perm = [1, 0] if order == (2, 1, 0) else [0, 1]
        bias = op.Reshape(op.Transpose(op.Reshape(bias, sizes), perm=perm), [rows])
    return op.Add(op.MatMul(x, matrix), bias), vocab


for mistake, parts in {
    "rows not permuted": {"order": (2, 0, 1)},
    "permuted the other way": {"split": (1, 0)},
    "bias not permuted": {"permute_bias": False},
}.items():

    @wrong(PermuteClassifier, mistake)
    def _after(op, x, weight, bias, n_predict, m, parts=parts):
        logits, vocab = classify(op, x, weight, bias, n_predict, m, **parts)
        return op.Reshape(logits, [0, -1, vocab])


@wrong(PermuteClassifier, "weight not permuted, bias permuted")
def _after(op, x, weight, bias, n_predict, m):
    rows = m.size("weight", 0)
    vocab = rows // n_predict
    matrix = op.Transpose(op.Squeeze(weight, [2]), perm=[1, 0])
    offset = op.Reshape(op.Transpose(op.Reshape(bias, [vocab, n_predict]), perm=[1, 0]), [rows])
    return op.Reshape(op.Add(op.MatMul(x, matrix), offset), [0, -1, vocab])


@wrong(PermuteClassifier, "no bias")
def _after(op, x, weight, bias, n_predict, m):
    logits, vocab = classify(op, x, weight, op.Mul(bias, 0.0), n_predict, m)
    return op.Reshape(logits, [0, -1, vocab])


@wrong(PermuteClassifier, "vocab and n_predict swapped in the result")
def _after(op, x, weight, bias, n_predict, m):
    logits, _ = classify(op, x, weight, bias, n_predict, m)
    return op.Reshape(logits, [0, -1, n_predict])


@wrong(PermuteClassifier, "time fastest")
def _after(op, x, weight, bias, n_predict, m):
    logits, vocab = classify(op, x, weight, bias, n_predict, m)
    split = op.Reshape(logits, [0, 0, n_predict, vocab])
    return op.Reshape(op.Transpose(split, perm=[0, 2, 1, 3]), [0, -1, vocab])


@wrong(PermuteClassifier, "the original's layout, vocab before positions")
def _after(op, x, weight, bias, n_predict, m):
    logits, vocab = classify(op, x, weight, bias, n_predict, m)
    return op.Transpose(op.Reshape(logits, [0, -1, vocab]), perm=[0, 2, 1])


@wrong(PermuteClassifier, "log-probabilities")
def _after(op, x, weight, bias, n_predict, m):
    logits, vocab = classify(op, x, weight, bias, n_predict, m)
    return op.LogSoftmax(op.Reshape(logits, [0, -1, vocab]), axis=-1)


also(PermuteClassifier, "unguarded", require=unguarded)
