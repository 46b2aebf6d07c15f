"""A stack machine that follows a pickle as data: a global is a name, and calling one only records the call.

The opcodes and their meaning are those documented in the standard library's `pickletools`.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterator

from vampconv.checkpoint.budget import Budget
from vampconv.checkpoint.constructors import build, construct, persistent
from vampconv.checkpoint.containers import container_key
from vampconv.checkpoint.source import AGAIN
from vampconv.checkpoint.values import Opaque, PickleError
from vampconv.errors import BadInputError, LimitError

MAX_PICKLE_BYTES = 8 << 20
MAX_OPCODES = 250_000
_MAX_INTEGER_BITS = 4096
_MAX_NAME = 512
_GLOBAL = 1024
"""What a global counts for; torch.save names each of its few ones once, and then recalls it."""
_HIGHEST_PROTOCOL = 5


def unpickle(data: bytes, where: str) -> object:
    """The value that a pickle describes, in plain Python values and the stand-ins of `values`.

    Parameters
    ----------
    data
        The pickle, of protocol 0 to 5.
    where
        The file and record, for messages.

    Raises
    ------
    BadInputError
        If the pickle is malformed.
    LimitError
        If it is larger than `MAX_PICKLE_BYTES`, has more than `MAX_OPCODES` opcodes, or unfolds to too much.

    """
    if len(data) > MAX_PICKLE_BYTES:
        raise LimitError(f"{where} has a pickle of more than {MAX_PICKLE_BYTES} bytes", "check the file")
    try:
        return _Machine(where).run(data)
    except PickleError as error:
        raise BadInputError(f"{where} is not a sound pickle ({error})", AGAIN) from None


def _opcodes(data: bytes) -> Iterator[tuple[str, object, int]]:
    try:
        for opcode, argument, position in pickletools.genops(data):
            yield opcode.name, argument, position or 0
    except (ValueError, DeprecationWarning) as error:
        # Python warns of unknown escapes in text literals, which no torch.save writes.
        raise PickleError(str(error)[:80]) from None


class _Machine:
    def __init__(self, where: str) -> None:
        self.stack: list[object] = []
        self.below: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.budget = Budget(where)
        self.where = where

    def run(self, data: bytes) -> object:
        for count, (name, argument, position) in enumerate(_opcodes(data)):
            if count > MAX_OPCODES:
                raise LimitError(f"{self.where} has more than {MAX_OPCODES} opcodes", "check the file")
            if name == "STOP":
                return self.finish(position + 1 == len(data))
            if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _LITERALS:
                self.stack.append(_literal(argument))
            elif name in _OPERATIONS:
                _OPERATIONS[name](self, argument)
            else:
                raise PickleError(f"opcode {name} has no place in a checkpoint")
        raise PickleError("no STOP")

    def finish(self, at_end: bool) -> object:
        if not at_end:
            raise PickleError("bytes after STOP")
        value = self.pop()
        if self.stack or self.below:
            raise PickleError("values left on the stack")
        return value

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> object:
        if not self.stack:
            raise PickleError("stack underflow")
        return self.stack.pop()

    def top(self) -> object:
        if not self.stack:
            raise PickleError("stack underflow")
        return self.stack[-1]

    def since_mark(self) -> list[object]:
        if not self.below:
            raise PickleError("no MARK")
        items, self.stack = self.stack, self.below.pop()
        return items

    def remember(self, index: object) -> None:
        if not isinstance(index, int) or not 0 <= index < 1 << 32:
            raise PickleError("a memo index that cannot be")
        self.memo[index] = self.top()

    def recall(self, index: object) -> None:
        if not isinstance(index, int) or index not in self.memo:
            raise PickleError("a memo entry that was never stored")
        self.stack.append(self.memo[index])

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def unmark(self) -> None:
        self.since_mark()

    def pop_or_unmark(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.unmark()

    def protocol(self, version: object) -> None:
        if not isinstance(version, int) or version > _HIGHEST_PROTOCOL:
            raise PickleError("a protocol later than 5")

    def group(self, count: int) -> None:
        if len(self.stack) < count:
            raise PickleError("stack underflow")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def append(self, items: list[object]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Opaque):
            target.items.extend(items)
        else:
            raise PickleError("an append to what is no list")

    def add(self, items: list[object]) -> None:
        target = self.top()
        if not isinstance(target, set):
            raise PickleError("an addition to what is no set")
        target.update(container_key(item) for item in items)

    def set_items(self, flat: list[object]) -> None:
        target = self.top()
        if len(flat) % 2:
            raise PickleError("a key without a value")
        if isinstance(target, Opaque):
            target = target.entries
        if not isinstance(target, dict):
            raise PickleError("an item set in what is no dict")
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            target[container_key(key)] = value

    def make_dict(self) -> None:
        items = self.since_mark()
        self.stack.append({})
        self.set_items(items)

    def set_one(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def push_global(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str) or len(module) + len(name) > _MAX_NAME:
            raise PickleError("a global without a proper name")
        self.budget.charge(_GLOBAL)
        self.stack.append(Opaque(f"{module}.{name}"))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self.push_global(module, name)

    def reduce(self, with_keywords: bool = False) -> None:
        keywords = self.pop() if with_keywords else None
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Opaque) or not isinstance(arguments, tuple):
            raise PickleError("a call of what is no global")
        made = Opaque(function.name, (*arguments, keywords)) if keywords else None
        self.stack.append(made or construct(function, arguments, self.budget))

    def build(self) -> None:
        state = self.pop()
        build(self.top(), state, self.budget)

    def object_since_mark(self) -> None:
        items = self.since_mark()
        self.instance(items[0] if items else None, items[1:])

    def instance(self, kind: object, arguments: list[object]) -> None:
        if not isinstance(kind, Opaque):
            raise PickleError("an instance of what is no class")
        self.stack.append(construct(kind, tuple(arguments), self.budget))

    def named_instance(self, argument: object) -> None:
        items = self.since_mark()
        self.push_global(*str(argument).split(" ", 1))
        self.instance(self.pop(), items)


def _literal(value: object) -> object:
    if isinstance(value, int) and value.bit_length() > _MAX_INTEGER_BITS:
        raise PickleError("an integer of absurd size")
    if isinstance(value, bytearray):
        return bytes(value)
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise PickleError("text that is not Unicode") from None
    return value


_CONSTANTS: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = frozenset(
    {
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING"),
        *("UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    }
)


_OPERATIONS: dict[str, Callable[[_Machine, object], None]] = {
    "PROTO": lambda m, version: m.protocol(version),
    "FRAME": lambda _, __: None,
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_SET": lambda m, _: m.push(set()),
    "MARK": lambda m, _: m.mark(),
    "POP": lambda m, _: m.pop_or_unmark(),
    "POP_MARK": lambda m, _: m.unmark(),
    "DUP": lambda m, _: m.push(m.top()),
    "PUT": lambda m, index: m.remember(index),
    "BINPUT": lambda m, index: m.remember(index),
    "LONG_BINPUT": lambda m, index: m.remember(index),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    "GET": lambda m, index: m.recall(index),
    "BINGET": lambda m, index: m.recall(index),
    "LONG_BINGET": lambda m, index: m.recall(index),
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    "TUPLE1": lambda m, _: m.group(1),
    "TUPLE2": lambda m, _: m.group(2),
    "TUPLE3": lambda m, _: m.group(3),
    "LIST": lambda m, _: m.push(m.since_mark()),
    "DICT": lambda m, _: m.make_dict(),
    "FROZENSET": lambda m, _: m.push(frozenset(map(container_key, m.since_mark()))),
    "APPEND": lambda m, _: m.append([m.pop()]),
    "APPENDS": lambda m, _: m.append(m.since_mark()),
    "ADDITEMS": lambda m, _: m.add(m.since_mark()),
    "SETITEM": lambda m, _: m.set_one(),
    "SETITEMS": lambda m, _: m.set_items(m.since_mark()),
    "GLOBAL": lambda m, argument: m.push_global(*str(argument).split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.stack_global(),
    "REDUCE": lambda m, _: m.reduce(),
    "NEWOBJ": lambda m, _: m.reduce(),
    "NEWOBJ_EX": lambda m, _: m.reduce(with_keywords=True),
    "BUILD": lambda m, _: m.build(),
    "INST": lambda m, argument: m.named_instance(argument),
    "OBJ": lambda m, _: m.object_since_mark(),
    "BINPERSID": lambda m, _: m.push(persistent(m.pop())),
}
