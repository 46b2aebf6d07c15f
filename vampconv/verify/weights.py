"""Every constant of a bundle, recomputed from the checkpoints and compared bit by bit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from vampconv.checkpoint import Checkpoint
from vampconv.convert.plan import Part, make_plan
from vampconv.dialect.op import Array
from vampconv.emit.computed import computed
from vampconv.emit.stored import StoredConstants, as_bytes
from vampconv.errors import VampconvError
from vampconv.frontend.weights import WeightTensor
from vampconv.passes.exact import MOVES
from vampconv.passes.expression import Expression, Leaf, leaves
from vampconv.passes.fold import expression_of
from vampconv.plugins import Plugins, load_plugins
from vampconv.verify.locate import Located
from vampconv.verify.recipe import open_recipe, recipes
from vampconv.verify.result import Verdict, WeightCheck

BLOCK = 1 << 20
"""Elements compared at a time."""
TOLERANCE = 1
"""Units in the last place by which a folded weight may differ, as by another way of rounding; it is a warning."""


def check_weights(
    bundle: Path,
    manifest: Mapping[str, Any],
    located: Located,
    plugins: Plugins | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, list[WeightCheck]]:
    """Compile the checkpoints again, and compare each constant with what lies in the bundle's files.

    Of the manifest only the recipes are used. One constant is held at a time, beside the few computed ahead.

    Parameters
    ----------
    bundle
        Directory of the bundle.
    manifest
        Its manifest.
    located
        The checkpoints.
    plugins
        Those that may have been used; by default the built-in ones.
    advance
        Called with the number of bytes compared, for a progress bar.

    Returns
    -------
    For each part of the manifest a check of each constant; a part that cannot be made again has one, which fails.

    Raises
    ------
    InputOutputError
        If the manifest is damaged.
    BadInputError
        If a weight cannot be computed, for the checkpoint is damaged.

    """
    known = plugins or load_plugins()
    checks: dict[str, list[WeightCheck]] = {}
    for recipe in recipes(manifest):
        with ExitStack() as stack:
            try:
                opened = open_recipe(recipe, located, known, stack)
                plan = make_plan(opened.inputs, opened.options, stack)
            except VampconvError as error:
                problem = f"it cannot be made again from the checkpoints: {error.problem}"
                checks |= {part: [_failed(file, "", problem)] for part, file in recipe.files.items()}
                continue
            made = {part.name: part for part in plan.parts}
            for part, file in recipe.files.items():
                if part in made:
                    checks[part] = list(_check_part(made[part], bundle / file, opened.labels, advance))
                else:
                    problem = f"the checkpoints make {' and '.join(made)}, not {part}"
                    checks[part] = [_failed(file, "", problem)]
    return {part: checks[part] for part in manifest["models"]}


def _check_part(
    part: Part, path: Path, labels: Mapping[Checkpoint, str], advance: Callable[[int], None]
) -> Iterator[WeightCheck]:
    """Checks of the constants that a part should have, in their order, and of those that it should not have."""
    values = list(part.model.graph.initializers.values())
    with ExitStack() as stack:
        try:
            stored = StoredConstants(path, stack)
        except VampconvError as error:
            yield _failed(path.name, "", error.problem)
            return
        for value, array in zip(values, computed(values), strict=True):
            yield _check(value, array, stored, path.name, labels)
            advance(array.nbytes)
    wanted = {value.name for value in values}
    for name, count in stored.names.items():
        if name not in wanted:
            yield _failed(path.name, name, "the checkpoints give no such weight")
        elif count > 1:
            yield _failed(path.name, name, "it stands in the file more than once")


def _check(
    value: ir.Value, array: Array, stored: StoredConstants, file: str, labels: Mapping[Checkpoint, str]
) -> WeightCheck:
    """One constant of the file against its recomputation."""
    name, expression = value.name or "", expression_of(value)
    own = [leaf.tensor for leaf in leaves(expression) if isinstance(leaf.tensor, WeightTensor)]
    sources = tuple(dict.fromkeys(f"{labels[t.checkpoint]}:{t.source.name}" for t in own))
    wanted = as_bytes(array)
    digest = hashlib.sha256(wanted.data).hexdigest()
    if name not in stored.tensors:
        return _failed(file, name, "it is missing", sources, recomputed=digest)
    try:
        found = stored.read(name)
    except VampconvError as error:
        return _failed(file, name, error.problem, sources, recomputed=digest)
    same = _equal(found, wanted)
    digest_found = digest if same else hashlib.sha256(found.data).hexdigest()
    tensor, shape = stored.tensors[name], expression.shape
    if (tensor.data_type, tuple(tensor.dims)) != (expression.dtype, shape) or found.size != wanted.size:
        stands = f"{_type_name(tensor.data_type)} {list(tensor.dims)} in {found.size} bytes"
        problem = f"it is {stands} instead of {_type_name(expression.dtype)} {list(shape)} in {wanted.size}"
        return _failed(file, name, problem, sources, digest_found, digest)
    if same:
        return WeightCheck(file, name, sources, 0, digest_found, digest, Verdict.PASS)
    ulps, problem = _difference(found.view(array.dtype.newbyteorder("<")).reshape(array.shape), array)
    verdict = Verdict.FAIL if ulps > TOLERANCE or is_exact(expression) else Verdict.WARN
    return WeightCheck(file, name, sources, ulps, digest_found, digest, verdict, problem)


def is_exact(expression: Expression) -> bool:
    """Whether nothing is computed from a checkpoint's numbers: they are only moved, or indices are."""
    if isinstance(expression, Leaf) or not expression.dtype.is_floating_point():
        return True
    if expression.op_type in MOVES or expression.op_type == "Gather":
        return all(map(is_exact, expression.arguments))
    return not any(isinstance(leaf.tensor, WeightTensor) for leaf in leaves(expression))


def _difference(found: Array, wanted: Array) -> tuple[int, str]:
    """The largest distance of two arrays in units in the last place, and how they differ in words."""
    largest = count = 0
    first = -1
    for start in range(0, wanted.size, BLOCK):
        one, other = (_ordered(a.reshape(-1)[start : start + BLOCK]) for a in (found, wanted))
        apart = np.maximum(one, other).view(np.uint64) - np.minimum(one, other).view(np.uint64)
        if apart.any():
            first = first if count else start + int(np.argmax(apart > 0))
            count += int(np.count_nonzero(apart))
            largest = max(largest, int(apart.max()))
    index = [int(i) for i in np.unravel_index(first, wanted.shape)]
    told = f"{found[tuple(index)]} instead of {wanted[tuple(index)]} at {index}"
    return largest, f"{count} of {wanted.size} elements differ, by up to {largest} ulps, first {told}"


def _ordered(array: Array) -> Array:
    """Integers in the order of the numbers, one apart where these are neighbours; -0 is below 0."""
    bits = array.view(f"{array.dtype.byteorder.replace('|', '=')}i{array.dtype.itemsize}").astype(np.int64)
    if array.dtype.kind not in "fV":
        return bits
    magnitude = bits & ((1 << (8 * array.dtype.itemsize - 1)) - 1)
    return np.where(bits < 0, ~magnitude, magnitude)


def _equal(one: Array, other: Array) -> bool:
    """Whether two rows are equal, compared without a mask of their size."""
    blocks = range(0, one.size, BLOCK)
    return one.size == other.size and all(
        np.array_equal(one[i : i + BLOCK], other[i : i + BLOCK]) for i in blocks
    )


def _type_name(data_type: int) -> str:
    try:
        return ir.DataType(data_type).name.lower()
    except ValueError:
        return f"type {data_type}"


def _failed(
    file: str,
    name: str,
    problem: str,
    sources: tuple[str, ...] = (),
    stored: str = "",
    recomputed: str = "",
) -> WeightCheck:
    return WeightCheck(file, name, sources, 0, stored, recomputed, Verdict.FAIL, problem)
