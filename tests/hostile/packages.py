"""Archives of torch.package: code in them is text, and state is read from attributes alone."""

from __future__ import annotations

from .archives import Entry, archive
from .case import Case
from .code import CANARY
from .pickles import Raw, call, encode, group, items, name, program, tensor, text

SOURCE = f"import os\nopen({CANARY!r}, 'w').write('x')\nos.environ[{CANARY!r}] = '1'\n".encode()


def module(parameters, modules=None, more=(), kind: str = "<torch_package_0>.evil.Model") -> Raw:
    """A ``torch.nn.Module`` as it is pickled: its attributes."""
    attributes = [
        ("training", False),
        ("_parameters", parameters),
        ("_modules", modules or {}),
        ("_buffers", {}),
        *more,
    ]
    return Raw(name(kind) + b")\x81" + items(attributes) + b"b")


def stored(key: str = "0") -> Raw:
    return tensor(key)


def package(pickle: bytes, *more: Entry, top: str = "evil", model: str = "Evil/Evil.pth") -> bytes:
    """An archive of torch.package with one storage of 16 bytes."""
    plain = {
        ".data/extern_modules": b"torch\n",
        ".data/version": b"6\n",
        ".data/0.storage": bytes(16),
        "evil.py": SOURCE,
        "evil/__init__.py": SOURCE,
        ".data/python_version": b"3.11",
        model: pickle,
    }
    return archive([*(Entry(f"{top}/{n}", d) for n, d in plain.items()), *more])


SOUND = program(module(items([("w", stored())])))


def holding(value: bytes, **options):
    return lambda _place: package(program(Raw(value)), **options)


def deep(levels: int) -> Raw:
    made = module({})
    for _ in range(levels):
        made = module({}, items([("a", made)]))
    return made


CASES = [
    Case(
        "a module of no known model, its code beside it",
        4,
        "no known model",
        lambda _: package(SOUND),
        (("convert", "model.pth", "-o", "out", "--force"),),
    ),
    Case("no model", 3, "should hold one model", lambda _: package(SOUND, model="Evil/notes.txt")),
    Case("two models", 3, "should hold one model", lambda _: package(SOUND, Entry("evil/b.pth", SOUND))),
    Case(
        "metadata twice",
        3,
        "metadata records",
        lambda _: package(
            SOUND, Entry("evil/a.metadata", program({})), Entry("evil/b.metadata", program({}))
        ),
    ),
    Case(
        "metadata of a list",
        3,
        "as its metadata",
        lambda _: package(SOUND, Entry("evil/a.metadata", program([]))),
    ),
    Case(
        "metadata of a payload",
        3,
        "as its metadata",
        lambda _: package(SOUND, Entry("evil/a.metadata", program(call("os.system", f"touch {CANARY}")))),
    ),
    Case(
        "metadata that are broken",
        3,
        "not a sound pickle",
        lambda _: package(SOUND, Entry("evil/a.metadata", b"\x80\x02(")),
    ),
    Case("a payload for a model", 3, "not a state dict", holding(call("os.system", f"touch {CANARY}"))),
    Case(
        "a payload for a parameter",
        3,
        "an object of os.system",
        holding(module(items([("w", call("os.system", f"touch {CANARY}"))]))),
    ),
    Case(
        "a payload for a module",
        3,
        "is not a module",
        holding(module({}, items([("a", call("os.system", f"touch {CANARY}"))]))),
    ),
    Case(
        "parameters that are a payload",
        3,
        "not a state dict",
        holding(module(call("os.system", f"touch {CANARY}"))),
    ),
    Case(
        "a state for __setstate__",
        3,
        "not a state dict|no state dict",
        holding(name("<torch_package_0>.evil.Model") + b")\x81" + encode(("payload", [1])) + b"b"),
    ),
    Case(
        "a module that holds itself",
        8,
        "modules too deep",
        holding(module({}, Raw(b"}q\x05")) + b"q\x06" + b"0h\x05" + text("a") + b"h\x06s0h\x06"),
    ),
    Case("modules 2000 deep", 8, "too deep", holding(deep(2000))),
    Case(
        "a parameter whose storage is missing", 3, "is missing", holding(module(items([("w", stored("7"))])))
    ),
    Case("a module without parameters", 3, "without tensors", holding(module({}))),
    Case(
        "a parameter of a long name",
        3,
        "not a dict of names",
        holding(module(items([("w" * 2000, stored())]))),
    ),
    Case(
        "a parameter with an escape in its name", 3, "name", holding(module(items([("\x1b[31mw", stored())])))
    ),
    Case("a parameter named by a number", 3, "not a dict of names", holding(module(items([(3, stored())])))),
    Case(
        "two parameters of one name",
        3,
        "two tensors named",
        holding(module(items([("a.w", stored())]), items([("a", module(items([("w", stored())])))]))),
    ),
    Case(
        "a module by persistent id",
        3,
        "not a state dict",
        holding(group("module", name("evil.Model")) + b"Q"),
    ),
    Case(
        "a script module by persistent id",
        3,
        "not a state dict",
        holding(group("reduce_package", 0, call("os.system", "x")) + b"Q"),
    ),
    Case(
        "a module with a payload beside",
        4,
        "no known model",
        lambda _: package(
            program(module(items([("w", stored())]), more=[("hook", call("os.system", f"touch {CANARY}"))]))
        ),
        (("convert", "model.pth", "-o", "out", "--force"),),
    ),
]
