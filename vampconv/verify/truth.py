"""What the reference computes: every module's inputs and outputs, by the names that the graph uses for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from weakref import ReferenceType, ref

import torch
from torch import Tensor, nn

from vampconv.errors import VerificationError
from vampconv.verify.spill import Spill


@dataclass
class Record:
    """Values of one run.

    Attributes
    ----------
    values
        ``path`` (output), ``path#1`` (its second output), ``>path`` (first input), … to tensors.
    calls
        Paths of the modules that were called and put out a tensor, in the order in which they ended.
    kept
        Names of values to keep, apart from other names for the same tensors; None keeps all.
    see
        Shown every value by its name when it is made, kept or not.

    """

    kept: frozenset[str] | None = None
    see: Callable[[str, Tensor], None] | None = None
    values: dict[str, Tensor] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    same: dict[str, str] = field(default_factory=dict)
    """Calls whose output is the very tensor that an earlier call put out, or their own input; and its name."""
    spill: Spill = field(default_factory=Spill)
    _stored: dict[int, tuple[ReferenceType[Tensor], Tensor]] = field(default_factory=dict)
    """What is kept of a tensor, by the identity that it has while it lives."""
    _makers: dict[int, tuple[ReferenceType[Tensor], str]] = field(default_factory=dict)

    def put(self, name: str, value: object) -> None:
        """Keep a tensor, or each of a sequence of them."""
        parts = value if isinstance(value, (tuple, list)) else (value,)
        for index, part in enumerate(parts):
            if isinstance(part, Tensor):
                self._put(f"{name}#{index}" if index else name, part)

    def give(self, outputs: Mapping[str, Tensor]) -> None:
        """Keep the outputs of the whole, as what they are known as already, if they are."""
        for name, tensor in outputs.items():
            known = self._known(tensor)
            self.values[name] = tensor if known is None else known

    def _put(self, name: str, tensor: Tensor) -> None:
        if self.see is not None:
            self.see(name, tensor)
        known = self._known(tensor)
        if self.kept is None or name in self.kept or known is not None:
            self.values[name] = self.spill.keep(tensor) if known is None else known
            self._stored[id(tensor)] = ref(tensor), self.values[name]

    def _known(self, tensor: Tensor) -> Tensor | None:
        """What is kept of that very tensor, if anything is."""
        origin, stored = self._stored.get(id(tensor), (None, None))
        return stored if origin is not None and origin() is tensor else None

    def called(self, path: str, taken: object, output: object) -> None:
        """Note a module's call."""
        first = output[0] if isinstance(output, (tuple, list)) else output
        if isinstance(first, Tensor):
            self.calls.append(path)
            known, maker = self._makers.get(id(first), (None, ""))
            if first is taken:
                self.same[path] = f">{path}"
            elif known is not None and known() is first:
                self.same[path] = maker
            else:
                self._makers[id(first)] = ref(first), path


@contextmanager
def recording(
    model: nn.Module, kept: frozenset[str] | None = None, see: Callable[[str, Tensor], None] | None = None
) -> Iterator[Record]:
    """Within the context, calls of the model's modules fill a `Record`; the model itself is not among them."""
    record = Record(kept, see)
    with ExitStack() as hooks, torch.inference_mode():
        for path, module in model.named_modules():
            if path:
                before, after = partial(_enter, record, path), partial(_leave, record, path)
                hooks.callback(module.register_forward_pre_hook(before).remove)
                hooks.callback(module.register_forward_hook(after).remove)
        yield record


def _enter(record: Record, path: str, _module: nn.Module, inputs: Sequence[object]) -> None:
    record.put(f">{path}", inputs)


def _leave(record: Record, path: str, _module: nn.Module, inputs: Sequence[object], output: object) -> None:
    record.put(path, output)
    record.called(path, inputs[0] if inputs else None, output)


def arranged(value: Tensor, order: str) -> Tensor:
    """A tensor with its axes in the order of the graph: ``021`` permutes, ``+`` puts an axis of size 1 before.

    Raises
    ------
    VerificationError
        If the order is none of the tensor's axes.

    """
    lifted, axes = order.startswith("+"), order.removeprefix("+")
    if axes and sorted(axes) != [str(axis) for axis in range(value.ndim)]:
        raise VerificationError(
            f"a value of {value.ndim} dimensions is said to have them in the order {axes!r}",
            "convert again with --force",
        )
    moved = value.permute(*map(int, axes)) if axes else value
    return moved[None] if lifted else moved
