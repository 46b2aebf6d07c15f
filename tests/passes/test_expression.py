"""Constant expressions: every kind against numpy, in any nesting, in blocks of any size, rounded once."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vampconv.passes import expression
from vampconv.passes.expression import Apply, Leaf, evaluate, leaves

CHECKED = settings(deadline=None, max_examples=600, derandomize=True, print_blob=True)


def leaf(array, name="w"):
    return Leaf(name, ir.tensor(np.asarray(array)))


def integers(*values):
    return leaf(np.array(values, np.int64))


def apply(op_type, *arguments, shape, **attributes):
    return Apply(op_type, arguments, attributes, tuple(shape))


class Tree:
    """A random expression beside its value in numpy; numbers are small integers, so that all sums are exact."""

    def __init__(self, draw):
        self.draw = draw
        self.random = np.random.default_rng(draw(st.integers(0, 99)))

    def grow(self, depth, shape=None):
        shape = shape or tuple(self.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
        kinds = ["leaf"] if depth == 0 else [*BINARY, *KINDS]
        kind = self.draw(st.sampled_from(kinds))
        if kind in BINARY:
            (one, a), (other, b) = self.grow(depth - 1, shape), self.grow(depth - 1, self.part(shape))
            return apply(kind, one, other, shape=shape), BINARY[kind](a, b)
        return getattr(self, kind)(depth - 1, shape)

    def part(self, shape):
        """A shape that broadcasts to `shape`."""
        shape = tuple(1 if self.draw(st.integers(0, 3)) == 0 else n for n in shape)
        return shape[self.draw(st.integers(0, len(shape) - 1)) :]

    def leaf(self, depth, shape):
        del depth
        array = self.random.integers(-3, 4, shape).astype(np.float32)
        return leaf(array), array.astype(np.float64)

    def transpose(self, depth, shape):
        perm = self.draw(st.permutations(range(len(shape))))
        source = [shape[perm.index(i)] for i in range(len(shape))]
        inner, a = self.grow(depth, tuple(source))
        return apply("Transpose", inner, shape=shape, perm=tuple(perm)), a.transpose(perm)

    def concat(self, depth, shape):
        axis = self.draw(st.integers(-len(shape), len(shape) - 1))
        cut = self.draw(st.integers(0, shape[axis]))
        sizes = [n for n in (cut, shape[axis] - cut) if n]
        at = axis % len(shape)
        parts = [self.grow(depth, (*shape[:at], n, *shape[at + 1 :])) for n in sizes]
        joined = apply("Concat", *(p for p, _ in parts), shape=shape, axis=axis)
        return joined, np.concatenate([a for _, a in parts], axis)

    def reshape(self, depth, shape):
        flat = int(np.prod(shape))
        source = self.draw(st.sampled_from([(flat,), (1, flat), tuple(reversed(shape)), (flat, 1, 1)]))
        inner, a = self.grow(depth, source)
        return apply("Reshape", inner, integers(*shape), shape=shape), a.reshape(shape)

    def squeeze(self, depth, shape):
        inner, a = self.grow(depth, (1, *shape))
        return apply("Squeeze", inner, integers(0), shape=shape), a[0]

    def unsqueeze(self, depth, shape):
        if shape[-1] != 1 or len(shape) == 1:
            return self.leaf(depth, shape)
        inner, a = self.grow(depth, shape[:-1])
        return apply("Unsqueeze", inner, integers(-1), shape=shape), a[..., None]

    def matmul(self, depth, shape):
        if len(shape) != 2:
            return self.leaf(depth, shape)
        (one, a), (other, b) = self.grow(depth, (shape[0], 3)), self.grow(depth, (3, shape[1]))
        return apply("MatMul", one, other, shape=shape), a @ b

    def reduce(self, depth, shape):
        axis, keep = self.draw(st.integers(0, len(shape))), self.draw(st.booleans())
        source = (*shape[:axis], 5, *shape[axis:])
        inner, a = self.grow(depth, source)
        if keep:
            lifted = apply(
                "ReduceSum", inner, integers(axis), shape=(*shape[:axis], 1, *shape[axis:]), keepdims=1
            )
            return apply("Reshape", lifted, integers(*shape), shape=shape), a.sum(axis)
        return apply("ReduceSum", inner, integers(axis), shape=shape, keepdims=0), a.sum(axis)

    def gather(self, depth, shape):
        inner, a = self.grow(depth, (4, *shape[1:]))
        index = self.random.integers(0, 4, shape[0])
        return apply("Gather", inner, integers(*index), shape=shape, axis=0), a[index]

    def sign(self, depth, shape):
        inner, a = self.grow(depth, shape)
        return apply("Sign", inner, shape=shape), np.sign(a)

    def absolute(self, depth, shape):
        inner, a = self.grow(depth, shape)
        return apply("Abs", inner, shape=shape), np.abs(a)

    def largest(self, depth, shape):
        axis = self.draw(st.integers(0, len(shape)))
        inner, a = self.grow(depth, (*shape[:axis], 3, *shape[axis:]))
        return apply("ReduceMax", inner, shape=shape, axes=[axis], keepdims=0), a.max(axis)

    def twice(self, depth, shape):
        """One expression in two places, turned to and fro in one of them."""
        inner, a = self.grow(depth, shape)
        perm = self.draw(st.permutations(range(len(shape))))
        turned = apply("Transpose", inner, shape=[shape[p] for p in perm], perm=tuple(perm))
        back = tuple(perm.index(i) for i in range(len(shape)))
        there = apply("Transpose", turned, shape=shape, perm=back)
        return apply("Add", apply("Abs", inner, shape=shape), there, shape=shape), np.abs(a) + a

    def nearest(self, depth, shape):
        """Rows of one expression, chosen by where those of another are largest."""
        (table, a), (scores, b) = self.grow(depth, (4, *shape[1:])), self.grow(depth, (shape[0], 4))
        last = self.draw(st.integers(0, 1))
        found = 3 - b[:, ::-1].argmax(1) if last else b.argmax(1)
        chosen = apply("ArgMax", scores, shape=shape[:1], axis=-1, keepdims=0, select_last_index=last)
        return apply("Gather", table, chosen, shape=shape, axis=0), a[found]


BINARY = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Max": np.maximum}
KINDS = (
    "leaf", "transpose", "concat", "reshape", "squeeze", "unsqueeze", "matmul", "reduce", "gather", "sign", "nearest",
    "absolute", "largest", "twice",
)  # fmt: skip


@st.composite
def trees(draw):
    return Tree(draw).grow(draw(st.integers(0, 4)))


@CHECKED
@given(trees(), st.sampled_from([1, 7, 1 << 16]))
def test_a_tree_of_any_kinds_has_the_value_that_numpy_gives(tree, block):
    built, wanted = tree
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(expression, "BLOCK", block)
        found = evaluate(built)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted.astype(np.float32))


def tensors(shape, seed=3, scale=6):
    random = np.random.default_rng(seed)
    return (random.standard_normal(shape) * 10.0 ** random.integers(-scale, scale, shape)).astype(np.float32)


def weight_norm(g, v, axes=(1, 2)):
    norm = apply("Mul", leaf(v), leaf(v), shape=v.shape)
    norm = apply("ReduceSum", norm, integers(*axes), shape=g.shape, keepdims=1)
    norm = apply("Sqrt", norm, shape=g.shape)
    scale = apply("Div", leaf(g), norm, shape=g.shape)
    return apply("Mul", leaf(v), scale, shape=v.shape)


def merged(w, a, b, scale=0.125):
    product = apply("MatMul", leaf(b), leaf(a), shape=w.shape)
    return apply("Add", leaf(w), apply("Mul", product, leaf(np.float32(scale)), shape=w.shape), shape=w.shape)


def requantized(table):
    """Rows of the nearest direction, as the rule for it writes them down."""
    rows = len(table)
    squares = apply("Mul", leaf(table), leaf(table), shape=table.shape)
    norm = apply(
        "Sqrt", apply("ReduceSum", squares, integers(1), shape=(rows, 1), keepdims=1), shape=(rows, 1)
    )
    floor = apply("Max", norm, leaf(np.float32(1e-12)), shape=(rows, 1))
    unit = apply("Div", leaf(table), floor, shape=table.shape)
    turned = apply("Transpose", unit, shape=table.shape[::-1], perm=(1, 0))
    scores = apply("MatMul", unit, turned, shape=(rows, rows))
    nearest = apply("ArgMax", scores, shape=(rows,), axis=1, keepdims=0, select_last_index=0)
    return apply("Gather", leaf(table), nearest, shape=table.shape, axis=0)


def examples():
    g, v = tensors((40, 1, 1)), tensors((40, 9, 7))
    w, a, b = tensors((50, 30)), tensors((8, 30)), tensors((50, 8))
    lora = merged(w, a, b)
    turned = apply("Transpose", lora, shape=(30, 50), perm=(1, 0))
    joined = apply("Concat", turned, turned, shape=(30, 100), axis=1)
    total = apply("ReduceSum", lora, integers(1), shape=(50,), keepdims=0)
    table = tensors((60, 8))
    table[40:] = 2 * table[:20]
    return {
        "requantised": requantized(table),
        "largest of columns": apply("ArgMax", lora, shape=(1, 30), axis=0),
        "signs": apply("Sign", lora, shape=(50, 30)),
        "weight norm": weight_norm(g, v),
        "lora": lora,
        "transposed and joined": joined,
        "sums of rows": total,
        "sums of columns": apply("ReduceSum", lora, integers(0), shape=(1, 30), keepdims=1),
        "sum of all": apply("ReduceSum", lora, integers(0, 1), shape=(), keepdims=0),
        "sum without an axis": apply("ReduceSum", lora, integers(), shape=(1, 1), keepdims=1),
    }


@pytest.mark.parametrize("name", examples())
@pytest.mark.parametrize("block", [1, 7, 1000])
def test_blocks_of_any_size_give_the_same_bits(monkeypatch, name, block):
    whole = evaluate(examples()[name])
    monkeypatch.setattr(expression, "BLOCK", block)
    assert evaluate(examples()[name]).tobytes() == whole.tobytes()


def test_scalars_are_computed():
    two, three = leaf(np.float32(2)), leaf(np.float32(3))
    product = apply("Mul", two, three, shape=())
    assert evaluate(product).tolist() == 6
    assert evaluate(apply("Add", product, product, shape=())).tolist() == 12
    row = leaf(np.float32([1, 2]))
    assert evaluate(apply("Mul", row, apply("Sqrt", product, shape=()), shape=(2,))).tolist() == [
        np.float32(6**0.5),
        np.float32(2 * 6**0.5),
    ]


def test_the_result_is_rounded_once():
    w, a, b = tensors((20, 10), scale=1), tensors((8, 10), scale=1), tensors((20, 8), scale=1)
    exact = np.zeros((20, 10))
    for k in range(8):
        exact += b[:, k, None].astype(np.float64) * a[k].astype(np.float64)
    wanted = (w + exact * 0.125).astype(np.float32)
    assert evaluate(merged(w, a, b)).tobytes() == wanted.tobytes()
    in_float32 = w + (b @ a) * np.float32(0.125)
    assert (in_float32 != wanted).any()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_types_are_computed_in_float64_too(dtype):
    x = np.array([[1, 2**-7], [3, 2**-9]], dtype)
    total = apply(
        "ReduceSum", apply("Mul", leaf(x), leaf(x), shape=(2, 2)), integers(1), shape=(2, 1), keepdims=1
    )
    found = evaluate(total)
    assert found.dtype == dtype
    assert found[:, 0].tolist() == np.array([1 + 2**-14, 9 + 2**-18]).astype(dtype).tolist()


def test_an_index_is_an_integer_whatever_it_is_an_index_of():
    x = leaf(np.float32([[1, 3, 3], [2, 2, 0]]))
    for last, wanted in ((0, [1, 0]), (1, [2, 1])):
        chosen = apply("ArgMax", x, shape=(2,), axis=-1, keepdims=0, select_last_index=last)
        found = evaluate(chosen)
        assert (chosen.dtype, found.dtype) == (ir.DataType.INT64, np.int64)
        assert found.tolist() == wanted
        shifted = apply("Add", chosen, integers(10), shape=(2,))
        assert evaluate(shifted).tolist() == [n + 10 for n in wanted]
        assert evaluate(shifted).dtype == np.int64
    assert apply("Gather", x, chosen, shape=(2, 3), axis=0).dtype == ir.DataType.FLOAT


def test_rows_that_differ_in_float64_alone_are_told_apart():
    table = np.float32([[1, 0], [1, 2**-13], [1, 2**-12]])
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    assert (unit @ unit.T).argmax(1).tolist() != [0, 1, 2]
    assert evaluate(requantized(table)).tolist() == table.tolist()


def test_maxima_and_signs_of_integers_stay_integers():
    x = integers(-3, 0, 2**53 + 1)
    assert evaluate(apply("Max", x, integers(1), shape=(3,))).tolist() == [1, 1, 2**53 + 1]
    assert evaluate(apply("Sign", x, shape=(3,))).tolist() == [-1, 0, 1]


def test_integers_stay_integers():
    x = integers(2**53 + 1, 7)
    assert evaluate(apply("Add", x, integers(1), shape=(2,))).tolist() == [2**53 + 2, 8]
    assert evaluate(apply("Div", integers(7, -7), integers(2), shape=(2,))).tolist() == [3, -3]


def test_division_by_zero_is_as_in_ieee_754_and_silent():
    found = evaluate(weight_norm(np.float32([[[1]], [[1]]]), np.float32([[[0, 0]], [[3, 4]]]), axes=(1, 2)))
    np.testing.assert_array_equal(found[1], np.float32([[0.6, 0.8]]))
    assert np.isnan(found[0]).all()
    large = leaf(np.float32([3e38]))
    assert evaluate(apply("Add", large, large, shape=(1,))).tolist() == [np.inf]


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_empty_constants(shape):
    empty = leaf(np.zeros(shape, np.float32))
    assert evaluate(apply("Mul", empty, empty, shape=shape)).shape == shape
    turned = apply("Transpose", empty, shape=shape[::-1], perm=(1, 0))
    assert evaluate(turned).shape == shape[::-1]
    assert (
        evaluate(apply("MatMul", turned, empty, shape=(shape[1],) * 2)).tolist()
        == np.zeros((shape[1],) * 2).tolist()
    )


def test_leaves_are_named_from_left_to_right():
    w, a, b = (leaf(np.zeros((3, 3), np.float32), n) for n in ("w", "a", "b"))
    scaled = apply("Mul", apply("MatMul", b, a, shape=(3, 3)), leaf(np.float32(0.5)), shape=(3, 3))
    tree = apply("Add", w, scaled, shape=(3, 3))
    assert [x.name for x in leaves(tree)] == ["w", "b", "a", "w"]
    assert str(tree) == "Add(w, Mul(MatMul(b, a), 0.5))"
    assert tree.dtype == ir.DataType.FLOAT


def test_each_leaf_is_read_once():
    reads = []
    tensor = ir.LazyTensor(
        lambda: reads.append(1) or ir.tensor(np.ones((300, 300), np.float32)),
        ir.DataType.FLOAT,
        ir.Shape((300, 300)),
    )
    w = Leaf("w", tensor)
    square = apply("Mul", w, w, shape=(300, 300))
    evaluate(apply("Add", square, apply("Mul", square, w, shape=(300, 300)), shape=(300, 300)))
    assert len(reads) == 1
