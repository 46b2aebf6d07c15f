"""Wrong paddings to a multiple."""

from __future__ import annotations

from vampconv_rules.padding import LowerPadToMultiple

from .variant import also, unguarded, wrong


def pad(op, x, multiple, m, *, missing=None, order=None, mode="constant", axis=-1):
    """The lowering with one part exchanged."""
    rank = len(m.shape("x"))
    at = axis % rank
    samples = op.Shape(x, start=at, end=at + 1)
    missing = (missing or (lambda op, n, of: op.Mod(op.Neg(n), of)))(op, samples, multiple)
    zeros = [0] * (2 * rank - 1)
    pads = order(op, missing, rank) if order else op.Concat(zeros, missing, axis=0)
    return op.Pad(x, pads, mode=mode)


def on_both_sides(op, missing, rank):
    half = op.Div(missing, 2)
    parts = [0] * (rank - 1)
    return op.Concat(parts, half, parts, op.Sub(missing, half), axis=0)


for mistake, parts in {
    "on the left": {"order": lambda op, n, rank: op.Concat([0] * (rank - 1), n, [0] * rank, axis=0)},
    "on both sides": {"order": on_both_sides},
    "on the channels": {"order": lambda op, n, rank: op.Concat([0] * (2 * rank - 2), n, [0], axis=0)},
    "a whole multiple where nothing is missing": {
        "missing": lambda op, n, of: op.Sub(of, op.Mod(n, of)),
    },
    "the remainder, not what it lacks": {"missing": lambda op, n, of: op.Mod(n, of)},
    "one too many": {"missing": lambda op, n, of: op.Add(op.Mod(op.Neg(n), of), 1)},
    "a remainder of the sign of the dividend": {"missing": lambda op, n, of: op.Mod(op.Neg(n), of, fmod=1)},
    "cut to a multiple": {"missing": lambda op, n, of: op.Neg(op.Mod(n, of))},
    "never": {"missing": lambda op, n, _of: op.Mul(n, 0)},
    "by the size of the channels": {"axis": -2},
    "by the batch": {"axis": 0},
    "the last sample repeated": {"mode": "edge"},
}.items():

    @wrong(LowerPadToMultiple, mistake)
    def _after(op, x, multiple, m, parts=parts):
        return pad(op, x, multiple, m, **parts)


@wrong(LowerPadToMultiple, "ones, not zeros")
def _after(op, x, multiple, m):
    rank = len(m.shape("x"))
    missing = op.Mod(op.Neg(op.Shape(x, start=rank - 1)), multiple)
    return op.Pad(x, op.Concat([0] * (2 * rank - 1), missing, axis=0), 1.0, mode="constant")


@wrong(LowerPadToMultiple, "the rank is always 3")
def _after(op, x, multiple):
    missing = op.Mod(op.Neg(op.Shape(x, start=2, end=3)), multiple)
    return op.Pad(x, op.Concat([0] * 5, missing, axis=0), mode="constant")


@wrong(LowerPadToMultiple, "the next power of two")
def _after(op, x, m):
    return pad(op, x, 16, m)


also(LowerPadToMultiple, "unguarded", require=unguarded)
