"""The tensors of a checkpoint as constants of a graph, and an account of which were asked for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir

from vampconv.checkpoint import Checkpoint, CheckpointTensor
from vampconv.errors import BadInputError, UnsupportedModelError, VampconvError

COMPILED = "_orig_mod."
"""What torch.compile puts before the names of a module's tensors."""


class WeightTensor(ir.LazyTensor):
    """A checkpoint's tensor as float32, read and checked for NaN and infinity whenever it is used."""

    __slots__ = ("checkpoint", "source")

    def __init__(self, checkpoint: Checkpoint, source: CheckpointTensor, name: str) -> None:
        super().__init__(self.load, ir.DataType.FLOAT, ir.Shape(source.shape), name=name)
        self.checkpoint = checkpoint
        self.source = source

    def load(self) -> ir.TensorProtocol:
        """Read the tensor.

        Raises
        ------
        BadInputError
            If a value is not finite as float32, or the file is damaged.

        """
        with np.errstate(over="ignore"):
            values = self.source.read().astype(np.float32, copy=False)
        if not np.isfinite(values).all():
            bad = int(values.size - np.isfinite(values).sum())
            raise BadInputError(
                f"{self.checkpoint.path.name}: tensor {self.source.name} holds {bad} non-finite values",
                "the checkpoint is damaged or its training diverged: get a sound one",
            )
        return ir.tensor(values)


def plain_name(name: str) -> str:
    """A tensor's name without the prefixes that torch.compile leaves."""
    return name.replace(COMPILED, "")


class Weights:
    """Hands out the tensors of one checkpoint by name and shape.

    Wants that cannot be met are collected, so that :meth:`settle` can name them all at once.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.tensors: dict[str, CheckpointTensor] = {}
        self.taken: set[str] = set()
        self.set_aside: set[str] = set()
        self.ignored: dict[str, str] = {}
        self.missing: list[str] = []
        self.misshapen: list[str] = []
        for name, tensor in checkpoint.tensors.items():
            if plain_name(name) in self.tensors:
                raise BadInputError(
                    f"{checkpoint.path.name} holds {plain_name(name)} twice, with and without {COMPILED}",
                    "remove one of them",
                )
            self.tensors[plain_name(name)] = tensor

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor that must be there.

        Raises
        ------
        BadInputError
            If it is missing.

        """
        if name not in self.tensors:
            raise self._error("misses", [name])
        return self.tensors[name].shape

    def take(self, name: str, *shape: int) -> ir.Value:
        """A constant, for one graph, of a tensor that must have this shape."""
        self.taken.add(name)
        self.expect(name, shape)
        value = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))
        if name in self.tensors:
            value.const_value = WeightTensor(self.checkpoint, self.tensors[name], name)
        return value

    def expect(self, name: str, shape: tuple[int, ...]) -> None:
        """Note a want: the tensor, in this shape."""
        if name not in self.tensors:
            self.missing.append(name)
        elif self.tensors[name].shape != shape:
            found = list(self.tensors[name].shape)
            self.misshapen.append(f"{name} {found} (should be {list(shape)})")
        elif self.tensors[name].dtype.kind not in "fV":
            self.misshapen.append(f"{name} of {self.tensors[name].dtype} (should be floating-point)")

    def put_aside(self, names: Iterable[str]) -> None:
        """Note tensors that are known and deliberately not put into the graph."""
        self.set_aside.update(names)

    def ignore(self, name: str, reason: str) -> None:
        """Note a tensor that the model does not compute with, where it is there."""
        if name in self.tensors:
            self.ignored[name] = reason

    def settle(self) -> None:
        """Raise if a want was not met, or a tensor was not wanted.

        Raises
        ------
        BadInputError
            Missing or wrongly shaped tensors, by name.
        UnsupportedModelError
            Tensors that the architecture has no place for, by name.

        """
        self.settle_wants()
        unexpected = [n for n in self.tensors if n not in {*self.taken, *self.set_aside, *self.ignored}]
        if unexpected:
            raise self._error("holds unexpected", unexpected, UnsupportedModelError)

    def settle_wants(self) -> None:
        """Raise if a want was not met.

        Raises
        ------
        BadInputError
            Missing or wrongly shaped tensors, by name.

        """
        if self.missing:
            raise self._error("misses", list(dict.fromkeys(self.missing)))
        if self.misshapen:
            raise self._error("has the wrong shape or type in", list(dict.fromkeys(self.misshapen)))

    def _error(self, verb: str, what: list[str], kind: type[VampconvError] = BadInputError) -> VampconvError:
        listed = ", ".join(what[:4]) + (f" and {len(what) - 4} more" if len(what) > 4 else "")
        noun = "tensor" if len(what) == 1 else f"{len(what)} tensors:"
        fix = (
            "every tensor must have a place in the model"
            if kind is UnsupportedModelError
            else "the checkpoint is incomplete or altered: get the whole one"
        )
        return kind(f"{self.checkpoint.path.name} {verb} {noun} {listed}", fix)
