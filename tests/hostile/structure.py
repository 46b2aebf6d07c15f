"""Pickles that are malformed, or that would grow beyond all bounds."""

from __future__ import annotations

import struct

from .archives import around, bare, checkpoint
from .case import KWARGS, Case, weights
from .pickles import Raw, call, encode, group, items, name, program, tensor, text

SET = name("builtins.set")


def body(data: bytes):
    return lambda _place: around(data, {"0": bytes(16)})


def note(value: bytes):
    """Beside a sound model, in its metadata."""
    return lambda _place: checkpoint(weights(), {**KWARGS, "note": Raw(value)})


def laughs(opener: bytes, levels: int, key: bytes = b"") -> Raw:
    """A container of two references to a container of two references to …"""
    made = b"]r\x64\0\0\0"
    for index in range(100, 100 + levels):
        link = b"j" + struct.pack("<I", index)
        made += (
            b"0("
            + key
            + link
            + (b"\x88" if key else b"")
            + link
            + opener
            + b"r"
            + struct.pack("<I", index + 1)
        )
    return Raw(made)


def module(*children: bytes) -> bytes:
    pairs = b"".join(children)
    return (
        b"cx\nM\n)\x81}(X\x0b\0\0\0_parameters}X\x08\0\0\0_modules}"
        + (b"(" + pairs + b"u" if pairs else b"")
        + b"ub"
    )


def module_tree(levels: int) -> bytes:
    made = b"\x80\x02" + module() + b"r\x64\0\0\0" + b"0"
    for i in range(levels):
        link = b"j" + struct.pack("<I", 100 + i)
        made += module(text("a"), link, text("b"), link) + b"r" + struct.pack("<I", 101 + i) + b"0"
    return made + b"j" + struct.pack("<I", 100 + levels) + b"."


MALFORMED = {
    "nothing": (b"", "no STOP|exhausted|not a sound pickle"),
    "no STOP": (b"\x80\x02}", "not a sound pickle"),
    "STOP alone": (b".", "underflow"),
    "values left": (b"N}.", "left on the stack"),
    "open mark": (b"(}.", "left on the stack"),
    "no mark": (b"\x80\x02t.", "no MARK"),
    "deep underflow": (b"\x80\x02" + b"0" * 99 + b".", "no MARK|underflow"),
    "memo never stored": (b"h\x05.", "never stored"),
    "memo of nothing": (b"q\x00.", "underflow"),
    "negative memo": (b"Np-1\n.", "memo index"),
    "memo beyond 32 bits": (b"}p99999999999\n.", "memo index"),
    "unknown opcode": (b"\xff.", "not a sound pickle"),
    "protocol 200": (b"\x80\xc8}.", "protocol"),
    "unhashable key": (b"}]Ns.", "key or set element"),
    "key that holds itself": (b"}]q\x01h\x01a\x85Ns.", "key or set element"),
    "nested tuple as key": (b"})\x85\x85Ns.", "key or set element"),
    "integer of 80000 bits": (b"\x8b" + struct.pack("<i", 10000) + b"\x7f" * 10000 + b".", "absurd size"),
    "decimal of 100000 digits": (b"L" + b"9" * 100_000 + b"L\n.", "not a sound pickle"),
    "negative length": (b"\x8b\xff\xff\xff\xff.", "not a sound pickle"),
    "length beyond the end": (b"\x8d" + b"\xff" * 8 + b"abc.", "not a sound pickle"),
    "bytes of 4 GB": (b"B\xff\xff\xff\xffabc.", "not a sound pickle"),
    "half a surrogate": (b"X\x03\0\0\0\xed\xa0\x80.", "not a sound pickle"),
    "global of numbers": (b"K\x01K\x02\x93.", "global"),
    "call of a number": (b"K\x01)R.", "call"),
    "call without a tuple": (SET + b"]R.", "call"),
    "append to a number": (b"K\x01Na.", "append"),
    "odd items": (b"}(Nu.", "without a value"),
    "state of a number": (b"K\x01}b.", "state"),
}
CASES = [
    *(Case(told, 3, words, body(data)) for told, (data, words) in MALFORMED.items()),
    Case("state dict that is a list", 3, "a value of type list, not a state dict", body(b"\x80\x02].")),
    Case("state dict without tensors", 3, "no state dict", body(program({"a": 1}))),
    Case("state dict that is empty", 3, "without tensors", body(program({"state_dict": {}}))),
    Case("state dict of a number", 3, "as its state dict", body(program({"state_dict": 3}))),
    Case(
        "state dict that holds itself",
        3,
        "is a value of type dict",
        body(b"\x80\x02}q\x01X\x01\0\0\0ah\x01s" + text("w") + tensor() + b"s."),
    ),
    Case(
        "metadata of a number",
        3,
        "as its metadata",
        lambda _: bare(items([("state_dict", items([("w", tensor())])), ("metadata", 7)])),
    ),
    Case(
        "tensor name that is a number",
        3,
        "where a name should be",
        lambda _: bare(items([(7, tensor()), ("w", tensor())])),
    ),
    Case(
        "tensor name of a megabyte",
        8,
        "a tensor name of 1000000",
        lambda _: bare(items([("w" * 1_000_000, tensor())])),
    ),
    Case(
        "tensor name with a newline",
        3,
        "name",
        lambda _: bare(items([("w\nvampconv: error[0]: fine; go on", tensor())])),
    ),
    Case(
        "tensor name with an escape", 3, "name", lambda _: bare(items([("\x1b]0;x\x07\x1b[2Jw", tensor())]))
    ),
    Case("tensor name from right to left", 3, "name", lambda _: bare(items([("\u202ethgiew", tensor())]))),
    Case("tensor name with a null", 3, "name", lambda _: bare(items([("a\0b", tensor())]))),
    Case("tensor name with a control sequence", 3, "name", lambda _: bare(items([("\x9b31mw", tensor())]))),
    Case("metadata that holds itself", 3, "contains itself", note(b"]q\x64h\x64a")),
    Case("metadata of a dict in itself", 3, "contains itself", note(b"}q\x64X\x01\0\0\0ah\x64s")),
    Case("bomb by alias", 8, "depth|values", note(laughs(b"t", 60))),
    Case("bomb by alias of lists", 8, "depth|values", note(laughs(b"l", 60))),
    Case("bomb by alias of dicts", 8, "depth|values|deep", note(laughs(b"d", 60, b"N"))),
    Case("bomb by nesting", 8, "depth|deep", note(b"]" * 5000 + b"a" * 4999)),
    Case(
        "bomb by nesting of a quarter of a million", 8, "depth|deep|opcodes", note(b")" + b"\x85" * 260_000)
    ),
    Case("bomb of open marks", 8, "opcodes", note(b"(" * 260_000 + b"1" * 259_999 + b"N")),
    Case("bomb of opcodes", 8, "opcodes", note(b"N0" * 140_000 + b"N")),
    Case("bomb of sets", 8, "opcodes|unfolds", note(b"(" + b"\x8f" * 260_000 + b"l")),
    Case("bomb of dicts", 8, "opcodes|unfolds", note(b"(" + b"}" * 260_000 + b"l")),
    Case("bomb of globals", 8, "opcodes|unfolds", note(b"(" + b"ca\nb\n" * 260_000 + b"l")),
    Case(
        "bomb of long globals",
        8,
        "opcodes|unfolds|bytes",
        note(b"(" + (b"c" + b"a" * 500 + b"\nb\n") * 18_000 + b"l"),
    ),
    Case("bomb of calls", 8, "opcodes|unfolds", note(b"(ca\nb\nq\x64" + b"h\x64)R" * 90_000 + b"l")),
    Case("bomb of instances", 8, "opcodes|unfolds", note(b"(ca\nb\nq\x64" + b"h\x64)\x81}b" * 70_000 + b"l")),
    Case("bomb of memo entries", 8, "opcodes|unfolds", note(b"](" + b"N\x94" * 140_000 + b"e")),
    Case("bomb of text", 8, "bytes|unfolds", note(text("😀" + "a" * (9 << 20)))),
    Case("bomb of bytes", 8, "bytes|unfolds", note(encode(b"a" * (9 << 20)))),
    Case(
        "bomb of copied text",
        8,
        "unfolds",
        note(text("a" * (1 << 20)) + b"q\x640" + b"c_codecs\nencode\n(h\x64X\x06\0\0\0latin1tR0" * 80 + b"N"),
    ),
    Case(
        "bomb of copied sets",
        8,
        "unfolds",
        note(b"(" + b"N" * 100_000 + b"lq\x640" + (SET + b"h\x64\x85R0") * 700 + b"N"),
    ),
    Case(
        "bomb of copied lists",
        8,
        "unfolds",
        note(b"(" + b"N" * 100_000 + b"lq\x640" + (name("builtins.list") + b"h\x64\x85R0") * 700 + b"N"),
    ),
    Case(
        "bomb of arrays",
        8,
        "unfolds",
        note(
            encode(b"a" * (1 << 20))
            + b"q\x640"
            + (
                call(
                    "numpy._core.numeric._frombuffer",
                    Raw(b"h\x64"),
                    call("numpy.dtype", "u1", False, True),
                    (1 << 20,),
                    "C",
                )
                + b"0"
            )
            * 80
            + b"N"
        ),
    ),
    Case(
        "bomb of paths",
        8,
        "unfolds|opcodes",
        note(
            text("a" * (1 << 20)) + b"q\x640" + (call("pathlib.PosixPath", Raw(b"h\x64")) + b"0") * 80 + b"N"
        ),
    ),
    Case("bomb of modules", 8, "modules", body(module_tree(40))),
    Case(
        "chain of 1000 modules",
        8,
        "modules",
        body(
            b"\x80\x02"
            + b"cx\nM\n)\x81}(X\x0b\0\0\0_parameters}X\x08\0\0\0_modules}(X\x01\0\0\0a" * 1000
            + module()
            + b"uub" * 1000
            + b"."
        ),
    ),
    Case(
        "array of too few bytes",
        3,
        "bytes do not fill",
        note(
            call("numpy._core.numeric._frombuffer", b"abc", call("numpy.dtype", "f8", False, True), (4,), "C")
        ),
    ),
    Case(
        "array of a negative shape",
        3,
        "shape",
        note(
            call(
                "numpy._core.numeric._frombuffer",
                b"abcdefgh",
                call("numpy.dtype", "f8", False, True),
                (-1,),
                "C",
            )
        ),
    ),
    Case(
        "array of 2^80 elements",
        3,
        "shape",
        note(
            call(
                "numpy._core.numeric._frombuffer",
                b"",
                call("numpy.dtype", "f8", False, True),
                (1 << 40, 1 << 40, 0),
                "C",
            )
        ),
    ),
    Case(
        "scalar of too few bytes",
        3,
        "bytes do not fill",
        note(call("numpy._core.multiarray.scalar", call("numpy.dtype", "f8", False, True), b"a")),
    ),
    Case(
        "text of numpy that is no Unicode",
        3,
        "not Unicode",
        note(
            call("numpy._core.multiarray.scalar", call("numpy.dtype", "U1", False, True), b"\xff\xff\xff\xff")
        ),
    ),
    Case(
        "storage that is no storage",
        3,
        "storage",
        lambda _: bare(items([("w", Raw(group("storage", 1, 2) + b"Q"))])),
    ),
    Case(
        "storage key of a megabyte",
        3,
        "absurd length",
        lambda _: bare(items([("w", tensor("k" * 1_000_000))])),
    ),
]
