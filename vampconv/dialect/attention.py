"""Multi-head self-attention with T5's relative position bias."""

from __future__ import annotations

import numpy as np

from vampconv.dialect.op import Array, Dims, Op, expect, fits


class RelativePositionBias(Op):
    """What every head adds to the score of a key for its distance from the query (T5, arXiv:1910.10683).

    length [1] (int64: the number of time steps), table [num_buckets, heads] -> [1, heads, time, time],
    query before key. Bidirectional: half of the buckets are for keys to the right of the query.
    """

    @staticmethod
    def shape(length: Dims, table: Dims, *, max_distance: int) -> Dims:
        expect(length == (1,), f"length {length} is not one number")
        expect(len(table) == 2, f"table {table} is not [num_buckets, heads]")
        buckets = table[0]
        expect(isinstance(buckets, int) and buckets % 4 == 0, f"{buckets} buckets cannot be quartered")
        assert isinstance(buckets, int)
        expect(max_distance > buckets // 4, f"max_distance {max_distance} leaves no logarithmic bucket")
        return (1, table[1], "time", "time")

    @staticmethod
    def meaning(length: Array, table: Array, *, max_distance: int) -> Array:
        steps, half = int(length[0]), len(table) // 2
        cache = [distance_bucket(n, half, max_distance) for n in range(steps)]
        index = [
            [cache[abs(key - query)] + (half if key > query else 0) for key in range(steps)]
            for query in range(steps)
        ]
        return np.moveaxis(table[np.array(index)], -1, 0)[None]


def distance_bucket(distance: int, buckets: int, max_distance: int) -> int:
    """Bucket of a distance n ≥ 0 among `buckets`: exact below e = buckets/2, logarithmic from there.

    ``e + floor(ln(n/e) / ln(max_distance/e) · e)``, at most ``buckets − 1``. The floor is decided in
    integers: it is at least j exactly if ``(n/e)^e ≥ (max_distance/e)^j``.
    """
    exact = buckets // 2
    if distance < exact:
        return distance
    reached = 0
    while reached < exact - 1 and distance**exact >= max_distance ** (reached + 1) * exact ** (
        exact - reached - 1
    ):
        reached += 1
    return exact + reached


class Attention(Op):
    """``softmax(q·kᵀ / sqrt(dim / heads) + bias) · v``, head by head (arXiv:1706.03762).

    q, k, v [batch, time, dim], bias [1, heads, time, time] or none -> [batch, time, dim];
    head h reads the features h·dim/heads … (h+1)·dim/heads.
    """

    @staticmethod
    def shape(q: Dims, k: Dims, v: Dims, bias: Dims | None = None, *, heads: int) -> Dims:
        expect(len(q) == 3 and q == k == v, f"q {q}, k {k} and v {v} differ, or are not [batch, time, dim]")
        expect(isinstance(q[-1], int) and q[-1] % heads == 0, f"{heads} heads do not divide {q}")
        if bias is not None:
            square = len(bias) == 4 and fits(bias[2], q[1]) and fits(bias[3], q[1])
            expect(
                square and bias[:2] == (1, heads), f"bias {bias} is not for {heads} heads and {q[1]} steps"
            )
        return q

    @staticmethod
    def meaning(q: Array, k: Array, v: Array, bias: Array | None = None, *, heads: int) -> Array:
        batch, time, dim = q.shape
        q, k, v = (x.reshape(batch, time, heads, dim // heads) for x in (q, k, v))
        scores = np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(dim // heads)
        scores = scores if bias is None else scores + bias
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return np.einsum("bhqk,bkhd->bqhd", weights, v).reshape(batch, time, dim)
