"""Wrong quantisers: the nearest row, the table quantised again, and what codes stand for."""

from __future__ import annotations

import numpy as np
from vampconv_rules.decode_codes import GatherCodes
from vampconv_rules.nearest_code import NearestByProduct
from vampconv_rules.requantize import FoldRequantization

from .variant import also, unguarded, wrong


def norm(op, x, rank):
    return op.Sqrt(op.ReduceSum(op.Mul(x, x), [rank - 1], keepdims=1))


def unit(op, x, rank, tiny=1e-12):
    return op.Div(x, op.Max(norm(op, x, rank), tiny))


def of_zeros(op, table, tiny=1e-12):
    length = norm(op, table, 2)
    length = op.Div(length, op.Max(length, tiny))
    return op.Sub(0.5, op.Mul(op.Mul(length, length), 0.5))


def scores(op, latents, table, rank, *, a=unit, b=unit, zeros=of_zeros, product=None):
    """The scores with one part exchanged."""
    rows = op.Transpose(b(op, table, 2), perm=[1, 0])
    found = op.MatMul(a(op, latents, rank), rows)
    found = product(op, found) if product else found
    return op.Add(found, op.Transpose(zeros(op, table), perm=[1, 0])) if zeros else found


def plain(_op, x, _rank):
    return x


SCORES = {
    "the table not normalised": {"b": plain},
    "latents' norm only": {"b": plain, "zeros": None},
    "neither normalised": {"a": plain, "b": plain},
    "the plain Euclidean distance": {
        "a": plain,
        "b": plain,
        "zeros": lambda op, t: op.Mul(op.ReduceSum(op.Mul(t, t), [1], keepdims=1), -0.5),
    },
    "the table over its squared norm": {
        "b": lambda op, x, rank: op.Div(x, op.Max(op.Mul(norm(op, x, rank), norm(op, x, rank)), 1e-12)),
    },
    "the table over its sum of magnitudes": {
        "b": lambda op, x, _rank: op.Div(x, op.Max(op.ReduceSum(op.Abs(x), [1], keepdims=1), 1e-12)),
    },
    "columns normalised": {
        "b": lambda op, x, _rank: op.Div(x, op.Sqrt(op.ReduceSum(op.Mul(x, x), [0], keepdims=1))),
    },
    "rows of zeros not handled": {"zeros": None},
    "rows of zeros never chosen": {"zeros": lambda op, t: op.Neg(of_zeros(op, t))},
    "rows of zeros at distance 0": {"zeros": lambda op, t: op.Mul(of_zeros(op, t), 2.0)},
    "rows of zeros divided by": {
        "b": lambda op, x, rank: op.Div(x, norm(op, x, rank)),
    },
    "rows shorter than the least norm taken for whole": {
        "zeros": lambda op, t: op.Sub(0.5, op.Mul(op.Sign(norm(op, t, 2)), 0.5)),
    },
    "magnitude of the cosine": {"product": lambda op, s: op.Abs(s)},
    "the opposite direction": {"product": lambda op, s: op.Neg(s)},
}
LATENTS = {
    "latents not normalised": {"a": plain},
    "latents of zero divided by": {"a": lambda op, x, rank: op.Div(x, norm(op, x, rank))},
    "latents' least norm of 1e-3": {"a": lambda op, x, rank: unit(op, x, rank, 1e-3)},
    "latents' least norm of 1e-15": {"a": lambda op, x, rank: unit(op, x, rank, 1e-15)},
    "an eps under latents' root": {
        "a": lambda op, x, _rank: op.Div(
            x, op.Sqrt(op.Add(op.ReduceSum(op.Mul(x, x), [2], keepdims=1), 1e-6))
        ),
    },
    "normalised over time": {
        "a": lambda op, x, _rank: op.Div(
            x, op.Max(op.Sqrt(op.ReduceSum(op.Mul(x, x), [1], keepdims=1)), 1e-12)
        ),
    },
}


def chosen(op, found, *, axis=-1, last=0, least=False):
    pick = op.ArgMin if least else op.ArgMax
    return pick(found, axis=axis, keepdims=0, select_last_index=last)


for mistake, parts in {**SCORES, **LATENTS}.items():

    @wrong(NearestByProduct, mistake)
    def _after(op, latents, table, parts=parts):
        return chosen(op, scores(op, latents, table, 3, **parts))


for mistake, parts in SCORES.items():

    @wrong(FoldRequantization, mistake)
    def _after(op, table, parts=parts):
        return op.Gather(table, chosen(op, scores(op, table, table, 2, **parts)), axis=0)


CHOICES = {"arg-min": {"least": True}, "the last of equal ones": {"last": 1}}

for mistake, parts in CHOICES.items():

    @wrong(NearestByProduct, mistake)
    def _after(op, latents, table, parts=parts):
        return chosen(op, scores(op, latents, table, 3), **parts)

    @wrong(FoldRequantization, mistake)
    def _after(op, table, parts=parts):
        return op.Gather(table, chosen(op, scores(op, table, table, 2), **parts), axis=0)


@wrong(NearestByProduct, "the nearest time of each row")
def _after(op, latents, table):
    return chosen(op, scores(op, latents, table, 3), axis=1)


@wrong(NearestByProduct, "the row, not its number")
def _after(op, latents, table):
    return op.Gather(table, chosen(op, scores(op, latents, table, 3)), axis=0)


@wrong(NearestByProduct, "numbers of 32 bits")
def _after(op, latents, table):
    return op.Cast(chosen(op, scores(op, latents, table, 3)), to=6)


@wrong(NearestByProduct, "an axis kept")
def _after(op, latents, table):
    return op.ArgMax(scores(op, latents, table, 3), axis=-1, keepdims=1)


@wrong(NearestByProduct, "counted from 1")
def _after(op, latents, table):
    return op.Add(chosen(op, scores(op, latents, table, 3)), 1)


@wrong(FoldRequantization, "the rows as they are")
def _after(op, table):
    return op.Identity(table)


@wrong(FoldRequantization, "numbers, not rows")
def _after(op, table):
    return chosen(op, scores(op, table, table, 2))


@wrong(FoldRequantization, "normalised rows")
def _after(op, table):
    return op.Gather(unit(op, table, 2), chosen(op, scores(op, table, table, 2)), axis=0)


@wrong(FoldRequantization, "in the direction of the nearest, of its own norm")
def _after(op, table):
    rows = op.Gather(unit(op, table, 2), chosen(op, scores(op, table, table, 2)), axis=0)
    return op.Mul(rows, norm(op, table, 2))


@wrong(FoldRequantization, "columns gathered")
def _after(op, table):
    near = chosen(op, scores(op, table, table, 2))
    return op.Gather(op.Transpose(table, perm=[1, 0]), op.Mod(near, 3), axis=0)


class Codes:
    """The lowering of DecodeCodes, whose methods variants exchange."""

    def __init__(self, op, codes, tables, weights, biases, m):
        self.op, self.codes, self.biases = op, codes, biases
        self.tables, self.weights = tables, weights
        self.codebooks, self.vocab, self.latent = (m.size("tables", axis) for axis in range(3))
        self.dim = m.size("weights", 1)
        self.count = op.Shape(codes, start=1, end=2)

    def mask(self):
        return self.op.Where(self.op.Equal(self.codes, self.vocab), 0, self.codes)

    def numbers(self):
        return self.op.Range(0, self.op.Squeeze(self.count, [0]), 1)

    def offsets(self):
        return self.op.Unsqueeze(self.op.Mul(self.numbers(), self.vocab), [1])

    def strange(self):
        op = self.op
        return op.Or(op.Less(self.codes, 0), op.Greater(self.codes, self.vocab))

    def rows(self):
        rows = self.op.Add(self.mask(), self.offsets())
        return self.op.Where(self.strange(), self.codebooks * self.vocab, rows)

    def joined(self):
        op = self.op
        flat = op.Reshape(self.tables, [self.codebooks * self.vocab, self.latent])
        found = op.Transpose(op.Gather(flat, self.rows(), axis=0), perm=[0, 2, 1, 3])
        return op.Reshape(found, op.Concat([0, 0], self.width(), axis=0))

    def width(self):
        return self.op.Mul(self.count, self.latent)

    def matrix(self):
        turned = self.op.Transpose(self.weights, perm=[0, 2, 1])
        return self.op.Reshape(turned, [self.codebooks * self.latent, self.dim])

    def used(self):
        return self.op.Slice(self.matrix(), [0], self.width(), [0])

    def bias(self):
        op = self.op
        return op.ReduceSum(op.Slice(self.biases, [0], self.count, [0]), [0], keepdims=0)

    def result(self):
        return self.op.Add(self.op.MatMul(self.joined(), self.used()), self.bias())


def turned(op, tables, count):
    return op.Gather(tables, np.arange(count)[::-1].copy(), axis=0)


def unmasked(c, rows):
    return c.op.Where(c.strange(), c.codebooks * c.vocab, rows)


for mistake, methods in {
    "no offsets": {"offsets": lambda c: c.op.Mul(Codes.offsets(c), 0)},
    "offsets of the vocabulary with the mask token": {
        "offsets": lambda c: c.op.Unsqueeze(c.op.Mul(c.numbers(), c.vocab + 1), [1]),
    },
    "offsets of the latents": {"offsets": lambda c: c.op.Unsqueeze(c.op.Mul(c.numbers(), c.latent), [1])},
    "offsets of the next codebook": {
        "offsets": lambda c: c.op.Unsqueeze(c.op.Mul(c.op.Add(c.numbers(), 1), c.vocab), [1]),
    },
    "the mask token as the last row": {
        "mask": lambda c: c.op.Where(c.op.Equal(c.codes, c.vocab), c.vocab - 1, c.codes),
    },
    "the mask token as code 1": {"mask": lambda c: c.op.Where(c.op.Equal(c.codes, c.vocab), 1, c.codes)},
    "the mask token as the next codebook's code 0": {"mask": lambda c: c.codes},
    "the last code as the mask token": {
        "mask": lambda c: c.op.Where(c.op.Equal(c.codes, c.vocab - 1), 0, c.codes),
    },
    "the mask token of any codebook masks the step": {
        "mask": lambda c: c.op.Where(
            c.op.Equal(c.op.ReduceMax(c.codes, axes=[1], keepdims=1), c.vocab), 0, c.codes
        ),
    },
    "the mask token as row 0 of codebook 0": {
        "rows": lambda c: unmasked(
            c,
            c.op.Where(c.op.Equal(c.codes, c.vocab), 0, c.op.Add(c.codes, c.offsets())),
        ),
    },
    "the mask token is an error": {
        "strange": lambda c: c.op.Or(c.op.Less(c.codes, 0), c.op.Greater(c.codes, c.vocab - 1)),
    },
    "strange codes clipped": {
        "mask": lambda c: c.op.Clip(Codes.mask(c), 0, c.vocab - 1),
        "rows": lambda c: c.op.Add(c.mask(), c.offsets()),
    },
    "strange codes as code 0": {
        "rows": lambda c: c.op.Add(c.op.Where(c.strange(), 0, c.mask()), c.offsets()),
    },
    "strange codes in other tables": {"rows": lambda c: c.op.Add(c.mask(), c.offsets())},
    "negative codes in other tables": {"strange": lambda c: c.op.Greater(c.codes, c.vocab)},
    "large codes in other tables": {"strange": lambda c: c.op.Less(c.codes, 0)},
    "vocab + 1 let pass": {
        "strange": lambda c: c.op.Or(c.op.Less(c.codes, 0), c.op.Greater(c.codes, c.vocab + 1)),
    },
    "only codebook 0 checked": {
        "strange": lambda c: c.op.Or(
            c.op.Less(c.op.Gather(c.codes, [0], axis=1), 0),
            c.op.Greater(c.op.Gather(c.codes, [0], axis=1), c.vocab),
        ),
    },
    "strange codes sent to the last row": {
        "rows": lambda c: c.op.Where(c.strange(), c.codebooks * c.vocab - 1, c.op.Add(c.mask(), c.offsets())),
    },
    "biases added once": {"bias": lambda c: c.op.Gather(c.biases, 0, axis=0)},
    "the last bias alone": {"bias": lambda c: c.op.Gather(c.biases, c.codebooks - 1, axis=0)},
    "biases of all codebooks": {"bias": lambda c: c.op.ReduceSum(c.biases, [0], keepdims=0)},
    "the mean of the biases": {
        "bias": lambda c: c.op.Div(Codes.bias(c), c.op.Cast(c.op.Squeeze(c.count, [0]), to=1)),
    },
    "no biases": {"bias": lambda c: c.op.Mul(Codes.bias(c), 0.0)},
    "weights of the last codebooks": {
        "used": lambda c: c.op.Slice(c.matrix(), c.op.Neg(c.width()), [10**6], [0]),
    },
    "weights in reverse": {
        "matrix": lambda c: c.op.Reshape(
            c.op.Transpose(turned(c.op, c.weights, c.codebooks), perm=[0, 2, 1]),
            [c.codebooks * c.latent, c.dim],
        ),
    },
    "weights not transposed": {
        "matrix": lambda c: c.op.Reshape(c.weights, [c.codebooks * c.latent, c.dim]),
    },
    "weights of codebook 0": {
        "matrix": lambda c: c.op.Tile(
            c.op.Transpose(c.op.Gather(c.weights, 0, axis=0), perm=[1, 0]), [c.codebooks, 1]
        ),
    },
    "latents fastest": {
        "matrix": lambda c: c.op.Reshape(
            c.op.Transpose(c.weights, perm=[2, 0, 1]), [c.codebooks * c.latent, c.dim]
        ),
    },
    "the mean of the codebooks": {
        "result": lambda c: c.op.Div(Codes.result(c), c.op.Cast(c.op.Squeeze(c.count, [0]), to=1)),
    },
    "features before time": {"result": lambda c: c.op.Transpose(Codes.result(c), perm=[0, 2, 1])},
}.items():

    @wrong(GatherCodes, mistake)
    def _after(op, codes, tables, weights, biases, m, methods=methods):
        return type("Wrong", (Codes,), methods)(op, codes, tables, weights, biases, m).result()


@wrong(GatherCodes, "a codebook too few")
def _after(op, codes, tables, weights, biases, m):
    fewer = op.Slice(codes, [0], op.Max(op.Sub(op.Shape(codes, start=1, end=2), 1), [1]), [1])
    return Codes(op, fewer, tables, weights, biases, m).result()


@wrong(GatherCodes, "codes past the last codebook left out")
def _after(op, codes, tables, weights, biases, m):
    known = op.Slice(codes, [0], [m.size("tables", 0)], [1])
    return Codes(op, known, tables, weights, biases, m).result()


@wrong(GatherCodes, "codebooks and time exchanged")
def _after(op, codes, tables, weights, biases, m):
    c = Codes(op, codes, tables, weights, biases, m)
    flat = op.Reshape(tables, [c.codebooks * c.vocab, c.latent])
    joined = op.Reshape(op.Gather(flat, c.rows(), axis=0), op.Concat([0, -1], c.width(), axis=0))
    return op.Add(op.MatMul(joined, c.used()), c.bias())


@wrong(GatherCodes, "every codebook, whatever is given")
def _after(op, codes, tables, weights, biases, m):
    c = Codes(op, codes, tables, weights, biases, m)
    return op.Add(op.MatMul(c.joined(), c.matrix()), op.ReduceSum(biases, [0], keepdims=0))


also(GatherCodes, "unguarded", require=unguarded)
